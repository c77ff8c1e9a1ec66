"""From profiles and counts to the pool that a job is planned on.

A class's own profile wins over its nodes'; nodes' profiles are aggregated: the mean latency, the worst start-up and
warm-up, the least memory, and the spread between the nodes. Doubles are refused, since nothing says which one is right.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from dueby_api.engines import runs_on_cpu
from dueby_api.errors import Invalid
from dueby_api.gpu_profile import (
    GPUProfile,
    Latency,
    PredictedWarmup,
    ProfileSpec,
    Quantiles,
    Spread,
    Step,
    WarmupModel,
)
from dueby_api.inference_job import JobSpec, Model
from dueby_api.input_cost import FREE, InputCost
from dueby_planner.model.capacity import Choice, Group
from dueby_planner.model.input_cost import latency_with_input_us
from dueby_planner.model.rule import Spreads
from dueby_planner.profiles.fits import MIN_POINTS
from dueby_planner.profiles.interpolation import describe_fit, fit_of, times_of, warmup_of
from dueby_planner.profiles.observed import Learned, learn

ASSUMED_SPREADS = Spreads(run=0.02, node=0.03)


@dataclass(frozen=True, kw_only=True)
class Pool:
    """The devices that a job may use, and how sure their profiles are."""

    groups: tuple[Group, ...]
    spreads: Spreads
    is_gpu: bool
    """Whether any of the devices is a GPU; otherwise people read of CPU slices."""
    warnings: tuple[str, ...] = ()


def class_profiles(profiles: Iterable[GPUProfile]) -> dict[str, tuple[GPUProfile, ...]]:
    """Of each device class, one profile per model and engine; doubles are Invalid."""
    of_class: dict[tuple[object, ...], GPUProfile] = {}
    of_node: dict[tuple[object, ...], dict[tuple[object, ...], GPUProfile]] = defaultdict(dict)
    given = list(profiles)
    measured = {_key(profile.spec) for profile in given if profile.spec.predicted is None}
    for profile in given:
        spec = profile.spec
        key = _key(spec)
        if spec.predicted and key in measured:  # which was made before that was
            continue
        device = (spec.device.node, spec.device.uuid)
        known = of_class if spec.device.node is None else of_node[key]
        double = known.setdefault(key if spec.device.node is None else device, profile)
        if double is not profile:
            where = "device class" if spec.device.node is None else f"device on node {spec.device.node},"
            raise Invalid(
                "profiles",
                f"{double.name} and {profile.name} are both of the {where} {spec.device_class} for {describe(spec)}; "
                "remove one of them",
            )
    chosen: dict[str, list[GPUProfile]] = defaultdict(list)
    for key in sorted(of_class.keys() | of_node.keys(), key=str):
        profile = of_class.get(key) or aggregate(list(of_node[key].values()))
        chosen[profile.spec.device_class].append(profile)
    return {name: tuple(found) for name, found in chosen.items()}


def _key(spec: ProfileSpec) -> tuple[object, ...]:
    return spec.device_class, spec.engine, spec.model.name, spec.model.image_size, spec.model.precision


def describe(spec: ProfileSpec) -> str:
    """The profile's subject for people."""
    return f"{spec.model.name} at {spec.model.image_size} px, {spec.model.precision}, engine {spec.engine}"


def matching(profiles: Iterable[GPUProfile], model: Model) -> list[GPUProfile]:
    """The profiles of this model, image size and precision, and of its engine unless that is `auto`."""
    return [
        p
        for p in profiles
        if (p.spec.model.name, p.spec.model.image_size, p.spec.model.precision)
        == (model.name, model.image_size, model.precision)
        and model.engine in ("auto", p.spec.engine)
    ]


