"""The pool that a job is planned on, from profiles and from the number of devices of each class.

A pool says how sure it is: it has the largest spreads among its classes, and a warning for everything that a profile
does not say and that is therefore assumed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from types import MappingProxyType

from dueby_api.agreement import Agreement
from dueby_api.errors import Invalid
from dueby_api.gpu_profile import GPUProfile, Quantiles
from dueby_api.inference_job import JobSpec, Model
from dueby_api.input_cost import FREE, InputCost
from dueby_api.subject import profile_subject
from dueby_planner.model.capacity import DeviceChoice, PoolGroup
from dueby_planner.model.input_cost import step_with_input, stretched_us
from dueby_planner.model.rule import ASSUMED_SPREADS, WIDE_SPREAD, Spreads, quantile
from dueby_planner.profiles.class_profiles import can_decode, class_profiles, matching, without_profile
from dueby_planner.profiles.fits import MIN_POINTS
from dueby_planner.profiles.interpolation import ModelTimes, fit_of, times_of
from dueby_planner.profiles.observed import LearnedProfile, learn
from dueby_planner.small_samples import Z95

QUIETER = (
    "to keep less, close other programs and profile again when the machine is idle; if it is always as busy, jobs need "
    "this spare time"
)
"""What to do about a wide spread between runs on a machine of one's own."""
QUIETER_NODES = (
    "to keep less, have its nodes measured while nothing else runs on them (docs/profiling.md, “Quiet nodes”); if they "
    "are always as busy, jobs need this spare time"
)
"""The same in a cluster."""
NOT_COUNTED = (
    "source.decoder is gpu, and what that takes of a GPU isn't measured: steps are planned as if the worker's cores "
    "decoded, so they may take longer, and mini-batches have less memory"
)
"""What a plan warns of whose GPUs decode."""
ONE_CORE: Mapping[str, int] = MappingProxyType({})
# Below this share of photos with fp32's best class, a plan says so: whoever asked for the precision may not know.
LOW_AGREEMENT = 0.95


@dataclass(frozen=True, kw_only=True)
class Pool:
    """The devices that a job may use, and how sure their profiles are."""

    groups: tuple[PoolGroup, ...]
    spreads: Spreads
    warnings: tuple[str, ...] = ()
    """What the profiles leave open, in sentences."""
    notes: tuple[str, ...] = ()
    """Those of the warnings that are normal to know, and ask for nothing to be done."""
    is_assumed: bool = False
    """Whether any of them was derived from published figures, and not measured."""


def build_pool(
    job: JobSpec,
    profiles: Sequence[GPUProfile],
    counts: Mapping[str, int | Sequence[tuple[int, int]]],
    *,
    cost: InputCost = FREE,
    cores: Mapping[str, int] = ONE_CORE,
    namespace: str | None = None,
    agreement: Agreement | None = None,
) -> Pool:
    """Return the pool of a job. `counts` has the free devices of each class, or pairs of (count, free in us).

    Classes that are not in spec.gpus.classes are left out, and those without a GPU if one is to decode. In a cluster,
    the job's namespace decides how far its plan believes what other jobs have shown; None: wholly. `agreement` is what
    was measured with the job's own network and images, and takes the place of the profiles'. Raise Invalid if a class
    has no profile of the job's model, or if none is left. `cores` are what a GPU's worker may have, by class.
    """
    by_class = class_profiles(profiles)
    _require_classes(job, by_class.keys() | counts.keys())
    groups: list[PoolGroup] = []
    used: list[GPUProfile] = []
    remarks: list[str] = []
    doubts: list[str] = []
    omitted: list[str] = []
    for name, count in sorted(counts.items()):
        if job.gpus.classes and name not in job.gpus.classes:
            continue
        fitting = [profile for profile in _profiles_of(name, job.model, by_class) if can_decode(profile, job)]
        if not fitting:
            omitted.append(name)
            continue
        learned = [(profile, learn(profile.spec, namespace=namespace)) for profile in fitting]
        used += [profile.replace(spec=now.spec) for profile, now in learned]
        remarks += [f"{profile.name}: {remark}" for profile, now in learned for remark in now.remarks]
        doubts += [f"{profile.name}: {now.doubt}" for profile, now in learned if now.doubt]
        groups += _groups(name, count, _choices(job, learned, cost, cores.get(name, 1)))
    if omitted and not groups:
        raise Invalid("spec.source.decoder", f"gpu: {_without_gpu(omitted)}; set it to cpu, or profile a GPU")
    if not any(group.count for group in groups):
        allowed = f" of the classes {_listed(job.gpus.classes)}" if job.gpus.classes else ""
        raise Invalid("pool", f"is empty: there is no device{allowed} to plan with")
    notes = (*_notes(used, in_cluster=namespace is not None), *remarks)
    return Pool(
        groups=tuple(groups),
        spreads=_spreads(used, groups),
        is_assumed=any(profile.spec.assumed for profile in used),
        warnings=(
            *_agreement_warnings(used, job, agreement),
            *_warnings(used, job, in_cluster=namespace is not None),
            *doubts,
            *notes,
            *([f"{_without_gpu(omitted)}, so that source.decoder: gpu leaves them out"] if omitted else ()),
        ),
        notes=notes,
    )


