"""From what was decided about a job to what is written: actions become Jobs, ConfigMaps and deletions. Pure."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

from dueby_api.errors import Invalid
from dueby_api.inference_job import InferenceJob
from dueby_api.spot import SpotUse
from dueby_operator import paths
from dueby_operator.cluster.devices import ClusterDevices
from dueby_operator.cluster.nodes import DeviceKind
from dueby_operator.control.clear import delete_job
from dueby_operator.jobs import names
from dueby_operator.jobs.capacity_requests import ask, asked_by, let_start, withdraw
from dueby_operator.jobs.manifests import MAX_WORKERS_OF_JOB, Owner, step_objects, worker_objects, worker_template
from dueby_operator.jobs.pod_state import awaits_nodes, index_of, job_of
from dueby_operator.jobs.repeats import attempt_of
from dueby_operator.model.actions import (
    MAX_STOPPED,
    Action,
    AskForNodes,
    LetStart,
    MeasureClass,
    StartStep,
    StartWorkers,
    StopEverything,
    StopJobs,
    StopMeasuring,
    StopWorkers,
)
from dueby_operator.model.job_snapshot import JobSnapshot, WorkerJob
from dueby_operator.model.writes import Add, Change, Create, Delete, Document, Write
from dueby_operator.objects.jobs import BatchJob
from dueby_operator.profiling.on_demand_jobs import private_objects, shared_job
from dueby_operator.settings import OperatorSettings
from dueby_planner.schedule.job import Assignment

# Whether pods are kept on spot nodes, or off them, whatever the plan says.
_KEPT_ON_SPOT: Mapping[SpotUse, bool] = {"Only": True, "Avoid": False}


def render(
    actions: Sequence[Action], job: JobSnapshot, manifest: InferenceJob, devices: ClusterDevices
) -> tuple[Write, ...]:
    """Return what carries the actions out. Raise Invalid if workers are to have devices that no node has."""
    owner = Owner(
        job=manifest,
        namespace=job.namespace,
        uid=job.uid,
        created_us=job.created_us,
        is_restored=job.is_restored,
    )
    return tuple(write for action in actions for write in _render(action, job, owner, devices))


def _render(action: Action, job: JobSnapshot, owner: Owner, devices: ClusterDevices) -> Sequence[Write]:
    match action:
        case StartStep():
            return _start_step(action, job, owner, devices.settings)
        case StartWorkers():
            deadline_us = owner.job.spec.deadline_us(accepted_us=job.accepted_us)
            return _start_workers(action, owner, devices, keeps_until_us=deadline_us)
        case AskForNodes():
            asking = (worker_job for worker_job in job.worker_jobs if worker_job.name in action.jobs)
            return [write for worker_job in asking for write in _ask(worker_job, owner, devices)]
        case LetStart():
            ready = [worker_job.job for worker_job in job.worker_jobs if worker_job.name in action.jobs]
            return [write for one in ready for write in (*_withdraw(one, job), let_start(one))]
        case StopWorkers():
            return _stop_workers(action, job)
        case MeasureClass():
            return _measure(action, owner, devices)
        case StopMeasuring():
            named = set(action.jobs)
            return [delete_job(batch_job) for batch_job in job.profiling if batch_job.name in named][:MAX_STOPPED]
        case StopEverything():
            batch_jobs = (*(worker_job.job for worker_job in job.worker_jobs), *job.profiling, *job.without_config)
            # One that is on its way out stays until its pods are gone, if it was told to, or somebody's finalizer is.
            going = {
                batch_job.metadata.uid: batch_job for batch_job in batch_jobs if not batch_job.metadata.is_deleting
            }
            return [delete_job(batch_job) for batch_job in going.values()][:MAX_STOPPED]
        case StopJobs():
            outdated = (batch_job for jobs in job.outdated_steps.values() for batch_job in jobs)
            batch_jobs = (
                *job.steps.values(),
                *outdated,
                *job.without_config,
                *(worker_job.job for worker_job in job.worker_jobs),
            )
            meant = (batch_job for batch_job in batch_jobs if batch_job.name in action.jobs)
            return [delete_job(batch_job, waits=True) for batch_job in meant]


def _start_workers(start: StartWorkers, owner: Owner, devices: ClusterDevices, *, keeps_until_us: int) -> list[Write]:
    """Return Jobs for each device class, pool and kind of node, since a Job's pods all ask for the same: one, or more.

    Workers that may keep their devices are on nodes that stay until `keeps_until_us`, the others on nodes that stay as
    long as they do.
    """
    groups: dict[tuple[str, str, bool | None, frozenset[str]], list[Assignment]] = defaultdict(list)
    for assignment in start.assignments:
        until_us = assignment.until_us or keeps_until_us
        avoid = devices.avoided_nodes(assignment.device_class, until_us=until_us)
        is_spot = _KEPT_ON_SPOT.get(owner.job.spec.spot_use, assignment.is_spot)
        groups[assignment.device_class, assignment.pool, is_spot, avoid].append(assignment)
    writes: list[Write] = []
    chunks: Counter[str] = Counter()
    for (device_class, pool, is_spot, avoid), assignments in groups.items():
        device = devices.kind_in_pool(pool, device_class) if pool else devices.kind_of(device_class)
        if device is None:
            raise Invalid("spec.gpus.classes", f"no node has devices of the class {device_class}")
        for first in range(0, len(assignments), MAX_WORKERS_OF_JOB):
            some, chunk = assignments[first : first + MAX_WORKERS_OF_JOB], chunks[device_class]
            objects = worker_objects(
                owner,
                devices.settings,
                start,
                assignments=some,
                device=device,
                chunk=chunk,
                avoid=avoid,
                memory=devices.worker_memory(owner.job.spec.model, device_class),
                is_spot=is_spot,
            )
            chunks[device_class] += 1
            writes.append(Create(config_map=objects.config_map, job=objects.job))
    return writes


def _ask(worker_job: WorkerJob, owner: Owner, devices: ClusterDevices) -> list[Write]:
    """Return what asks for the nodes of a Job. Nothing is asked of a pool that is gone, or that can't be asked."""
    first, kind = worker_job.assignments[0], asked_by(worker_job.job)
    device = devices.kind_in_pool(first.pool, first.device_class)
    if device is None or kind is None or kind in devices.unserved:
        return []
    pod = worker_template(
        owner,
        devices.settings,
        assignments=worker_job.assignments,
        name=worker_job.name,
        device=device,
        memory=devices.worker_memory(owner.job.spec.model, first.device_class),
        is_spot=_KEPT_ON_SPOT.get(owner.job.spec.spot_use, first.is_spot),
    )
    return ask(worker_job, kind, pod)