def build_pool(
    job: JobSpec,
    profiles: Sequence[GPUProfile],
    counts: Mapping[str, int | Sequence[tuple[int, int]]],
    *,
    cost: InputCost = FREE,
    cpus: int = 1,
) -> Pool:
    """The pool of a job: of each device class a number of devices that are free now, or (count, free in us) pairs.

    Classes that spec.gpus.classes doesn't name are left out. Invalid where a class has no profile for the job's model.
    """
    known = class_profiles(profiles)
    for name in job.gpus.classes:
        if name not in counts and name not in known:
            raise Invalid(
                "spec.gpus.classes",
                f"there is no device class {name}; there are {_listed(known.keys() | counts.keys())}",
            )
    groups: list[Group] = []
    used: list[GPUProfile] = []
    remarks: list[str] = []
    for name, count in sorted(counts.items()):
        if job.gpus.classes and name not in job.gpus.classes:
            continue
        found = matching(known.get(name, ()), job.model)
        if not found:
            raise Invalid("profiles", _no_profile(name, job.model, known))
        learned = [(profile, learn(profile.spec)) for profile in found]
        used += [profile.replace(spec=now.spec) for profile, now in learned]
        remarks += [f"{profile.name}: {remark}" for profile, now in learned for remark in now.remarks]
        choices = _choices(job, learned, cost, cpus)
        parts = [(count, 0)] if isinstance(count, int) else count
        groups += [Group(device_class=name, count=n, available_us=free_us, choices=choices) for n, free_us in parts]
    if not any(group.count for group in groups):
        allowed = f" of the classes {_listed(job.gpus.classes)}" if job.gpus.classes else ""
        raise Invalid("pool", f"is empty: there is no device{allowed} to plan with")
    return Pool(
        groups=tuple(groups),
        spreads=_spreads(used),
        is_gpu=any(not runs_on_cpu(p.spec.engine) for p in used),
        warnings=(*_warnings(used, interpolate=job.interpolate), *remarks),
    )


def aggregate(nodes: Sequence[GPUProfile]) -> GPUProfile:
    """The class's profile from its nodes', over the sizes that every node measured."""
    first = nodes[0]
    if len(nodes) == 1:
        return first
    largest = min(p.spec.max_mini_batch_size or p.spec.steps[-1].mini_batch_size for p in nodes)
    measured = set.intersection(*({s.mini_batch_size for s in p.spec.steps} for p in nodes))
    sizes = [size for size in sorted(measured) if size <= largest]
    if not sizes:
        raise Invalid(
            "profiles",
            f"{_listed(p.name for p in nodes)} have no mini-batch size in common that fits all of them; measure the "
            "same sizes on every node",
        )
    by_size = {size: [_step(p.spec, size) for p in nodes] for size in sizes}
    steps = tuple(_mean_step(size, rows) for size, rows in by_size.items())
    between = max(
        stdev(s.latency_micros.mean for s in rows) / fmean(s.latency_micros.mean for s in rows)
        for rows in by_size.values()
    )
    startups = [p.spec.startup_micros for p in nodes if p.spec.startup_micros]
    runs = [p.spec.spread.run for p in nodes if p.spec.spread.run is not None]
    spec = first.spec.replace(
        device=first.spec.device.replace(node=None, uuid=None),
        max_mini_batch_size=largest,
        startup_micros=_worst(startups) if len(startups) == len(nodes) else None,
        spread=Spread(run=max(runs) if runs else None, node=between),
        contention=max(p.spec.contention for p in nodes),
        busy=any(p.spec.busy for p in nodes),
        latency_fit=None,
        observed=(),
        warmup_model=_worst_model([p.spec.warmup_model for p in nodes]),
        steps=steps,
    )
    spec = spec.replace(latency_fit=describe_fit(spec))
    return first.replace(
        metadata=first.metadata.replace(name=f"{spec.device_class} (of {len(nodes)} nodes)"), spec=spec
    )


