"""The objects by which an autoscaler is asked for the nodes of a Job's workers: a pod template, and a request. Pure.

Both belong to the Job, so that garbage collection ends them with it: nodes are asked for as long as somebody waits.

For a ProvisioningRequest the pods are there already. An autoscaler passes over pods that are annotated to consume a
request, and makes nodes for the request: for all of its pods or for none, as its class says.

For a CapacityBuffer they are not. An autoscaler makes nodes for the buffer beside those that pods wait for, and again
for what pods take of it. So its Job is suspended until a node has come, and the buffer is deleted just before the Job
has its pods made: what has not come by then, the pods ask for themselves.
"""

from math import ceil

from dueby_api.capacity import ATOMIC_CLASS, CHECKING_CLASS, NodePool, RequestKind
from dueby_api.units import MICROS_PER_SECOND
from dueby_operator import paths
from dueby_operator.jobs import names
from dueby_operator.jobs.pod_state import awaits_nodes
from dueby_operator.model.job_snapshot import WorkerJob
from dueby_operator.model.writes import Add, Change, Delete, Document, Write
from dueby_operator.objects.capacity_requests import REQUESTS, CapacityRequest
from dueby_operator.objects.jobs import BatchJob
from dueby_planner.schedule.job import Assignment


def requests_path(kind: RequestKind, namespace: str | None, name: str = "") -> str:
    """Return the path of the objects of this kind, or of the one of this name."""
    return paths.custom_path(REQUESTS[kind].api_version, REQUESTS[kind].plural, name, namespace)


def prepare_to_ask(job: Document, pool: NodePool | None) -> None:
    """Have the Job and its pods wait for nodes as the pool's way of asking wants it; without a pool for none."""
    annotations = job["metadata"]["annotations"]
    if pool is not None and pool.ask == "ProvisioningRequest":
        annotations[names.PROVISIONING_CLASS] = pool.provisioning_class
        consumes = {names.CONSUMES: job["metadata"]["name"], names.CONSUMED_CLASS: pool.provisioning_class}
        job["spec"]["template"]["metadata"]["annotations"] |= consumes
    elif pool is not None and pool.ask == "CapacityBuffer":
        annotations[names.BUFFER] = names.AWAITED
        job["spec"]["suspend"] = True


def asked_by(job: BatchJob) -> RequestKind | None:
    """Return what asks for the nodes of the Job's workers; None if these ask for themselves, if they need any."""
    if names.PROVISIONING_CLASS in job.metadata.annotations:
        return "ProvisioningRequest"
    return "CapacityBuffer" if awaits_nodes(job) else None


def ask(worker_job: WorkerJob, kind: RequestKind, pod: Document) -> list[Write]:
    """Return what makes a template of the Job's pods, each of which is like `pod`, and the request that names it.

    The template comes first, since a request without its template fails.
    """
    job = worker_job.job
    namespace = job.metadata.namespace
    metadata = {
        "name": job.name,
        "namespace": namespace,
        "labels": dict(job.metadata.labels),
        "ownerReferences": [names.batch_owner(job.name, job.metadata.uid)],
    }
    template = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": metadata, "template": pod}
    spec = _request_spec(worker_job) if kind == "ProvisioningRequest" else _buffer_spec(job)
    request = {"apiVersion": REQUESTS[kind].api_version, "kind": kind, "metadata": metadata, "spec": spec}
    return [
        Add(kind=paths.core_path("podtemplates", namespace), document=template),
        Add(kind=requests_path(kind, namespace), document=request),
    ]


def withdraw(request: CapacityRequest) -> Delete:
    """Return what deletes the request. Nodes that have come for it stay until the autoscaler finds them empty."""
    path = requests_path(request.kind, request.metadata.namespace, request.name)
    return Delete(path=path, uid=request.metadata.uid)


def let_start(job: BatchJob) -> Change:
    """Return what has the pods of a Job made that awaited its nodes."""
    fields = {"metadata": {"annotations": {names.BUFFER: names.CAME}}, "spec": {"suspend": False}}
    return Change(path=paths.batch_path(job.metadata.namespace, job.name), fields=fields, uid=job.metadata.uid)


def _buffer_spec(job: BatchJob) -> Document:
    return {"podTemplateRef": {"name": job.name}, "replicas": job.spec.completions}


def _request_spec(worker_job: WorkerJob) -> Document:
    job = worker_job.job
    class_name = job.metadata.annotations[names.PROVISIONING_CLASS]
    return {
        "provisioningClassName": class_name,
        "podSets": [{"count": job.spec.completions, "podTemplateRef": {"name": job.name}}],
        "parameters": _parameters(class_name, worker_job.assignments[0]),
    }


def _parameters(class_name: str, assignment: Assignment) -> dict[str, str]:
    """Return what has the autoscaler say early that it can't, rather than try again: the rest is planned around it."""
    if class_name == CHECKING_CLASS:
        return {"noRetry": "true"}
    if class_name == ATOMIC_CLASS and assignment.may_come_us:
        return {"ValidUntilSeconds": str(ceil(assignment.may_come_us / MICROS_PER_SECOND))}
    return {}
