"""Forget: are there workers of which the status knows nothing?

it has a plan, or there are none     nothing
otherwise                            Admitted False, WaitingForCleanup; the Jobs of workers and steps are deleted, and
                                     once they are gone the job begins as if it were new

A plan is written before its workers are made, so such a status was lost: a restore brings jobs back without it. With it
went how the sink is cut into parts, and workers that were told other parts can't work beside those. What they have done
is in the sink, where the index step of the new beginning finds it.
"""

from dueby_api.conditions import ConditionType, Reason
from dueby_operator.control.chain import Outcome, PolicyInput
from dueby_operator.control.conditions import without
from dueby_operator.model.actions import MAX_STOPPED, StopJobs
from dueby_operator.model.conditions import NewCondition

MESSAGE = (
    "The job's status was lost, and with it what its workers were told. They are being ended; then the job goes on "
    "with what is in its sink."
)


def forget(inputs: PolicyInput) -> Outcome:
    """End the workers and the steps of a job whose status was lost."""
    plan, job = inputs.status.plan, inputs.job
    if (plan is not None and plan.revision) or not job.worker_jobs:
        return Outcome()
    batch_jobs = [*(worker_job.job for worker_job in job.worker_jobs), *job.steps.values()]
    ending = tuple(batch_job.name for batch_job in batch_jobs if not batch_job.metadata.is_deleting)[:MAX_STOPPED]
    return Outcome(
        conditions=(NewCondition(reason=Reason.WAITING_FOR_CLEANUP, message=MESSAGE),),
        status=without(inputs.status, ConditionType.INDEXED),
        actions=(StopJobs(jobs=ending),) if ending else (),
        ends=True,
    )
