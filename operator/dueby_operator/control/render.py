"""From what was decided about a job to what is written: actions become Jobs, ConfigMaps and deletions. Pure."""

from collections import defaultdict
from collections.abc import Sequence

from dueby_api.errors import Invalid
from dueby_api.inference_job import InferenceJob
from dueby_operator import paths
from dueby_operator.cluster.devices import ClusterDevices
from dueby_operator.cluster.nodes import DeviceKind
from dueby_operator.control.clear import delete_job
from dueby_operator.jobs import names
from dueby_operator.jobs.manifests import MAX_WORKERS_OF_JOB, Owner, step_objects, worker_objects
from dueby_operator.jobs.pod_state import index_of, job_of
from dueby_operator.jobs.repeats import attempt_of
from dueby_operator.model.actions import (
    Action,
    MeasureClass,
    StartStep,
    StartWorkers,
    StopEverything,
    StopJobs,
    StopMeasuring,
    StopWorkers,
)
from dueby_operator.model.job_model import Assignment
from dueby_operator.model.job_snapshot import JobSnapshot, WorkerJob
from dueby_operator.model.writes import Add, Change, Create, Delete, Document, Write
from dueby_operator.objects.jobs import BatchJob
from dueby_operator.profiling.on_demand_jobs import private_objects, shared_job
from dueby_operator.settings import OperatorSettings


def render(
    actions: Sequence[Action], job: JobSnapshot, manifest: InferenceJob, devices: ClusterDevices
) -> tuple[Write, ...]:
    """Return what carries the actions out. Raise Invalid if workers are to have devices that no node has."""
    owner = Owner(job=manifest, namespace=job.namespace, uid=job.uid)
    return tuple(write for action in actions for write in _render(action, job, owner, devices))


def _render(action: Action, job: JobSnapshot, owner: Owner, devices: ClusterDevices) -> Sequence[Write]:
    match action:
        case StartStep():
            return _start_step(action, job, owner, devices.settings)
        case StartWorkers():
            return _start_workers(action, owner, devices)
        case StopWorkers():
            return _stop_workers(action, job)
        case MeasureClass():
            return _measure(action, owner, devices)
        case StopMeasuring():
            return [delete_job(found) for found in job.profiling if found.name in action.jobs]
        case StopEverything():
            there = (*(each.job for each in job.worker_jobs), *job.profiling, *job.without_config)
            return [delete_job(found) for found in {each.metadata.uid: each for each in there}.values()]
        case StopJobs():
            outdated = (found for jobs in job.outdated_steps.values() for found in jobs)
            there = (*outdated, *job.without_config, *(each.job for each in job.worker_jobs))
            meant = (found for found in there if found.name in action.jobs)
            return [delete_job(found, waits=True) for found in meant]


def _start_workers(start: StartWorkers, owner: Owner, devices: ClusterDevices) -> list[Write]:
    """Return Jobs for each device class, since a Job's pods all ask for the same: one, or more of many workers."""
    by_class: dict[str, list[Assignment]] = defaultdict(list)
    for assignment in start.assignments:
        by_class[assignment.device_class].append(assignment)
    made: list[Write] = []
    for device_class, assignments in by_class.items():
        device = devices.kind_of(device_class)
        if device is None:
            raise Invalid("spec.gpus.classes", f"no node has devices of the class {device_class}")
        avoid = devices.avoided_nodes(device_class)
        for chunk, first in enumerate(range(0, len(assignments), MAX_WORKERS_OF_JOB)):
            some = assignments[first : first + MAX_WORKERS_OF_JOB]
            objects = worker_objects(
                owner, devices.settings, start, assignments=some, device=device, chunk=chunk, avoid=avoid
            )
            made.append(Create(config_map=objects.config_map, job=objects.job))
    return made


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
        made = private_objects(owner, settings, device_class=name, device=device, avoid=avoid)
        document, create = made.job, Create(config_map=made.config_map, job=made.job)
    return _in_place(create, document, uid=action.in_place_of, attempt=action.attempt)


def _start_step(start: StartStep, job: JobSnapshot, owner: Owner, settings: OperatorSettings) -> list[Write]:
    made, before = step_objects(owner, settings, start.step), job.steps.get(start.step)
    create = Create(config_map=made.config_map, job=made.job)
    if before is None:
        return [create]
    return _in_place(create, made.job, uid=before.metadata.uid, attempt=attempt_of(before) + 1)


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
    hangs is not taken away: its pod is, and the Job makes another one.
    """
    made: list[Write] = []
    for worker_job in job.worker_jobs:
        alive = [w.name for w in job.workers if not w.is_gone and w.group == worker_job.name]
        meant = [name for name in alive if name in stop.workers]
        if not meant:
            continue
        left = worker_job.job.spec.completions - len(meant)
        if stop.reason == "WorkerLost":
            made += _delete_pods(worker_job, job, meant)
        elif left <= 0 or (len(meant) == len(alive) and names.QUEUE in worker_job.job.metadata.labels):
            made.append(delete_job(worker_job.job))
        elif names.QUEUE not in worker_job.job.metadata.labels:
            made.append(_shrink(worker_job.job, left))
    return made


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
