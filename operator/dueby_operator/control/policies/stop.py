"""Stop: has the deadline passed, and what does that end?

every part is there                                  nothing: its rows are counted, and that ends the job
onDeadline is Stop, and it is held back              Failed, Stopped: it waits for nothing any more
it is Hard, and never had workers                    Failed, Infeasible: its latest start has passed
images are missing some seconds after the deadline   DeadlineMet False; the job goes on, or waits on

It is asked after all others, of every job that isn't over. A job that gets as far as its workers is stopped by the
finish policy.
"""

from dataclasses import replace

from dueby_api.conditions import Reason
from dueby_api.units import MICROS_PER_SECOND, format_time
from dueby_operator.control.chain import Outcome, PolicyInput, failed
from dueby_operator.control.conditions import is_over, message_of
from dueby_operator.control.policies.finish import stop_at_deadline
from dueby_operator.model.actions import StartWorkers
from dueby_operator.model.conditions import NewCondition

# Parts are seen in the sink a little after they are there.
OVERDUE_US = 10 * MICROS_PER_SECOND


def stop(end: PolicyInput) -> PolicyInput:
    """Return the job as the chain has left it, with what follows from its deadline."""
    if end.now_us < end.deadline_us or is_over(end.status) or end.is_full:
        return end
    if end.scheduled is None and end.spec.on_deadline == "Stop":
        return replace(end, actions=()).after(stop_at_deadline())
    starts = any(isinstance(action, StartWorkers) for action in end.actions)
    if end.spec.deadline_class == "Hard" and not end.has_started and not starts:
        return replace(end, actions=()).after(_too_late(end))
    return end.after(Outcome(conditions=(_missed(end),))) if end.now_us >= end.deadline_us + OVERDUE_US else end


def _too_late(end: PolicyInput) -> Outcome:
    message = f"The deadline, {format_time(end.deadline_us)}, has passed before the job could start."
    if waited_for := message_of(end.status):
        message += f" It waited: {waited_for}"
    feasible = NewCondition(reason=Reason.DEADLINE_TOO_EARLY, message=message)
    status = end.status.replace(plan=None)
    return replace(failed(Reason.INFEASIBLE, message, feasible, _missed(end)), status=status)


def _missed(end: PolicyInput) -> NewCondition:
    message = f"The deadline was {format_time(end.deadline_us)}, and images are missing."
    return NewCondition(reason=Reason.MISSED, message=message)
