"""The Kubernetes objects of a job: index, workers, finish. Pure: from the job and what was decided to documents.

Every object is created once and never changed; what a step is told lies in an immutable ConfigMap. Settings that have
reasons: pods that lost their node are replaced in little more than a minute with `podReplacementPolicy:
TerminatingOrFailed` and short tolerations, and never at all with a podFailurePolicy; a TTL on a worker Job would make a
stateless loop start it again.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dueby_api.engines import runs_on_cpu
from dueby_api.errors import Invalid
from dueby_api.inference_job import InferenceJob, JobSpec
from dueby_api.plan import RevisionPlan
from dueby_api.schema import decode
from dueby_api.words import counted
from dueby_operator.cluster.nodes import DeviceKind
from dueby_operator.cluster.requests import cpus_of, own_cores
from dueby_operator.cluster.spot import node_terms
from dueby_operator.jobs import names
from dueby_operator.jobs.capacity_requests import prepare_to_ask
from dueby_operator.jobs.pod_templates import (
    LISTENS,
    SCRATCH,
    DeviceRequest,
    PodRequest,
    add_cache,
    cache_config,
    runs_step,
    step_pod,
    told_by,
    worker_pod,
)
from dueby_operator.model.actions import StartWorkers, StepName
from dueby_operator.model.assignments import assignment_of, planned_worker
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.model.step_configs import common_config, finish_config, index_config, own_config
from dueby_operator.objects.jobs import BatchJob, ConfigMap
from dueby_operator.settings import OperatorSettings
from dueby_planner.schedule.job import Assignment

# Of a worker's pod, before the Job gives its index up.
RETRIES = 6
# A ConfigMap has room for 1 MiB: what so many workers are told each for itself is at most 500 KB, and everyone's shares
# are at most as much (MAX_WORKERS).
MAX_WORKERS_OF_JOB = 1000
# What workers of a Job do, in its ConfigMap.
PLAN_KEY = "plan.json"
# A worker's number is its place among all of the job's.
_WORKER = re.compile(r"w[0-9]{1,6}")
Document = dict[str, Any]
# Each pod is placed for itself: part of the workers are of use, and a Job's parallelism changes. API servers before
# Kubernetes 1.37 don't know the field, and get Jobs without it; 1.36 makes no gang of a Job that has an owner.
ONE_BY_ONE: Document = {"schedulingPolicy": {"basic": {}}}
_STEP_CONFIGS = {"index": index_config, "finish": finish_config}
# The steps that there are once for a job.
ONCE: tuple[StepName, ...] = ("index", "finish")


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The InferenceJob that objects are made for."""

    job: InferenceJob
    namespace: str
    uid: str
    created_us: int | None = None
    """When it was created, in microseconds since 1970; None if nobody says."""
    is_restored: bool = False
    """Whether it comes from a backup, so that it may have been run before under another uid."""

    @property
    def name(self) -> str:
        """The InferenceJob's name."""
        return self.job.metadata.name


@dataclass(frozen=True, kw_only=True)
class Objects:
    """A Job and what its pods are told."""

    config_map: Document
    job: Document


def step_job_name(owner: Owner, step: StepName) -> str:
    """Return the name of a step's Job. After an edit of what the step or its pod is told, it is another."""
    told = {"config": _STEP_CONFIGS[step](owner.job), "worker": owner.job.spec.worker.document()}
    return names.step_name(owner.name, owner.uid, step, told=json.dumps(told, sort_keys=True))


def step_objects(owner: Owner, settings: OperatorSettings, step: StepName) -> Objects:
    """Return ConfigMap and Job of a step that there is once."""
    name, labels = step_job_name(owner, step), names.labels(owner.name, step)
    requests = {"cpu": "100m", "memory": "1Gi"}
    request = PodRequest(runs=runs_step(step), told=told_by(name), labels=labels, requests=requests)
    pod, config = step_pod(owner.job.spec.worker, settings, request), {**_STEP_CONFIGS[step](owner.job), **LISTENS}
    if step == "index":
        add_cache(pod, settings)
        config |= {**_identity(owner), **cache_config(settings)}
    else:
        config["uid"] = owner.uid
    return Objects(
        config_map=config_map_document(name, owner, {"config.json": config}, labels),
        job=job_document(
            name,
            owner,
            labels=labels,
            pod=pod,
            spec={"completions": 1, "parallelism": 1, "backoffLimit": 2},
        ),
    )