def _withdraw(batch_job: BatchJob, job: JobSnapshot) -> list[Write]:
    """Return what deletes what asks for the nodes that a Job awaits, if there is something."""
    request = job.requests.get(batch_job.name)
    return [withdraw(request)] if request and awaits_nodes(batch_job) else []


def _measure(action: MeasureClass, owner: Owner, devices: ClusterDevices) -> list[Write]:
    name, settings = action.device_class, devices.settings
    device, avoid = devices.kind_of(name) or DeviceKind(), devices.avoided_nodes(name)
    if action.for_everybody and settings.profiler is not None:
        document = shared_job(
            owner.job,
            settings,
            settings.profiler,
            namespace=owner.namespace,
            device_class=name,
            device=device,
            avoid=avoid,
        )
        create: Add | Create = Add(kind=paths.batch_path(settings.profiler.namespace), document=document)
    else:
        objects = private_objects(owner, settings, device_class=name, device=device, avoid=avoid)
        document, create = objects.job, Create(config_map=objects.config_map, job=objects.job)
    return _in_place(create, document, uid=action.in_place_of, attempt=action.attempt)


def _start_step(start: StartStep, job: JobSnapshot, owner: Owner, settings: OperatorSettings) -> list[Write]:
    objects, before = step_objects(owner, settings, start.step), job.steps.get(start.step)
    create = Create(config_map=objects.config_map, job=objects.job)
    if before is None:
        return [create]
    return _in_place(create, objects.job, uid=before.metadata.uid, attempt=attempt_of(before) + 1)


def _in_place(create: Add | Create, document: Document, *, uid: str, attempt: int) -> list[Write]:
    """Return what creates the Job, in the place of the one of its name that has this uid, if there is one."""
    if not uid:
        return [create]
    metadata = document["metadata"]
    metadata["annotations"] = {**metadata.get("annotations", {}), names.ATTEMPT: str(attempt)}
    return [Delete(path=paths.batch_path(metadata["namespace"], metadata["name"]), uid=uid), create]


def _stop_workers(stop: StopWorkers, job: JobSnapshot) -> list[Write]:
    """Return what takes the workers away.

    A Job of which all living workers are meant is deleted. Of another, an Indexed Job shrinks at its end only: the
    worker that goes is not always the one that was meant, and the others take over its share either way. A worker that
    hangs, or one of those whose node goes away, is not taken away: its pod is, and the Job makes another one.
    """
    writes: list[Write] = []
    for worker_job in job.worker_jobs:
        alive = [w.name for w in job.workers if not w.is_gone and w.group == worker_job.name]
        meant = [name for name in alive if name in stop.workers]
        if not meant:
            continue
        remaining = _left_without(worker_job, alive, len(meant))
        is_queued, is_draining = names.QUEUE in worker_job.job.metadata.labels, stop.reason == "NodeDrains"
        is_whole = len(meant) == len(alive)
        if stop.reason == "WorkerLost" or (is_draining and not is_whole):
            writes += _delete_pods(worker_job, job, meant)
        elif remaining <= 0 or (is_whole and (is_queued or is_draining)):
            writes.append(delete_job(worker_job.job))
        elif not is_queued:
            # What asks for fewer nodes is made in the next pass.
            writes += [*_withdraw(worker_job.job, job), _shrink(worker_job.job, remaining)]
    return writes


def _left_without(worker_job: WorkerJob, alive: Collection[str], count: int) -> int:
    """Return how many indices the Job may keep so that so many of its living workers go, whoever is dead."""
    names_alive, indices = set(alive), range(worker_job.job.spec.completions)
    living = [
        i for i, assignment in zip(indices, worker_job.assignments, strict=False) if assignment.worker in names_alive
    ]
    return min(living[-count:], default=0)


def _shrink(job: BatchJob, count: int) -> Change:
    fields = {"spec": {"completions": count, "parallelism": count}}
    return Change(path=paths.batch_path(job.metadata.namespace, job.name), fields=fields, uid=job.metadata.uid)


def _delete_pods(worker_job: WorkerJob, job: JobSnapshot, workers: Sequence[str]) -> list[Write]:
    indices = {i for i, assignment in enumerate(worker_job.assignments) if assignment.worker in workers}
    return [
        Delete(path=paths.core_path("pods", job.namespace, pod.name), uid=pod.metadata.uid)
        for pod in job.pods
        if job_of(pod) == worker_job.name and index_of(pod) in indices
    ]
