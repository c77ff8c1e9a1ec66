"""Whether a job can be planned by what was measured, and what is measured first where nothing was. Pure.

a profile of a class that is there      planned on it, at once
none, but of another image size         planned at once on what that predicts (planner/relatives.py)
none                                    every class that may be used and has a free device is measured, side by side
one is done                             planned, once those that are at work are done too; the rest is left out
a class that can't be measured          left out, and said; where none can, the condition says what to do

Measuring has a time limit, and it runs beside the index step. Whoever measures takes free devices only.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from dueby_api.engines import runs_on_cpu
from dueby_api.inference_job import InferenceJob
from dueby_operator.cluster.nodes import CPU_CLASS, DeviceKind, has_slices, is_open
from dueby_operator.control.conditions import Say, is_true
from dueby_operator.control.world import World
from dueby_operator.control.writes import Create, Delete, Put, Write
from dueby_operator.jobs import names
from dueby_operator.jobs.job_model import free_for_one
from dueby_operator.jobs.manifests import TOLERATIONS, Setting, worker_requests
from dueby_operator.jobs.pod_state import Seen
from dueby_operator.profiling.attempts import Try, measured_elsewhere, outdated, tries_of
from dueby_operator.profiling.class_profiles import managed, parts_of
from dueby_operator.profiling.documents import profiles_of
from dueby_operator.profiling.on_demand_jobs import profile_objects, subject_of
from dueby_operator.profiling.provenance import with_origin
from dueby_planner.profiles.class_profiles import matching
from dueby_planner.profiles.size_prediction import describe_predictions, is_bearable, predictions


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one look at a job's profiles comes to."""

    said: Say
    writes: tuple[Write, ...] = ()

    @property
    def is_ready(self) -> bool:
        """Whether there is something to plan with."""
        return self.said.status == "True"


def look_at_profiles(job: InferenceJob, seen: Seen, world: World, setting: Setting, *, may_create: bool) -> Outcome:
    """Whether the job can be planned; if not, what is done about it. The world has that much less for the next job."""
    model, allowed = job.spec.model, job.spec.gpus.classes
    tries = tries_of(seen, model)
    clearing = tuple(_delete(seen, name) for name in outdated(seen, model))
    measured = {profile.spec.device_class for profile in matching(world.profiles, model)}
    known = {name for name in measured if not allowed or name in allowed}
    status = seen.document.get("status", {})
    measured_already = known if is_true(status, "Profiled") else set()
    # Of an image of the job's own it is not said by which name: nobody would measure with it again.
    image_name = "" if job.spec.worker.image else setting.image
    if stored := _to_store(tries, world, known=measured_already, image_name=image_name):
        return Outcome(said=_profiling(job, ["what was measured is being stored"]), writes=(*clearing, *stored))
    # What has begun goes on with what it was planned with, even while none of it is to be seen.
    is_started = bool(seen.crews) or "plan" in status
    there = classes_there(job, world, known.union(allowed))
    at_work = [one for one in tries if one.state == "measuring"]
    usable = known if is_started else known & there
    if usable and (is_started or not at_work):
        waiting = [_delete(seen, one.name) for one in tries if one.state == "waiting"]
        return Outcome(said=_profiled(job, world, usable, tries), writes=(*clearing, *waiting))
    if usable:
        return Outcome(said=_profiling(job, map(_how_far, at_work)), writes=clearing)
    if not any(one.is_open for one in tries) and (predicted := _predict(job, world)):
        return Outcome(said=_profiled(job, world, predicted, tries), writes=clearing)
    return _measure(job, seen, world, setting, tries, there, known=known, may_create=may_create, clearing=clearing)


def stop_profiling(seen: Seen) -> list[Write]:
    """What ends all measuring for the job."""
    return [_delete(seen, str(job["metadata"]["name"])) for job in seen.profiling]


def classes_there(job: InferenceJob, world: World, named: Iterable[str]) -> set[str]:
    """The classes of GPUs on nodes that the job may use, and those slices among the named for which there is a node."""
    worker = job.spec.worker
    nodes = [
        node
        for node in world.nodes.values()
        if is_open(node, tolerations=[*TOLERATIONS, *worker.tolerations], selector=worker.node_selector)
    ]
    slices = {name for name in named if any(has_slices(node, name) for node in nodes)}
    return {name for node in nodes for name in node.devices} | slices


def _to_store(tries: Sequence[Try], world: World, *, known: set[str], image_name: str) -> list[Put]:
    there = {profile.name for profile in world.profiles}
    puts = [
        put
        for one in tries
        if one.found and one.device_class not in known
        for node in [world.nodes.get(one.node)]
        for put in profiles_of(
            with_origin(one.found, node=node, image_name=image_name), node=node, profiles=world.profiles
        )
    ]
    return puts if any(put.document["metadata"]["name"] not in there for put in puts) else []


def _predict(job: InferenceJob, world: World) -> set[str]:
    """The classes for which another image size tells what to expect; their profiles are kept from now on."""
    known = [profile for profile in world.profiles if not profile.spec.device.node]
    found = [profile.spec for profile in predictions(known, job.spec.model)]
    named = {spec.device_class for spec in found}
    usable = classes_there(job, world, named).intersection(job.spec.gpus.classes or named)
    confidence = job.spec.planned_confidence
    made = [spec for spec in found if spec.device_class in usable and is_bearable(spec, confidence=confidence)]
    for spec in made:
        world.keep_profile(managed(names.profile_name(*parts_of(spec), "predicted"), spec))
    return {spec.device_class for spec in made}