def _require_classes(job: JobSpec, classes: Iterable[str]) -> None:
    for name in job.gpus.classes:
        if name not in classes:
            raise Invalid("spec.gpus.classes", f"There is no device class {name}; there are {_listed(classes)}.")


def _profiles_of(name: str, model: Model, by_class: Mapping[str, Sequence[GPUProfile]]) -> list[GPUProfile]:
    fitting = matching(by_class.get(name, ()), model)
    if not fitting:
        raise _no_profile(name, model, by_class)
    return fitting


def _no_profile(name: str, model: Model, by_class: Mapping[str, Sequence[GPUProfile]]) -> Invalid:
    if name in by_class:
        subjects = (profile_subject(profile.spec).about.sentence for profile in by_class[name])
        others = f"this class has profiles of {_listed(subjects)}"
    elif by_class:
        others = f"there are profiles of {_listed(by_class)}"
    else:
        others = "there are no profiles at all"
    return without_profile(model, others, where=f" for device class {name}")


def _without_gpu(omitted: Sequence[str]) -> str:
    return f"the profiles of {_listed(omitted)} are of engines that run on CPUs"


def _groups(
    name: str, count: int | Sequence[tuple[int, int]], choices: tuple[DeviceChoice, ...]
) -> Iterable[PoolGroup]:
    for devices, free_us in [(count, 0)] if isinstance(count, int) else count:
        yield PoolGroup(device_class=name, count=devices, available_us=free_us, choices=choices)


def _choices(
    job: JobSpec, profiles: Sequence[tuple[GPUProfile, LearnedProfile]], cost: InputCost, cores: int
) -> tuple[DeviceChoice, ...]:
    """Return every size of every engine up to MB, with the times of this job."""
    rows = [
        _choice(profile, learned, times, cost, cores)
        for profile, learned in profiles
        for times in times_of(learned.spec, interpolate=job.interpolate)
    ]
    return tuple(sorted(rows, key=lambda c: (c.mini_batch_size, c.engine)))


def _choice(
    profile: GPUProfile, learned: LearnedProfile, times: ModelTimes, cost: InputCost, cores: int
) -> DeviceChoice:
    spec, size = learned.spec, times.mini_batch_size
    startup = spec.startup_micros or Quantiles(p50=0, p95=0)
    step = step_with_input(spec, times.latency_us, size, cost, cores=cores)
    grown_us = max(0, step.latency_us - times.latency_us)
    return DeviceChoice(
        engine=spec.engine,
        mini_batch_size=size,
        latency_us=step.latency_us,
        start_us=startup.p95 + times.warmup.p95 + grown_us,
        expected_start_us=startup.p50 + times.warmup.p50 + grown_us,
        expected_warmup_us=times.warmup.p50 + grown_us,
        start_spread_us=startup.p95 - startup.p50 + times.warmup.p95 - times.warmup.p50,
        own_start_us=int((startup.p95 - startup.p50) * sqrt(spec.spread.own_start or 0.0)),
        profile=profile.name,
        # Contention stretches the error, too. On a GPU whose input decides, the error is more than needed.
        latency_error_us=stretched_us(spec, times.error_us),
        step_ratio=learned.ratio,
        interpolation=times.interpolation,
        cores=step.cores,
        beside=step.beside,
    )


