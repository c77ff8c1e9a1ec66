"""Which deadline classes the administrator allows a namespace. Pure."""

from dueby_api.inference_job import JobSpec
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.settings import Promises


def forbidden_class(job: JobSnapshot, spec: JobSpec, promises: Promises) -> str:
    """Return that the job's namespace may not use its deadline class, and which it may; empty if it may."""
    allowed = promises.classes_of(job.namespace)
    if not allowed or spec.deadline_class in allowed:
        return ""
    return (
        f"Jobs of the namespace {job.namespace} may not be {spec.deadline_class}, by promises.classes. "
        f"Set spec.deadlineClass to {' or '.join(allowed)}."
    )
