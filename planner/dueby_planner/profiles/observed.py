"""What finished jobs have shown of a device class since it was measured, and how plans use it.

A profile is measured in a minute, and jobs then run on it for hours. Each job leaves a row: the ratio of its workers'
mean step to the measured L, how much the workers differ, and how long their starts took. With at least three jobs and
200 steps, plans use

    L             the measured L times the mean of the ratios
    spread.run    the standard deviation of the ratios, widened because so few of them have to predict the next one
                  (small_samples.py), less what the workers of a job differ by, of which a mean of n workers keeps 1/n.
                  Up to four jobs can only raise the measured spread. For a predicted profile they replace it, and with
                  it the error of the prediction
    spread.node   the standard deviation between the workers of a job, in the same way

Neither is taken to be below 2 %, as if three jobs had shown that; of n jobs, below 2 % sqrt(3 / n).

With at least five starts, S has the quantiles of these together with the profile's, which count as many as its
processes. How much of its variance each start has alone (spread.ownStart) is what the starts of a job's workers differ
by, beside what they have in common; up to four jobs can only lower it.

What nodes of a pool take to come is learned in the same way, with the configured time as that of one more node. These
times are the API server's and the nodes' own, and no tenant's word, so they count whoever's job it was.

A ratio is always to what was measured, whatever a plan made of it, so nothing is counted twice. Ratios are dropped when
the measurement that they refer to is replaced. Within a job, a re-plan uses what the job's own workers show.

What a job shows is the word of whoever runs it. So a plan believes the jobs of its own namespace, once they are enough.
Until then others' rows count, and all of them together move L by no more than 10 %, raise a spread to no more than 0.1
and S to no more than twice the measured p95, and lower neither. No namespace can have the rows of another one dropped
before it has fewer itself. Without a namespace, as for files on one's own machine, every row is believed. Whoever is
believed, no job moves the mean ratio of its namespace by more than 10 % (`moderated`): one that was slow for a reason
of its own would make the spread so wide that the next twenty could be promised nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, median_high, median_low, stdev

from dueby_api.capacity import NodePool
from dueby_api.gpu_profile import GPUProfile, Latency, ObservedJob, ProfileSpec, Quantiles, Spread
from dueby_api.subject import class_of
from dueby_api.words import counted
from dueby_planner.model.capacity import Provision
from dueby_planner.small_samples import foresight, own_share

# From how many jobs, steps and starts on they count; and from how many jobs on they outweigh the measured spread.
ENOUGH_JOBS, ENOUGH_STEPS, SURE_JOBS = 3, 200, 5
ENOUGH_STARTS = 5
# Jobs that happened to take the same time do not prove that the next one will; and a spread must be below 1.
MIN_SPREAD, MAX_SPREAD = 0.02, 0.99
# A profile's ratios are written with four digits and must be above 0 and up to 100, whatever a worker says.
_RATIO_DIGITS, _MIN_RATIO, _MAX_RATIO = 4, 0.0001, 100.0
# The newest jobs whose rows are kept, and the start-ups that are kept of each: a profile must stay a small document.
MAX_JOBS, MAX_STARTS = 20, 16
# A profile that is off by more than this has to be measured again.
OFF = 0.10
# What others' jobs show moves L by no more than this, since beyond it the class is measured again by those who may be
# believed. A spread is not raised above it, either.
MAX_OF_OTHERS = OFF
# A new measurement within this of the old one says the same.
SAME = 0.02


@dataclass(frozen=True, kw_only=True)
class ObservedSteps:
    """What enough jobs have shown of the steps."""

    jobs: int
    steps: int
    ratio: float
    """Mean step divided by the measured L."""
    run: float
    """Relative standard deviation between jobs."""
    node: float | None
    """Relative standard deviation between the workers of a job; None if no job had two."""


@dataclass(frozen=True, kw_only=True)
class LearnedProfile:
    """A profile as plans use it: with what jobs have shown."""

    spec: ProfileSpec
    ratio: float = 1.0
    """Factor that its L was multiplied with."""
    remarks: tuple[str, ...] = ()
    """Remarks for the plan's notes. Each is a clause about the profile, without its name."""
    doubt: str = ""
    """The same for its warnings: that nobody has measured it."""