def _identity(owner: Owner) -> Document:
    """Return what the index step must know of the object itself: whose rows it may not delete."""
    created = {} if owner.created_us is None else {"createdUnixMicros": owner.created_us}
    return {"uid": owner.uid, **created, "isRestored": owner.is_restored}


def worker_objects(
    owner: Owner,
    settings: OperatorSettings,
    start: StartWorkers,
    *,
    assignments: Sequence[Assignment],
    device: DeviceKind,
    chunk: int = 0,
    avoid: Collection[str] = (),
    memory: str | None = None,
    is_spot: bool | None = None,
) -> Objects:
    """Return ConfigMap and Job of workers of one class that are started together, or of a chunk of them.

    There are at most MAX_WORKERS_OF_JOB. Nodes to `avoid` are not used. `is_spot` says whether they must be on spot
    nodes or must not; None: neither.
    """
    first, labels = assignments[0], _worker_labels(owner, assignments[0].revision)
    name = names.workers_name(
        owner.name, owner.uid, revision=first.revision, device_class=first.device_class, chunk=chunk
    )
    pod = worker_template(
        owner,
        settings,
        assignments=assignments,
        name=name,
        device=device,
        avoid=avoid,
        memory=memory,
        is_spot=is_spot,
        rather=start.nodes.get(first.device_class, ()),
    )
    job = job_document(
        name,
        owner,
        labels=labels,
        pod=pod,
        spec={
            "completionMode": "Indexed",
            "completions": len(assignments),
            "parallelism": len(assignments),
            "backoffLimitPerIndex": RETRIES,
            "podReplacementPolicy": "TerminatingOrFailed",
        },
    )
    job["metadata"]["annotations"] = {names.DEVICE_CLASS: first.device_class}
    if not owner.job.spec.queue_name:
        prepare_to_ask(job, settings.pool(first.pool))
    queue_up(owner.job, job)
    plan = RevisionPlan.of(map(planned_worker, assignments))
    config = _workers_config(owner, settings, start, assignments)
    data = {"config.json": config, PLAN_KEY: plan.document()}
    return Objects(config_map=config_map_document(name, owner, data, labels), job=job)


def worker_template(
    owner: Owner,
    settings: OperatorSettings,
    *,
    assignments: Sequence[Assignment],
    name: str,
    device: DeviceKind,
    avoid: Collection[str] = (),
    memory: str | None = None,
    is_spot: bool | None = None,
    rather: Collection[str] = (),
) -> Document:
    """Return the pod of which a Job of this name makes its workers, which are put on nodes of `rather` if they can.

    The other arguments are those of worker_objects().
    """
    request = DeviceRequest(
        device=device,
        cpus=_cores(owner.job.spec, assignments, settings),
        on_cpu=runs_on_cpu(assignments[0].choice.engine),
        avoid=avoid,
        rather=rather,
        memory=memory,
        among=() if is_spot is None else node_terms(settings.node_pools, spot=is_spot),
    )
    labels = _worker_labels(owner, assignments[0].revision)
    return worker_pod(owner.job, settings, request, config_map=name, labels=labels)


def _worker_labels(owner: Owner, revision: int) -> dict[str, str]:
    return {**names.labels(owner.name, "work"), names.REVISION: str(revision)}