def _spreads(profiles: Sequence[GPUProfile], groups: Sequence[PoolGroup]) -> Spreads:
    run = max(ASSUMED_SPREADS.run if p.spec.spread.run is None else p.spec.spread.run for p in profiles)
    node = max(ASSUMED_SPREADS.node if p.spec.spread.node is None else p.spec.spread.node for p in profiles)
    return Spreads(run=run, node=node, start=_own_start(groups))


def _own_start(groups: Sequence[PoolGroup]) -> float:
    """Return the standard deviation of a device's images because of what its start has alone: the least of a class's.

    The others' starts have more than that in common, as far as a plan knows. So a fast class never makes plans keep
    more spare on a slow one.
    """
    by_class: dict[str, float] = {}
    for group in groups:
        if group.count:
            own = (choice.own_start_us * choice.mini_batch_size / choice.latency_us for choice in group.choices)
            by_class[group.device_class] = max(own, default=0.0)
    return min(by_class.values(), default=0.0) / Z95


def _agreement_warnings(profiles: Sequence[GPUProfile], job: JobSpec, of_job: Agreement | None) -> Iterable[str]:
    """Yield how far the answers are from fp32's, where that is much: as measured for the job, or else for profiles."""
    agreements = [("", of_job)] if of_job else [(f"{profile.name}: ", profile.spec.agreement) for profile in profiles]
    for name, agreement in agreements:
        if agreement and agreement.closeness < LOW_AGREEMENT:
            yield f"{name}at {job.model.precision}, {agreement.sentence_with_weights}"


def _warnings(profiles: Sequence[GPUProfile], job: JobSpec, *, in_cluster: bool) -> Iterable[str]:
    if job.source.decoder == "gpu":
        yield NOT_COUNTED
    for profile in profiles:
        spec = profile.spec
        if spec.assumed:
            continue
        run = spec.spread.run or 0.0
        # At a confidence of 0.5 nothing is kept spare.
        if run >= WIDE_SPREAD and (spare := run * quantile(job.planned_confidence)):
            advice = QUIETER_NODES if _is_of_cluster(profile, in_cluster=in_cluster) else QUIETER
            yield f"the spread between runs of {profile.name} is {run:.1%}, so {spare:.0%} are kept spare; {advice}"
        if job.interpolate and fit_of(spec) is None:
            yield f"{profile.name} has fewer than {MIN_POINTS} mini-batch sizes, so no sizes between them are planned"
        if spec.startup_micros is None:
            yield f"{profile.name} has no start-up time; 0 is assumed, so workers will start later than planned"
        if spec.busy:
            yield f"{profile.name} was measured while the machine was busy with something else; profile it again"
        if spec.cut_short:
            size = spec.steps[-1].mini_batch_size
            yield f"{profile.name} ends at mini-batches of {size}: time ran out or a process crashed; profile it again"


def _notes(profiles: Sequence[GPUProfile], *, in_cluster: bool) -> Iterable[str]:
    for profile in profiles:
        spec = profile.spec
        if spec.assumed:
            yield (
                f"{profile.name} is assumed, and was not measured. Its steps are from {spec.source}; they are of one "
                "machine. Start-up is taken to need no time, the first mini-batch no more than others, and decoding "
                f"nothing, and times to differ by {ASSUMED_SPREADS.run:.0%} between runs. Before you rely on the plan, "
                "measure such a device with `dueby profile`"
            )
            continue
        if spec.spread.run is None:
            yield f"{profile.name} has no spread between runs; {ASSUMED_SPREADS.run} is assumed"
        # One machine, where nobody has measured others, has none to tell of.
        if spec.spread.node is None and _is_of_cluster(profile, in_cluster=in_cluster):
            yield f"{profile.name} has no spread between nodes; {ASSUMED_SPREADS.node} is assumed"


def _is_of_cluster(profile: GPUProfile, *, in_cluster: bool) -> bool:
    # `dueby plan` may be given what a cluster has: only Kubernetes gives an object a uid.
    return in_cluster or profile.metadata.uid is not None


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
