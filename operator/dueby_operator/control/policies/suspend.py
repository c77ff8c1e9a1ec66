"""Suspend: is the job to wait without devices?

spec.suspend    Admitted False, Suspended; every worker and all measuring is stopped, and what is reserved is left to
                others. The clock runs on, and whether the job will be in time isn't known
otherwise       nothing
"""

from dueby_api.conditions import ConditionType, Reason
from dueby_operator.control.chain import Outcome, PolicyInput
from dueby_operator.control.conditions import without
from dueby_operator.control.policies.plan import give_up_windows
from dueby_operator.model.actions import StopEverything
from dueby_operator.model.conditions import NewCondition


def suspend(inputs: PolicyInput) -> Outcome:
    """Stop everything for a job that is suspended."""
    if not inputs.spec.suspend:
        return Outcome()
    suspended = NewCondition(reason=Reason.SUSPENDED, message="spec.suspend is true.")
    status, progress = give_up_windows(without(inputs.status, ConditionType.ON_TRACK)), inputs.status.progress
    if progress is not None:
        progress = progress.replace(images_per_second=0, expected_finish=None, slack=None)
    return Outcome(
        conditions=(suspended,), actions=(StopEverything(),), status=status.replace(progress=progress), ends=True
    )