def summarize_steps(spec: ProfileSpec) -> ObservedSteps | None:
    """Return what jobs have shown of the steps; None while that is not enough."""
    rows = [(row, row.step_ratio) for row in spec.observed if row.step_ratio is not None]
    steps = sum(row.steps for row, _ in rows)
    if len(rows) < ENOUGH_JOBS or steps < ENOUGH_STEPS:
        return None
    ratios = [ratio for _, ratio in rows]
    mean = bounded_ratio(fmean(ratios))
    within = [row.step_spread for row, _ in rows if row.step_spread is not None]
    node = sqrt(fmean(spread**2 for spread in within)) if within else 0.0
    between = stdev(ratios) / mean * foresight(len(ratios))
    # A job of one worker has none to compare with; its ratio has all that the worker has alone.
    own = node**2 * fmean(1 / row.workers for row, _ in rows)
    return ObservedSteps(
        jobs=len(rows),
        steps=steps,
        ratio=mean,
        run=_bounded(sqrt(max(0.0, between**2 - own)), len(rows)),
        node=_bounded(node, len(rows)) if within else None,
    )


def learn(spec: ProfileSpec, *, namespace: str | None = None) -> LearnedProfile:
    """Return the profile with what jobs have shown of it, as far as a job of this namespace believes them."""
    visible = spec if namespace is None else spec.replace(observed=_rows_of(spec, namespace))
    starts, startup, own_start = _learn_startup(spec, visible)
    shown_by_own = summarize_steps(visible)
    shown = shown_by_own or summarize_steps(spec.replace(observed=tuple(map(_bounded_row, spec.observed))))
    remarks, doubt = [], ""
    if spec.predicted:
        source, error = spec.predicted.profile, f"{spec.predicted.error:.0%}"
        margin = f"; the margin includes the prediction's standard error of {error}" if shown is None else ""
        doubt = f"is predicted from {source}, at {spec.predicted.image_size} px, and was not measured{margin}"
    if starts:
        spec = spec.replace(startup_micros=startup, spread=spec.spread.replace(own_start=own_start))
        own = f", and {own_start:.0%} of its variance is each worker's own" if own_start else ""
        remarks.append(f"the start-up time includes those of {counted(starts, 'worker')} of earlier jobs{own}")
    if shown is None:
        return LearnedProfile(spec=spec, remarks=tuple(remarks), doubt=doubt)
    steps = tuple(
        step.replace(latency_micros=Latency(mean=max(1, round(step.latency_micros.mean * shown.ratio))))
        for step in spec.steps
    )
    remarks.append(
        f"steps are planned at {shown.ratio:.3f} times the measured latency, as in "
        f"{counted(shown.jobs, 'earlier job')} ({counted(shown.steps, 'step')})"
    )
    spread = _spread_of_own(spec, shown) if shown_by_own else _spread_of_others(spec, shown)
    return LearnedProfile(
        spec=spec.replace(steps=steps, spread=spread), ratio=shown.ratio, remarks=tuple(remarks), doubt=doubt
    )


def find_drift(spec: ProfileSpec) -> float | None:
    """Return the share by which jobs' steps are longer than measured (negative: shorter); None up to 10 %.

    Each namespace has one voice, and they must agree for the most part: of an even number, the middle one counts that
    is nearer to what was measured.
    """
    if summarize_steps(spec) is None:
        return None
    ratios: dict[str, list[float]] = defaultdict(list)
    for row in spec.observed:
        if row.step_ratio is not None:
            ratios[row.namespace].append(row.step_ratio)
    voices = [fmean(job_ratios) - 1 for job_ratios in ratios.values()]
    middle: float = min(median_low(voices), median_high(voices), key=abs)
    off = round(middle, 4)
    return off if abs(off) > OFF else None


