"""The objects by which an autoscaler is asked for the nodes of a Job's workers: a pod template, and a request. Pure.

Both belong to the Job, so that garbage collection ends them with it: nodes are asked for as long as somebody waits.
The pods are there already. An autoscaler passes over pods that are annotated to consume a request, and makes nodes for
the request: for all of its pods or for none, as its class says.
"""

from math import ceil

from dueby_api.capacity import ATOMIC_CLASS, CHECKING_CLASS
from dueby_api.units import MICROS_PER_SECOND
from dueby_operator.jobs import names
from dueby_operator.model.job_snapshot import WorkerJob
from dueby_operator.model.writes import Document
from dueby_planner.schedule.job import Assignment


def request_objects(worker_job: WorkerJob, pod: Document) -> tuple[Document, Document]:
    """Return a template of the Job's pods, each of which is like `pod`, and the ProvisioningRequest that names it."""
    job = worker_job.job
    class_name = job.metadata.annotations[names.PROVISIONING_CLASS]
    metadata = {
        "name": job.name,
        "namespace": job.metadata.namespace,
        "labels": dict(job.metadata.labels),
        "ownerReferences": [names.batch_owner(job.name, job.metadata.uid)],
    }
    pods = {"count": job.spec.completions, "podTemplateRef": {"name": job.name}}
    parameters = _parameters(class_name, worker_job.assignments[0])
    return {"apiVersion": "v1", "kind": "PodTemplate", "metadata": metadata, "template": pod}, {
        "apiVersion": "autoscaling.x-k8s.io/v1",
        "kind": "ProvisioningRequest",
        "metadata": metadata,
        "spec": {"provisioningClassName": class_name, "podSets": [pods], "parameters": parameters},
    }


def _parameters(class_name: str, assignment: Assignment) -> dict[str, str]:
    """Return what has the autoscaler say early that it can't, rather than try again: the rest is planned around it."""
    if class_name == CHECKING_CLASS:
        return {"noRetry": "true"}
    if class_name == ATOMIC_CLASS and assignment.may_come_us:
        return {"ValidUntilSeconds": str(ceil(assignment.may_come_us / MICROS_PER_SECOND))}
    return {}
