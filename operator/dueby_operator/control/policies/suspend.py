"""Suspend: is the job to wait without devices?

spec.suspend    Admitted False, Suspended; every worker and all measuring is stopped. The clock runs on
otherwise       nothing
"""

from dueby_api.conditions import Reason
from dueby_operator.control.chain import Outcome, PolicyInput
from dueby_operator.model.actions import StopEverything
from dueby_operator.model.conditions import NewCondition


def suspend(given: PolicyInput) -> Outcome:
    """Stop everything for a job that is suspended."""
    if not given.spec.suspend:
        return Outcome()
    suspended = NewCondition(reason=Reason.SUSPENDED, message="spec.suspend is true.")
    return Outcome(conditions=(suspended,), actions=(StopEverything(),), ends=True)
