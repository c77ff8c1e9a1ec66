"""One profile for each device class, from the profiles of the class and of its nodes.

A class's own profile wins over those of its nodes. Otherwise the nodes' profiles are aggregated, in the cautious
direction: the mean latency, the worst start-up and warm-up, the least memory, and the spread between the nodes. Two
profiles of the same thing are refused, because nothing says which one is right.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean, stdev

from dueby_api.classifiers import CLASSIFIERS, source_of, unknown_model
from dueby_api.engines import runs_on_cpu
from dueby_api.errors import Invalid
from dueby_api.gpu_profile import (
    DecodingRate,
    GPUProfile,
    Latency,
    MeasuredStep,
    PredictedWarmup,
    Quantiles,
    Spread,
    WarmupModel,
)
from dueby_api.inference_job import JobSpec, Model
from dueby_api.subject import Subject, model_subject, profile_subject
from dueby_api.words import counted
from dueby_planner.model.rule import ASSUMED_SPREADS
from dueby_planner.profiles.interpolation import describe_fit, warmup_of
from dueby_planner.profiles.observed import MAX_SPREAD

# From so many nodes on, what they differ by is believed also where it is less than what is assumed.
SURE_NODES = 5
# A size at which the nodes differ by more, although they don't at others, was measured wrongly on some of them. It
# would make the class so unsure that no plan at a confidence of 0.99 could use any size of it.
MAX_BETWEEN = 0.4
Device = tuple[str | None, str | None]
"""Node and UUID."""


def matching(profiles: Iterable[GPUProfile], model: Model) -> list[GPUProfile]:
    """Return the profiles of this model, image size and precision, and of its engine unless that is `auto`."""
    wanted = model_subject(model)
    return [profile for profile in profiles if wanted.admits(profile_subject(profile.spec).about)]


def plannable(profiles: Iterable[GPUProfile], job: JobSpec) -> list[GPUProfile]:
    """Return the profiles that the job can be planned on: its model's, and only GPUs' if a GPU is to decode."""
    return [profile for profile in matching(profiles, job.model) if can_decode(profile, job)]


def up_to(profile: GPUProfile, largest: int | None) -> GPUProfile | None:
    """Return the profile with no larger mini-batches, if there is such a bound; None if all of its sizes are larger."""
    spec = profile.spec
    if largest is None:
        return profile
    if spec.steps[0].mini_batch_size > largest:
        return None
    return profile.replace(spec=spec.replace(max_mini_batch_size=min(largest, spec.max_mini_batch_size or largest)))


def can_decode(profile: GPUProfile, job: JobSpec) -> bool:
    """Return whether the job's photos can be decoded where this was measured: a GPU is there if one is to decode."""
    return job.source.decoder != "gpu" or not runs_on_cpu(profile.spec.engine)


def without_profile(model: Model, others: str, *, where: str = "") -> Invalid:
    """Return the error of a model that no profile is of: to measure it, or to spell it as it is called."""
    if model.name not in CLASSIFIERS and not source_of(model.name):
        return Invalid("spec.model.name", unknown_model(model.name))
    said = f"No profile of {model_subject(model).sentence}{where}; {others}. Run: {model.profile_command}"
    return Invalid("profiles", said)


def class_profiles(profiles: Iterable[GPUProfile]) -> dict[str, tuple[GPUProfile, ...]]:
    """Return the profiles of each device class, one for each model and engine. Raise Invalid for doubles."""
    of_class: dict[Subject, GPUProfile] = {}
    of_nodes: dict[Subject, dict[Device, GPUProfile]] = defaultdict(dict)
    every_profile = list(profiles)
    measured = {profile_subject(p.spec) for p in every_profile if not (p.spec.predicted or p.spec.assumed)}
    for profile in every_profile:
        spec, subject = profile.spec, profile_subject(profile.spec)
        # Predictions and published figures are of no more use once the class was measured.
        if (spec.predicted or spec.assumed) and subject in measured:
            continue
        if spec.device.node is None:
            double = of_class.setdefault(subject, profile)
        else:
            double = of_nodes[subject].setdefault((spec.device.node, spec.device.uuid), profile)
        if double is not profile:
            raise Invalid("profiles", _doubles(double, profile))
    chosen: dict[str, list[GPUProfile]] = defaultdict(list)
    for subject in sorted(of_class.keys() | of_nodes.keys()):
        profile = of_class.get(subject) or aggregate(list(of_nodes[subject].values()))
        chosen[subject.device_class].append(profile)
    return {name: tuple(profiles_of_class) for name, profiles_of_class in chosen.items()}


def _doubles(first: GPUProfile, second: GPUProfile) -> str:
    spec, subject = first.spec, profile_subject(first.spec)
    where = f"device class {subject.device_class}"
    if spec.device.node is not None:
        where = f"the same device of node {spec.device.node} ({subject.device_class})"
    return f"{first.name} and {second.name} both describe {subject.about.sentence}, on {where}. Remove one of them."


