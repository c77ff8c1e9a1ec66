"""A job as the schedule sees it: its profiles, its devices, its workers, and what is reserved for it. Pure."""

from collections import Counter
from collections.abc import Collection
from dataclasses import replace

from dueby_api.inference_job import JobSpec
from dueby_api.input_cost import FREE
from dueby_api.subject import class_of, node_of
from dueby_api.units import parse_time_us
from dueby_operator.control.chain import PolicyInput
from dueby_operator.model.begun_sink import begun_parts
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.profiling.provenance import without_former_engines
from dueby_planner.profiles.class_profiles import plannable
from dueby_planner.schedule.job import MAX_WORKERS, News, ScheduledJob, WorkerModel


def build_job(given: PolicyInput) -> ScheduledJob:
    """Return the job with its workers and their devices."""
    job, spec, status = given.job, given.spec, given.status
    if status.images is None:
        raise ValueError(f"{job.namespace}/{job.name} is planned before its images are counted")
    image = spec.worker.image or given.worker_image
    profiles = without_former_engines(plannable(given.profiles, spec), image=image)
    classes = sorted({profile.spec.device_class for profile in profiles})
    workers = tuple(_with_leaving(_with_known_class(worker, classes), given) for worker in job.workers)
    own = Counter(w.assignment.device_class for w in workers if not w.is_gone and w.state != "queued")
    offer = given.shared.devices.offer(job.namespace, spec, classes=classes)
    news = _news(given)
    plan, last = status.plan, next((each for each in reversed(status.replans) if each.reason == "GaveWay"), None)
    return ScheduledJob(
        key=job.key,
        spec=_planned_spec(spec, classes),
        now_us=given.now_us,
        deadline_us=given.deadline_us,
        promised_us=None if news == "Edited" else _promised_us(given),
        images=status.images,
        cost=status.input_cost or FREE,
        agreement=status.agreement,
        profiles=profiles,
        counts={name: own[name] for name in classes},
        offered=offer.counts,
        in_queue=offer.in_queue,
        max_workers=sum(own.values()) + MAX_WORKERS - len(job.shares),
        warnings=offer.warnings,
        promises=given.shared.promises,
        has_quota=given.shared.devices.has_quota(job.namespace),
        absent=_absent(job),
        cpus=given.shared.devices.worker_cpus,
        stores=given.shared.stores,
        grace_s=given.shared.devices.worker_grace_s,
        part_size=given.part_size,
        parts_there=job.parts_there | begun_parts(status),
        least_done=0 if job.is_told_parts or not status.progress else min(status.progress.images_done, status.images),
        revision=job.revision,
        had_workers=given.has_started,
        workers=workers,
        news=news,
        lost_all=given.memory.lost_all,
        gave_way_at=last.images_in_sink if last else None,
        windows=plan.windows if plan and profiles else (),
        is_in_time=plan is not None and parse_time_us(plan.finish_at_confidence) <= given.deadline_us,
        may_wait=given.memory.generation is not None and not given.memory.waited_for_windows,
        lag=given.memory.lag,
    )


def _absent(job: JobSnapshot) -> Counter[str]:
    """Return by class the devices that no node has given to a worker, although it looks as if it could."""
    jobs = {worker_job.name: worker_job.assignments for worker_job in job.worker_jobs}
    absent = ((jobs.get(name, ()), index) for name, index in job.absent)
    return Counter(there[index].device_class for there, index in absent if index < len(there))


def _with_leaving(worker: WorkerModel, given: PolicyInput) -> WorkerModel:
    node = given.nodes.get(worker.node)
    return worker if node is None else replace(worker, leaves_us=node.leaves_us(given.now_us))


def _with_known_class(worker: WorkerModel, classes: Collection[str]) -> WorkerModel:
    """Return the worker with a class that can be planned with.

    On a node that was slow and has recovered, it has a device of the class that the node is of.
    """
    assignment = worker.assignment
    if assignment.device_class in classes:
        return worker
    return replace(worker, assignment=replace(assignment, device_class=class_of(assignment.device_class)))


def _planned_spec(spec: JobSpec, classes: Collection[str]) -> JobSpec:
    """Return the spec as it is planned: without slow nodes that have no profile of its model, if it has others."""
    named = tuple(name for name in spec.gpus.classes if name in classes or not node_of(name))
    return spec.replace(gpus=spec.gpus.replace(classes=named or spec.gpus.classes))


def _promised_us(given: PolicyInput) -> int | None:
    """Return when the running plan expects the end: as remembered, or after a restart as the status says."""
    plan = given.status.plan
    if given.memory.promised_us is not None or plan is None or not plan.revision:
        return given.memory.promised_us
    return parse_time_us(plan.expected_finish)


def _news(given: PolicyInput) -> News | None:
    """Return what has happened since the last decision, the worst of it."""
    memory, states = given.memory, {worker.name: worker.state for worker in given.job.workers}
    if any(states[name] == "lost" for name in states.keys() - memory.lost):
        return "WorkerLost"
    if memory.generation not in (None, given.job.generation):
        return "Edited"
    return "Admitted" if any(states.get(name) in ("starting", "running") for name in memory.queued) else None
