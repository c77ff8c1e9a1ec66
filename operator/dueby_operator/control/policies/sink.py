"""Sink: does another job write to the same place?

no, or the job has begun          nothing
it is suspended                   it waits anyway
otherwise                         Admitted False, SinkInUse; the job waits until the other one is over, and what is
                                  reserved is left to others

What a job that waits has found in its sink, the other one changes. So its index step is stopped, what the step has
found is forgotten, and it is done again once the sink is free.
"""

from dueby_api.conditions import ConditionType, Reason
from dueby_operator.control.chain import Outcome, PolicyInput
from dueby_operator.control.conditions import is_true, without, without_reasons
from dueby_operator.control.policies.plan import give_up_windows
from dueby_operator.model.actions import StopJobs
from dueby_operator.model.conditions import NewCondition


def sink(inputs: PolicyInput) -> Outcome:
    """Hold a job whose sink another job writes to."""
    status, holder = inputs.status, inputs.shared.sink_holders.get(inputs.job.key)
    if holder is None or inputs.spec.suspend:
        status = without_reasons(status, Reason.SINK_IN_USE)
    if holder is None:
        return Outcome(status=status)
    if is_true(status, ConditionType.INDEXED):
        status = without(status, ConditionType.INDEXED).replace(images=None)
    step = inputs.job.steps.get("index")
    stopping = () if step is None or step.metadata.is_deleting else (StopJobs(jobs=(step.name,)),)
    if inputs.spec.suspend:
        return Outcome(status=status, actions=stopping)
    _, other = holder
    message = (
        f"The job {other} writes to {inputs.spec.sink.uri}, too, and every row would be computed twice. This job waits "
        f"until {other} is over. Give one of them a sink of its own, or delete one."
    )
    in_use = NewCondition(reason=Reason.SINK_IN_USE, message=message)
    return Outcome(conditions=(in_use,), status=give_up_windows(status), actions=stopping, ends=True)