def aggregate(nodes: Sequence[GPUProfile]) -> GPUProfile:
    """Return the class's profile from its nodes', over the sizes that most have measured, and none has wrongly."""
    first = nodes[0]
    if len(nodes) == 1:
        return first
    largest = min(p.spec.max_mini_batch_size or p.spec.steps[-1].mini_batch_size for p in nodes)
    measured = {size: list(_steps(nodes, size)) for size in _common_sizes(nodes, largest)}
    by_size = {size: rows for size, rows in measured.items() if _spread_between(rows) < MAX_BETWEEN} or measured
    startups = [p.spec.startup_micros for p in nodes if p.spec.startup_micros]
    runs = [p.spec.spread.run for p in nodes if p.spec.spread.run is not None]
    spec = first.spec.replace(
        device=first.spec.device.replace(node=None, uuid=None),
        max_mini_batch_size=largest,
        startup_micros=_worst(startups) if startups else None,
        spread=Spread(
            run=max(runs) if runs else None,
            node=_spread_of(by_size.values(), nodes),
            own_start=min((p.spec.spread.own_start or 0.0) for p in nodes) or None,
        ),
        contention=max(p.spec.contention for p in nodes),
        serial_micros=max((p.spec.serial_micros for p in nodes if p.spec.serial_micros is not None), default=None),
        busy=any(p.spec.busy for p in nodes),
        cut_short=any(p.spec.cut_short for p in nodes),
        decoding=_least_rates([p.spec.decoding for p in nodes]),
        latency_fit=None,
        observed=(),
        agreement=min((p.spec.agreement for p in nodes if p.spec.agreement), key=lambda a: a.closeness, default=None),
        warmup_model=_worst_model([p.spec.warmup_model for p in nodes]),
        steps=tuple(_mean_step(size, rows) for size, rows in by_size.items()),
    )
    # Of the aggregated steps: an error of some node's own fit would say nothing about them.
    spec = spec.replace(latency_fit=describe_fit(spec))
    return first.replace(
        metadata=first.metadata.replace(name=f"{spec.device_class} (of {counted(len(nodes), 'node')})"), spec=spec
    )


def _common_sizes(nodes: Sequence[GPUProfile], largest: int) -> list[int]:
    """Return the sizes up to MB that most nodes have measured. Raise Invalid if there is none that all have.

    A node that had no time for larger sizes, although it has the memory, must not keep the others from them.
    """
    counts = Counter(step.mini_batch_size for p in nodes for step in p.spec.steps if step.mini_batch_size <= largest)
    if len(nodes) not in counts.values():
        raise Invalid(
            "profiles",
            f"{', '.join(sorted(p.name for p in nodes))} have no mini-batch size in common that fits all of them. "
            "Measure the same sizes on every node.",
        )
    return sorted(size for size, count in counts.items() if 2 * count > len(nodes))


def _spread_of(sizes: Iterable[Sequence[MeasuredStep]], nodes: Sequence[GPUProfile]) -> float:
    """Return the largest relative standard deviation between the nodes at any size.

    A few nodes may agree by chance: they must not promise less spread than is assumed without any.
    """
    names = {profile.spec.device.node for profile in nodes}
    lower_limit = ASSUMED_SPREADS.node if len(names) < SURE_NODES else 0.0
    return min(MAX_SPREAD, max(lower_limit, *map(_spread_between, sizes)))


def _spread_between(rows: Sequence[MeasuredStep]) -> float:
    """Return the relative standard deviation between the nodes at one size."""
    latencies = [step.latency_micros.mean for step in rows]
    return stdev(latencies) / fmean(latencies)


def _steps(nodes: Sequence[GPUProfile], size: int) -> Iterator[MeasuredStep]:
    """Yield what the nodes have measured at this size, as far as they have."""
    for profile in nodes:
        for step in profile.spec.steps:
            if step.mini_batch_size == size:
                yield step.replace(warmup_micros=warmup_of(profile.spec, size))


def _mean_step(size: int, rows: Sequence[MeasuredStep]) -> MeasuredStep:
    return MeasuredStep(
        mini_batch_size=size,
        samples=sum(s.samples or 0 for s in rows) or None,
        latency_micros=Latency(mean=_mean_up([s.latency_micros.mean for s in rows])),
        warmup_micros=_worst([s.warmup_micros for s in rows if s.warmup_micros]),
        memory_mib=max(s.memory_mib or 0 for s in rows) or None,
        host_memory_mib=max(s.host_memory_mib or 0 for s in rows) or None,
    )


def _least_rates(nodes: Sequence[Sequence[DecodingRate]]) -> tuple[DecodingRate, ...]:
    """Return what every node makes of its cores, at the numbers of cores that all nodes with rates have measured."""
    rates = [{rate.cores: rate.images_per_second for rate in rows} for rows in nodes if rows]
    common = sorted(set.intersection(*map(set, rates))) if rates else []
    return tuple(DecodingRate(cores=cores, images_per_second=min(row[cores] for row in rates)) for cores in common)


def _worst(times: Sequence[Quantiles]) -> Quantiles:
    return Quantiles(p50=_mean_up([t.p50 for t in times]), p95=max(t.p95 for t in times))


def _worst_model(models: Sequence[WarmupModel | None]) -> WarmupModel | None:
    """Return the nodes' models as one, over the sizes that each of them knows; None if a node has no model."""
    measured = [model for model in models if model]
    if len(measured) < len(models):
        return None
    rows = [{row.mini_batch_size: row.warmup_micros for row in model.predictions} for model in measured]
    sizes = sorted(set.intersection(*map(set, rows)))
    return WarmupModel(
        error=max(model.error for model in measured),
        rows=min(model.rows for model in measured),
        predictions=tuple(
            PredictedWarmup(mini_batch_size=size, warmup_micros=_worst([row[size] for row in rows])) for size in sizes
        ),
    )


def _mean_up(times: Sequence[int]) -> int:
    """Return the mean, rounded up without a float on the way."""
    return -(-sum(times) // len(times))
