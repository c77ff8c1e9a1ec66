"""What a plan that is carried out says once its deadline is moved: it was made, and judged, for another one. Pure.

the deadline was moved now                      in time or late, by the workers and what is started or reserved for them
late after a move, and nothing has come of it   late, until what is started or reserved makes it in time
"""

from dueby_api.conditions import ConditionType, Reason
from dueby_api.status import JobStatus, PlanStatus
from dueby_api.units import format_duration, format_time, parse_time_us
from dueby_operator.control.chain import Outcome, PolicyInput
from dueby_operator.control.conditions import condition, has_reason
from dueby_operator.model.conditions import NewCondition
from dueby_planner.schedule.job import ScheduledJob
from dueby_planner.schedule.lag import HYSTERESIS
from dueby_planner.schedule.request import Reserve, Start, WorkDecision

# How each message here begins: by it a later pass knows whose the condition is.
_MOVED = "The deadline was moved to"


def judge_again(inputs: PolicyInput, scheduled: ScheduledJob, work: WorkDecision) -> Outcome:
    """Return whether the workers will be in time for a deadline that was moved; nothing if there is no news of it."""
    status, plan, before = inputs.status, inputs.status.plan, inputs.job.status.deadline_time
    is_moved = before not in (None, status.deadline_time)
    if plan is None or not plan.revision or not scheduled.alive or not (is_moved or _was_late(status)):
        return Outcome()
    finish_us = work.expected_finish_us or parse_time_us(plan.expected_finish)
    is_late = _is_late(scheduled, work, finish_us=finish_us, was_late=not is_moved)
    if is_late and not is_moved:
        return Outcome()
    return Outcome(
        conditions=_conditions(status, is_late=is_late, finish_us=finish_us),
        status=status.replace(plan=_moved(plan, scheduled, finish_us, is_late=is_late), alternatives=None),
    )


def _was_late(status: JobStatus) -> bool:
    """Return whether the workers were late for a deadline that was moved before."""
    feasible = condition(status, ConditionType.FEASIBLE)
    return feasible is not None and has_reason(status, Reason.STARTED_LATE) and feasible.message.startswith(_MOVED)


def _is_late(scheduled: ScheduledJob, work: WorkDecision, *, finish_us: int, was_late: bool) -> bool:
    """Return whether the job ends after its deadline; at the border one that was late stays so."""
    # What is started or reserved was chosen to be in time; whether it could be is known.
    if work.is_short or isinstance(work.action, Start | Reserve):
        return work.is_short
    if not was_late:
        return finish_us > scheduled.deadline_us
    margin_us = HYSTERESIS * (scheduled.deadline_us - scheduled.now_us)
    return work.expected_finish_us is None or finish_us > scheduled.deadline_us - margin_us


def _moved(plan: PlanStatus, scheduled: ScheduledJob, finish_us: int, *, is_late: bool) -> PlanStatus:
    """Return the plan with when it ends now: at its confidence as much later than expected as before."""
    margin_us = max(0, parse_time_us(plan.finish_at_confidence) - parse_time_us(plan.expected_finish))
    surely_us = finish_us + margin_us
    if not is_late:  # which was judged at the job's confidence
        surely_us = max(finish_us, min(surely_us, scheduled.deadline_us))
    return plan.replace(
        expected_finish=format_time(finish_us),
        finish_at_confidence=format_time(surely_us),
        slack=format_duration(scheduled.deadline_us - surely_us),
    )


def _conditions(status: JobStatus, *, is_late: bool, finish_us: int) -> tuple[NewCondition, ...]:
    """Return the news; none where what was said of the deadline before is as true of the new one."""
    moved = f"{_MOVED} {status.deadline_time}."
    if is_late:
        message = f"{moved} With all devices that the job may have now, it ends later."
        return (NewCondition(reason=Reason.STARTED_LATE, message=message),)
    if has_reason(status, Reason.STARTED_LATE):
        message = f"{moved} The workers are expected to end at {format_time(finish_us)}."
        return (NewCondition(reason=Reason.PLANNED, message=message),)
    return ()
