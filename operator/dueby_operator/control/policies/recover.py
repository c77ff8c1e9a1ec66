"""Recover: is it known of every Job of workers what its workers do?

every ConfigMap can be read     nothing
every part is there             nothing: workers have nothing left to do
one is gone                     Admitted False, AssignmentsLost; its Job is deleted, and what is left is planned again

Pods of such a Job that are started again never start, and hold a device while they try. An operator that has just
started knows nothing of the workers either. The parts that they have done are in the sink, so nothing is lost but time.
"""

from dueby_api.conditions import Reason
from dueby_operator.control.chain import Outcome, PolicyInput
from dueby_operator.jobs import names
from dueby_operator.jobs.repeats import is_leaving
from dueby_operator.model.actions import MAX_STOPPED, StopJobs
from dueby_operator.model.conditions import NewCondition


def recover(inputs: PolicyInput) -> Outcome:
    """Delete the Jobs of workers of which nobody knows what they do."""
    lost = [batch_job for batch_job in inputs.job.without_config if batch_job.metadata.labels.get(names.STEP) == "work"]
    if not lost or inputs.is_full:
        return Outcome()
    stopping = tuple(batch_job.name for batch_job in lost if not batch_job.metadata.is_deleting)
    if not stopping and not any(is_leaving(batch_job, now_us=inputs.now_us) for batch_job in lost):
        return Outcome()
    stopping = stopping[:MAX_STOPPED]
    jobs = ", ".join(batch_job.name for batch_job in lost)
    message = (
        f"ConfigMaps of workers ({jobs}) are gone or can't be read. Their Jobs are deleted, and others take over what "
        "is left. Find out what deletes ConfigMaps."
    )
    condition = NewCondition(reason=Reason.ASSIGNMENTS_LOST, message=message)
    return Outcome(conditions=(condition,), actions=(StopJobs(jobs=stopping),) if stopping else (), ends=True)