def with_job(spec: ProfileSpec, row: ObservedJob) -> ProfileSpec:
    """Return the profile with the job's row, which is added once.

    Of more than 20 rows the oldest are dropped of the namespace that has the most of them.
    """
    if any(earlier.job == row.job for earlier in spec.observed):
        return spec
    rows = sorted((*spec.observed, row), key=lambda earlier: (earlier.time, earlier.job))
    while len(rows) > MAX_JOBS:
        counts = Counter(earlier.namespace for earlier in rows)
        # Of several the first, which is the oldest.
        rows.remove(max(rows, key=lambda earlier: counts[earlier.namespace]))
    return spec.replace(observed=tuple(rows))


def moderated(spec: ProfileSpec, row: ObservedJob) -> ObservedJob:
    """Return the row with a ratio that moves its namespace's mean by no more than 10 %, however odd the job was."""
    if row.step_ratio is None:
        return row
    rows = _rows_of(spec, row.namespace)
    before = [earlier.step_ratio for earlier in rows if earlier.step_ratio is not None]
    mean, most = fmean(before) if before else 1.0, OFF * min(MAX_JOBS, len(before) + 1)
    return row.replace(step_ratio=bounded_ratio(min((1 + most) * mean, max((1 - most) * mean, row.step_ratio))))


def bounded_ratio(ratio: float) -> float:
    """Return the ratio as a profile takes it."""
    return round(min(_MAX_RATIO, max(_MIN_RATIO, ratio)), _RATIO_DIGITS)


def keep_valid_rows(before: ProfileSpec, now: ProfileSpec) -> tuple[ObservedJob, ...]:
    """Return the rows that stay valid when a profile is replaced: all, if the L they are ratios to stays within 2 %.

    None stay if a prediction is replaced by a measurement, or the other way round.
    """
    old = {step.mini_batch_size: step.latency_micros.mean for step in before.steps}
    new = {step.mini_batch_size: step.latency_micros.mean for step in now.steps}
    common = old.keys() & new.keys()
    is_same = bool(common) and abs(fmean(new[size] / old[size] for size in sorted(common)) - 1) <= SAME
    return before.observed if is_same and (before.predicted is None) is (now.predicted is None) else ()


def thin_out_starts(starts: Sequence[int]) -> tuple[int, ...]:
    """Return the start-ups of a job's workers, ascending; of more than 16, that many spread evenly over them."""
    ascending = sorted(starts)
    if len(ascending) <= MAX_STARTS:
        return tuple(ascending)
    return tuple(ascending[round(i * (len(ascending) - 1) / (MAX_STARTS - 1))] for i in range(MAX_STARTS))


def _rows_of(spec: ProfileSpec, namespace: str) -> tuple[ObservedJob, ...]:
    return tuple(row for row in spec.observed if row.namespace == namespace)


def _bounded_row(row: ObservedJob) -> ObservedJob:
    """Return the row as far as another namespace believes its steps."""
    if row.step_ratio is None:
        return row
    return row.replace(step_ratio=min(1 + MAX_OF_OTHERS, max(1 - MAX_OF_OTHERS, row.step_ratio)))


def _learn_startup(spec: ProfileSpec, visible: ProfileSpec) -> tuple[int, Quantiles | None, float | None]:
    """Return how many starts were observed, S with them, and the share that each has alone; 0 if they are too few."""
    starts, measured, processes = _starts(visible), spec.startup_micros, spec.processes or 1
    if len(starts) >= ENOUGH_STARTS:
        return len(starts), _pooled(measured, processes, starts), _own_start(visible)
    # Others' starts are believed only beside a measured one that says what is likely.
    starts = _starts(spec)
    if measured is None or len(starts) < ENOUGH_STARTS:
        return 0, measured, spec.spread.own_start
    pooled = _pooled(measured, processes, [min(2 * measured.p95, max(measured.p50, start)) for start in starts])
    # What others show of a start's own part would lower the margin.
    return len(starts), Quantiles(p50=max(measured.p50, pooled.p50), p95=max(measured.p95, pooled.p95)), None


