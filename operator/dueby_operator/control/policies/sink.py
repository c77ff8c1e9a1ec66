"""Sink: does another job write to the same place?

no, or the job has begun          nothing
it is suspended                   nothing: it waits anyway
otherwise                         Admitted False, SinkInUse; the job waits, before its index step looks at the sink,
                                  until the other one is over, and what is reserved is left to others
"""

from dueby_api.conditions import Reason
from dueby_operator.control.chain import Outcome, PolicyInput
from dueby_operator.control.conditions import has_reason, without_reasons
from dueby_operator.control.policies.plan import give_up_windows
from dueby_operator.model.conditions import NewCondition


def sink(given: PolicyInput) -> Outcome:
    """Hold a job whose sink another job writes to."""
    holder = given.shared.sink_holders.get(given.job.key)
    if holder is None or given.spec.suspend:
        is_told = has_reason(given.status, Reason.SINK_IN_USE)
        return Outcome(status=without_reasons(given.status, Reason.SINK_IN_USE) if is_told else None)
    _, other = holder
    message = (
        f"The job {other} writes to {given.spec.sink.uri}, too, and every row would be computed twice. This job waits "
        f"until {other} is over. Give one of them a sink of its own, or delete one."
    )
    in_use = NewCondition(reason=Reason.SINK_IN_USE, message=message)
    return Outcome(conditions=(in_use,), status=give_up_windows(given.status), ends=True)
