"""What a plan that is carried out says once its deadline is moved: it was made, and judged, for another one. Pure."""

from dueby_api.conditions import Reason
from dueby_api.status import JobStatus
from dueby_api.units import format_duration, format_time, parse_time_us
from dueby_operator.control.chain import Outcome, PolicyInput
from dueby_operator.control.conditions import has_reason
from dueby_operator.control.work.decision import Start, WorkDecision
from dueby_operator.model.conditions import NewCondition
from dueby_operator.model.job_model import JobModel


def judge_again(given: PolicyInput, model: JobModel, work: WorkDecision) -> Outcome:
    """Return whether the workers will be in time for a deadline that was moved; nothing if it is as it was."""
    status = given.status
    plan, before = status.plan, given.job.status.deadline_time
    if plan is None or not plan.revision or not model.alive or before in (None, status.deadline_time):
        return Outcome()
    slack = format_duration(model.deadline_us - parse_time_us(plan.finish_at_confidence))
    finish_us = work.expected_finish_us or parse_time_us(plan.expected_finish)
    is_late = work.is_short or (finish_us > model.deadline_us and not isinstance(work.action, Start))
    return Outcome(
        conditions=_conditions(status, is_late=is_late, finish_us=finish_us),
        status=status.replace(plan=plan.replace(slack=slack), alternatives=None),
    )


def _conditions(status: JobStatus, *, is_late: bool, finish_us: int) -> tuple[NewCondition, ...]:
    """Return the news; none where what was said of the deadline before is as true of the new one."""
    moved = f"The deadline was moved to {status.deadline_time}."
    if is_late:
        message = f"{moved} With all devices that the job may have now, it ends later."
        return (NewCondition(reason=Reason.STARTED_LATE, message=message),)
    if has_reason(status, Reason.STARTED_LATE):
        message = f"{moved} The workers are expected to end at {format_time(finish_us)}."
        return (NewCondition(reason=Reason.PLANNED, message=message),)
    return ()