def _own_start(spec: ProfileSpec) -> float | None:
    """Return the share of the variance of S that each start has alone, as jobs of several workers show it."""
    jobs = [(row.startup_micros, row.workers) for row in spec.observed if len(row.startup_micros) > 1]
    shown, measured = own_share(jobs), spec.spread.own_start
    if shown is None:
        return measured
    return round(shown if len(jobs) >= SURE_JOBS else min(shown, measured or 0.0), 4)


def _starts(spec: ProfileSpec) -> list[int]:
    return sorted(start for row in spec.observed for start in row.startup_micros)


def _spread_of_own(spec: ProfileSpec, shown: ObservedSteps) -> Spread:
    """Return the spreads as the plan's own jobs show them; few jobs only raise what was measured."""

    def learned(measured: float | None, observed: float) -> float:
        replaces_measured = measured is None or spec.predicted is not None or shown.jobs >= SURE_JOBS
        return observed if replaces_measured else max(observed, measured or 0.0)

    node = spec.spread.node if shown.node is None else learned(spec.spread.node, shown.node)
    return spec.spread.replace(run=learned(spec.spread.run, shown.run), node=node)


def _spread_of_others(spec: ProfileSpec, shown: ObservedSteps) -> Spread:
    """Return the spreads as others' jobs show them, which never lower what was measured."""

    def learned(measured: float | None, observed: float) -> float:
        return max(measured or 0.0, min(MAX_OF_OTHERS, observed))

    node = spec.spread.node if shown.node is None else learned(spec.spread.node, shown.node)
    return spec.spread.replace(run=learned(spec.spread.run, shown.run), node=node)


def _bounded(spread: float, jobs: int) -> float:
    """Return a spread that so many jobs have shown as plans take it: what is least assumed counts like three jobs."""
    return round(min(MAX_SPREAD, max(MIN_SPREAD * sqrt(ENOUGH_JOBS / jobs), spread)), 4)


def learn_provision(pools: Sequence[NodePool], profiles: Iterable[GPUProfile]) -> dict[str, Provision]:
    """Return by pool how long its nodes take to come: as configured, and as observed once enough of them have come."""
    rows: dict[str, list[ObservedJob]] = defaultdict(list)
    for profile in profiles if pools else ():
        rows[class_of(profile.spec.device_class)] += profile.spec.observed
    learned = {}
    for pool in pools:
        quantiles = Quantiles(p50=pool.provision_us, p95=pool.provision_us)
        times = [time for row in rows[pool.device_class] for time in row.provision_micros.get(pool.name, ())]
        if len(times) >= ENOUGH_STARTS:
            quantiles = _pooled(quantiles, 1, times)
        learned[pool.name] = Provision(expected_us=quantiles.p50, late_us=quantiles.p95)
    return learned


def summarize_provision(spec: ProfileSpec) -> dict[str, tuple[int, Quantiles]]:
    """Return by pool how many of its nodes have come for jobs on these devices, and how long that took."""
    times: dict[str, list[int]] = defaultdict(list)
    for row in spec.observed:
        for pool, taken in row.provision_micros.items():
            times[pool] += taken
    return {pool: (len(taken), _pooled(None, 0, taken)) for pool, taken in sorted(times.items())}


def _pooled(measured: Quantiles | None, processes: int, starts: Sequence[int]) -> Quantiles:
    """Return the quantiles of the starts together with those of so many measured processes.

    Their p50 counts for nine tenths of these, and their p95 for the slowest tenth.
    """
    weighted = [(float(start), 1.0) for start in starts]
    if measured:
        weighted += [(measured.p50, 0.9 * processes), (measured.p95, 0.1 * processes)]
    weighted.sort()
    return Quantiles(p50=_quantile(weighted, 0.5), p95=_quantile(weighted, 0.95))


def _quantile(weighted: Sequence[tuple[float, float]], share: float) -> int:
    """Return the least value at which this share of the weight is reached."""
    wanted = share * sum(weight for _, weight in weighted)
    reached = 0.0
    for value, weight in weighted:
        reached += weight
        # Sums of tenths miss their share by a rounding error.
        if reached >= wanted - 1e-9:
            return round(value)
    raise ValueError("no values to take a quantile of")
