"""What jobs have shown of a device class since it was measured, and what plans make of it.

A profile is measured in a minute; jobs then run on it for hours. Each leaves a row: the ratio of its workers' mean step
to the L that was measured, how much the workers differ, and what their start took. From three jobs with 200 steps on

    L             is the measured one times the mean of the ratios
    spread.run    is the ratios' standard deviation, as wide as so few foresee the next (samples.py), never below 2 %.
                  Up to four jobs only add to what was measured; of a predicted profile they take the prediction's
                  error away
    spread.node   is the workers' within the jobs, in the same way

and from five starts on S has their quantiles, pooled with the profile's, which count as many as its processes. A ratio
is to what was measured, whatever a plan made of it, so nothing is counted twice; it ends with what it is a ratio to.
Within a job a re-plan goes by what the job's own workers show.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

from dueby_api.gpu_profile import Latency, ObservedJob, ProfileSpec, Quantiles, Spread
from dueby_planner.small_samples import foresight

ENOUGH_JOBS, ENOUGH_STEPS, SURE_JOBS = 3, 200, 5
ENOUGH_STARTS = 5
MIN_SPREAD, MAX_SPREAD = 0.02, 0.99
# Rows and start-ups that are kept.
MAX_JOBS, MAX_STARTS = 20, 16
# Beyond this a profile is to be measured anew, and within this a new measurement says what the old one said.
OFF, SAME = 0.10, 0.02


@dataclass(frozen=True, kw_only=True)
class Experience:
    """What enough jobs have shown of the steps."""

    jobs: int
    steps: int
    ratio: float
    """Mean step over the measured L."""
    run: float
    """Relative standard deviation between jobs."""
    node: float | None
    """Between the workers of a job; None where no job had two."""


@dataclass(frozen=True, kw_only=True)
class Learned:
    """A profile as plans take it."""

    spec: ProfileSpec
    ratio: float = 1.0
    """What its L was multiplied with."""
    remarks: tuple[str, ...] = ()
    """What is said of it in a plan, each after the profile's name."""


def experience(spec: ProfileSpec) -> Experience | None:
    """What jobs have shown of the steps; None while it isn't enough."""
    rows = [(row, row.step_ratio) for row in spec.observed if row.step_ratio is not None]
    steps = sum(row.steps for row, _ in rows)
    if len(rows) < ENOUGH_JOBS or steps < ENOUGH_STEPS:
        return None
    ratios = [ratio for _, ratio in rows]
    mean = round(fmean(ratios), 4)
    within = [row.step_spread for row, _ in rows if row.step_spread is not None]
    run = stdev(ratios) / mean * foresight(len(ratios))
    return Experience(
        jobs=len(rows),
        steps=steps,
        ratio=mean,
        run=_bounded(run),
        node=_bounded(sqrt(fmean(spread**2 for spread in within))) if within else None,
    )


def learn(spec: ProfileSpec) -> Learned:
    """The profile with what jobs have shown of it."""
    starts = sorted(start for row in spec.observed for start in row.startup_micros)
    shown = experience(spec)
    remarks = []
    if spec.predicted:
        source, error = spec.predicted.profile, f"{spec.predicted.error:.0%}"
        doubt = f", with a standard error of {error}, which is in the margin" if shown is None else ""
        remarks.append(f"is predicted from {source}, at {spec.predicted.image_size} px, and was not measured{doubt}")
    if len(starts) >= ENOUGH_STARTS:
        spec = spec.replace(startup_micros=_pooled(spec, starts))
        remarks.append(f"start-up has that of {len(starts)} workers of jobs in it")
    if shown is None:
        return Learned(spec=spec, remarks=tuple(remarks))
    steps = tuple(
        step.replace(latency_micros=Latency(mean=max(1, round(step.latency_micros.mean * shown.ratio))))
        for step in spec.steps
    )
    remarks.append(
        f"steps are planned at {shown.ratio:.3f} of what was measured, as those of {shown.jobs} jobs took "
        f"({shown.steps:,} steps)"
    )
    spec = spec.replace(
        steps=steps,
        spread=Spread(run=_spread(spec, spec.spread.run, shown.run, shown), node=_node_spread(spec, shown)),
    )
    return Learned(spec=spec, ratio=shown.ratio, remarks=tuple(remarks))


def off_by(spec: ProfileSpec) -> float | None:
    """By which share jobs' steps are longer than measured (below 0: shorter), if that is more than 10 % in enough."""
    shown = experience(spec)
    off = 0.0 if shown is None else round(shown.ratio - 1, 4)
    return off if abs(off) > OFF else None


def with_job(spec: ProfileSpec, row: ObservedJob) -> ProfileSpec:
    """The profile with the job's row, once; the oldest beyond 20 go."""
    if any(known.job == row.job for known in spec.observed):
        return spec
    rows = sorted((*spec.observed, row), key=lambda known: (known.time, known.job))
    return spec.replace(observed=tuple(rows[-MAX_JOBS:]))


def still_true(before: ProfileSpec, now: ProfileSpec) -> tuple[ObservedJob, ...]:
    """The rows of a profile that is replaced by another, if the L that they are ratios to stays within 2 %."""
    old = {step.mini_batch_size: step.latency_micros.mean for step in before.steps}
    new = {step.mini_batch_size: step.latency_micros.mean for step in now.steps}
    common = old.keys() & new.keys()
    is_same = bool(common) and abs(fmean(new[size] / old[size] for size in sorted(common)) - 1) <= SAME
    return before.observed if is_same and (before.predicted is None) is (now.predicted is None) else ()


def few_of(starts: Sequence[int]) -> tuple[int, ...]:
    """The start-ups of a job's workers, ascending; of many, 16 that are spread evenly over them."""
    found = sorted(starts)
    if len(found) <= MAX_STARTS:
        return tuple(found)
    return tuple(found[round(i * (len(found) - 1) / (MAX_STARTS - 1))] for i in range(MAX_STARTS))


def _spread(spec: ProfileSpec, measured: float | None, shown: float, of: Experience) -> float:
    is_alone = measured is None or spec.predicted is not None or of.jobs >= SURE_JOBS
    return shown if is_alone else max(shown, measured or 0.0)


def _node_spread(spec: ProfileSpec, shown: Experience) -> float | None:
    return spec.spread.node if shown.node is None else _spread(spec, spec.spread.node, shown.node, shown)


def _bounded(spread: float) -> float:
    return round(min(MAX_SPREAD, max(MIN_SPREAD, spread)), 4)


def _pooled(spec: ProfileSpec, starts: Sequence[int]) -> Quantiles:
    """Quantiles of the starts and of the profile's, which say what nine of ten and one of ten processes took."""
    weighted = [(float(start), 1.0) for start in starts]
    if known := spec.startup_micros:
        processes = spec.processes or 1
        weighted += [(known.p50, 0.9 * processes), (known.p95, 0.1 * processes)]
    weighted.sort()
    return Quantiles(p50=_quantile(weighted, 0.5), p95=_quantile(weighted, 0.95))


def _quantile(weighted: Sequence[tuple[float, float]], share: float) -> int:
    """The least value at which this share of the weight is reached."""
    wanted = share * sum(weight for _, weight in weighted)
    reached = 0.0
    for value, weight in weighted:
        reached += weight
        if reached >= wanted - 1e-9:
            return round(value)
    raise ValueError("a quantile of nothing")