def _choices(
    job: JobSpec, profiles: Sequence[tuple[GPUProfile, Learned]], cost: InputCost, cpus: int
) -> tuple[Choice, ...]:
    """Every size of every engine up to MB, with the times of this job."""
    rows = []
    for profile, learned in profiles:
        spec = learned.spec
        startup = spec.startup_micros or Quantiles(p50=0, p95=0)
        for times in times_of(spec, interpolate=job.interpolate):
            size = times.mini_batch_size
            latency_us = latency_with_input_us(spec, times.latency_us, size, cost, cpus=cpus)
            grown_us = max(0, latency_us - times.latency_us)
            rows.append(
                Choice(
                    engine=spec.engine,
                    mini_batch_size=size,
                    latency_us=latency_us,
                    start_us=startup.p95 + times.warmup.p95 + grown_us,
                    expected_start_us=startup.p50 + times.warmup.p50 + grown_us,
                    expected_warmup_us=times.warmup.p50 + grown_us,
                    start_spread_us=startup.p95 - startup.p50 + times.warmup.p95 - times.warmup.p50,
                    profile=profile.name,
                    # Where the input decides on a GPU this is more than needed.
                    latency_error_us=latency_with_input_us(spec, times.error_us, size, FREE, cpus=cpus),
                    step_ratio=learned.ratio,
                    filled_in=times.filled_in,
                )
            )
    return tuple(sorted(rows, key=lambda c: (c.mini_batch_size, c.engine)))


def _spreads(profiles: Sequence[GPUProfile]) -> Spreads:
    run = max(ASSUMED_SPREADS.run if p.spec.spread.run is None else p.spec.spread.run for p in profiles)
    node = max(ASSUMED_SPREADS.node if p.spec.spread.node is None else p.spec.spread.node for p in profiles)
    return Spreads(run=run, node=node)


def _warnings(profiles: Sequence[GPUProfile], *, interpolate: bool) -> Iterable[str]:
    for profile in profiles:
        spec = profile.spec
        for kind, known, assumed in (
            ("between runs", spec.spread.run, ASSUMED_SPREADS.run),
            ("between nodes", spec.spread.node, ASSUMED_SPREADS.node),
        ):
            if known is None:
                yield f"{profile.name} has no spread {kind}; {assumed} is assumed"
        if interpolate and fit_of(spec) is None:
            yield f"{profile.name} has fewer than {MIN_POINTS} mini-batch sizes; none between them is planned"
        if spec.startup_micros is None:
            yield f"{profile.name} has no start-up time; 0 is assumed, so workers will begin later than planned"
        if spec.busy:
            yield f"{profile.name} was measured while the machine was busy with something else; profile it again"


def _step(spec: ProfileSpec, size: int) -> Step:
    step = next(s for s in spec.steps if s.mini_batch_size == size)
    return step.replace(warmup_micros=warmup_of(spec, size))


def _mean_step(size: int, rows: Sequence[Step]) -> Step:
    return Step(
        mini_batch_size=size,
        samples=sum(s.samples or 0 for s in rows) or None,
        latency_micros=Latency(mean=_mean_up([s.latency_micros.mean for s in rows])),
        warmup_micros=_worst([s.warmup_micros for s in rows if s.warmup_micros]),
        memory_mib=max(s.memory_mib or 0 for s in rows) or None,
    )


def _worst(times: Sequence[Quantiles]) -> Quantiles:
    return Quantiles(p50=_mean_up([t.p50 for t in times]), p95=max(t.p95 for t in times))


def _worst_model(models: Sequence[WarmupModel | None]) -> WarmupModel | None:
    """What the nodes' models say together, of the sizes that each of them knows; None where a node has no model."""
    known = [model for model in models if model]
    if len(known) < len(models):
        return None
    rows = [{row.mini_batch_size: row.warmup_micros for row in model.predictions} for model in known]
    sizes = sorted(set.intersection(*map(set, rows)))
    return WarmupModel(
        error=max(model.error for model in known),
        rows=min(model.rows for model in known),
        predictions=tuple(
            PredictedWarmup(mini_batch_size=size, warmup_micros=_worst([row[size] for row in rows])) for size in sizes
        ),
    )


def _mean_up(times: Sequence[int]) -> int:
    """The mean, rounded up without a float on the way."""
    return -(-sum(times) // len(times))


def _no_profile(name: str, model: Model, known: Mapping[str, Sequence[GPUProfile]]) -> str:
    wanted = f"{model.name} at {model.image_size} px, {model.precision}" + (
        "" if model.engine == "auto" else f", engine {model.engine}"
    )
    if name not in known:
        return f"there is none of the device class {name}; there are profiles of {_listed(known) or 'no class at all'}"
    has = _listed(describe(p.spec) for p in known[name])
    return f"{name} has none of {wanted}; it has {has}. Measure it with dueby profile"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