def _workers_config(
    owner: Owner,
    settings: OperatorSettings,
    start: StartWorkers,
    assignments: Sequence[Assignment],
) -> dict[str, Any]:
    """Return what the workers are told, each by its index."""
    first = assignments[0]
    everyone = [*start.before, *(assignment.share for assignment in start.assignments)]
    return {
        **common_config(
            owner.job,
            first,
            threads=_cores(owner.job.spec, assignments, settings),
            images=start.images,
            part_size=start.part_size,
            fingerprint=start.fingerprint,
        ),
        "uid": owner.uid,
        **LISTENS,
        "cacheDir": f"{SCRATCH}/dueby",
        **cache_config(settings),
        "graceSeconds": settings.worker_grace_s,
        "shares": [[share.first, share.end] for share in everyone],
        "workers": [
            own_config(assignment, rank=assignment.number, source=owner.job.spec.source) for assignment in assignments
        ],
    }


def _cores(spec: JobSpec, assignments: Sequence[Assignment], settings: OperatorSettings) -> int:
    """Return the cores of each of these workers: the job's own, or those that they are planned with.

    They are no fewer than those by which workers on a node are counted. A CPU slice has its own, whatever the job says.
    """
    planned = max(each.choice.cores for each in assignments)
    own = own_cores(spec) if planned else None
    return own or max(planned, cpus_of(assignments[0].device_class, settings))


def read_assignments(config_map: ConfigMap) -> list[Assignment]:
    """Return the assignments that a revision's ConfigMap holds, in the order of the Job's indices.

    Raise Invalid if it holds none that can be read, or more than a Job has.
    """
    name, text = config_map.metadata.name, config_map.plan
    if text is None:
        raise Invalid(f"ConfigMap {name}", "has no plan.json")
    origin = f"ConfigMap {name}: plan.json"
    plan = decode(RevisionPlan, text, origin=origin)
    # Who may write ConfigMaps and Jobs of the namespace could claim any number of workers in few bytes.
    if len(plan.assignments) > MAX_WORKERS_OF_JOB:
        raise Invalid(origin, f"has {counted(len(plan.assignments), 'worker')}; a Job has at most {MAX_WORKERS_OF_JOB}")
    workers = plan.workers(origin=origin)
    if strangers := [worker.worker for worker in workers if not _WORKER.fullmatch(worker.worker)]:
        raise Invalid(origin, f"{strangers[0][:40]!r} is no worker's name, such as w12")
    return [assignment_of(worker) for worker in workers]


def queue_up(job: InferenceJob, document: Document) -> None:
    """Have Kueue set the Job going, if the InferenceJob names a queue."""
    if job.spec.queue_name:
        document["metadata"]["labels"] |= {names.QUEUE: job.spec.queue_name}
        document["spec"]["suspend"] = True


def job_document(name: str, owner: Owner, *, labels: Mapping[str, str], pod: Document, spec: Document) -> Document:
    """Return a Job that goes with the InferenceJob."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(name, owner, labels),
        "spec": {**spec, "scheduling": ONE_BY_ONE, "template": pod},
    }


def config_map_document(name: str, owner: Owner, data: Mapping[str, Document], labels: Mapping[str, str]) -> Document:
    """Return what a Job's pods are told, which never changes."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(name, owner, labels),
        "immutable": True,
        "data": {key: json.dumps(value, separators=(",", ":")) for key, value in data.items()},
    }


def _metadata(name: str, owner: Owner, labels: Mapping[str, str]) -> Document:
    return {
        "name": name,
        "namespace": owner.namespace,
        "labels": dict(labels),
        "ownerReferences": [names.job_owner(owner.name, owner.uid)],
    }


def current_and_outdated(
    job: JobSnapshot, by_step: Mapping[str, Sequence[BatchJob]]
) -> tuple[dict[StepName, BatchJob], dict[StepName, Sequence[BatchJob]]]:
    """Return the Jobs of the steps that there are once, and those that were made of the job before an edit."""
    current: dict[StepName, BatchJob] = {}
    outdated: dict[StepName, Sequence[BatchJob]] = {}
    if isinstance(job.manifest, Invalid):
        return current, outdated
    owner = Owner(job=job.manifest, namespace=job.namespace, uid=job.uid)
    for step in ONCE:
        name = step_job_name(owner, step)
        for batch_job in by_step.get(step, ()):
            if batch_job.name == name:
                current[step] = batch_job
            else:
                outdated[step] = (*outdated.get(step, ()), batch_job)
    return current, outdated