def _measure(
    job: InferenceJob,
    seen: Seen,
    world: World,
    setting: Setting,
    tries: Sequence[Try],
    there: set[str],
    *,
    known: set[str],
    may_create: bool,
    clearing: tuple[Write, ...],
) -> Outcome:
    """Begin with every class that has a free device, and say how far the others are."""
    elsewhere, measurable = measured_elsewhere(world, seen, job.spec.model), _measurable(job, there)
    tried = {one.device_class for one in tries}
    wanted = [name for name in measurable if name not in tried and name not in elsewhere]
    free = free_for_one(job, seen, world, setting, classes=wanted)
    begun = [_begin(job, seen, world, setting, name) for name in wanted if free[name] and may_create]
    told = [
        *(_how_far(one) for one in tries if one.is_open),
        *(f"{name}: its pod is being started" for name in wanted if free[name]),
        *(f"{name}: is being measured for the job {elsewhere[name]}" for name in measurable if name in elsewhere),
    ]
    if told:
        return Outcome(said=_profiling(job, told), writes=(*clearing, *begun))
    if known:  # of classes that are not there now, such as a pool that was scaled to nothing
        return Outcome(said=_profiled(job, world, known, tries), writes=clearing)
    return Outcome(said=_unprofiled(job, tries, busy=wanted), writes=clearing)


def _measurable(job: InferenceJob, there: set[str]) -> list[str]:
    """Classes that may be measured: those that the job names; otherwise all of GPUs, if its engine is for them."""
    if job.spec.gpus.classes:
        return [name for name in job.spec.gpus.classes if name in there]
    return [] if runs_on_cpu(job.spec.model.engine) else sorted(there - {n for n in there if CPU_CLASS.match(n)})


def _begin(job: InferenceJob, seen: Seen, world: World, setting: Setting, device_class: str) -> Create:
    device = world.kind_of(device_class) or DeviceKind()
    config_map, work = profile_objects(
        job, seen.document, setting, device_class=device_class, device=device, avoid=world.avoided(device_class)
    )
    world.reserve(seen.namespace, device_class, {**worker_requests(job, setting, device_class), **device.request}, 1)
    world.measured[device_class, subject_of(job.spec.model)] = f"{seen.namespace}/{job.metadata.name}"
    return Create(config_map=config_map, job=work)


def _how_far(one: Try) -> str:
    return f"{one.device_class}: {one.told}"


def _subject(job: InferenceJob) -> str:
    model = job.spec.model
    engine = "" if model.engine == "auto" else f", engine {model.engine}"
    return f"{model.name} at {model.image_size} px, {model.precision}{engine}"


def _profiling(job: InferenceJob, told: Iterable[str]) -> Say:
    message = f"{_subject(job)} is being measured. {'; '.join(told)}."
    return Say(type="Profiled", status="False", reason="Profiling", message=message)


def _profiled(job: InferenceJob, world: World, classes: Collection[str], tries: Sequence[Try]) -> Say:
    failed = [f"{one.device_class} is left out, since measuring it failed: {one.told}" for one in tries if _failed(one)]
    used = [p for p in matching(world.profiles, job.spec.model) if p.spec.device_class in classes]
    if used and all(profile.spec.predicted for profile in used):
        told = (
            f"{_subject(job)} was not measured. It is predicted for {'; '.join(describe_predictions(used))}. "
            "The job's first steps correct it; `dueby profile` on such a node, then `kubectl apply`, measures it."
        )
        return Say(type="Profiled", status="True", reason="Predicted", message=" ".join([told, *failed]))
    return Say(type="Profiled", status="True", reason="Profiled", message=". ".join(failed))


def _unprofiled(job: InferenceJob, tries: Sequence[Try], *, busy: Sequence[str]) -> Say:
    """Why there is nothing to plan with, and what to do."""
    failed = [one for one in tries if _failed(one)]
    by_hand = "or measure it by hand with `dueby profile` and apply the profile"
    if failed:
        told = "; ".join(map(_how_far, failed))
        waiting = f" {', '.join(busy)} will be measured once a device is free." if busy else ""
        again = ", ".join(one.name for one in failed)
        message = (
            f"Measuring {_subject(job)} failed. {told}.{waiting} To try again, `kubectl delete job {again}`, {by_hand}."
        )
        return Say(type="Profiled", status="False", reason="ProfilingFailed", message=message)
    if busy:
        message = (
            f"There is no GPUProfile for {_subject(job)}, and of {', '.join(busy)} no device is free to measure one: "
            f"that is done once one is. Wait, {by_hand}."
        )
    else:
        named = ", ".join(job.spec.gpus.classes) or "GPUs that this job could use"
        hint = "" if job.spec.gpus.classes else " (slices of CPUs are measured if spec.gpus.classes names them: cpu-2)"
        message = (
            f"There is no GPUProfile for {_subject(job)}, and no node has {named}{hint}. Add such a node, {by_hand}."
        )
    return Say(type="Profiled", status="False", reason="NoProfile", message=message)


def _failed(one: Try) -> bool:
    return one.state == "failed"


def _delete(seen: Seen, name: str) -> Delete:
    return Delete(path=names.batch_path(seen.namespace, name))
