"""Which Jobs of a job's steps are of the job as it is now. Pure."""

from collections.abc import Mapping, Sequence

from dueby_api.errors import Invalid
from dueby_operator.jobs.manifests import Owner, step_job_name
from dueby_operator.model.actions import StepName
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.objects.jobs import BatchJob

# The steps that there are once for a job.
ONCE: tuple[StepName, ...] = ("index", "finish")


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
        for found in by_step.get(step, ()):
            if found.name == name:
                current[step] = found
            else:
                outdated[step] = (*outdated.get(step, ()), found)
    return current, outdated
