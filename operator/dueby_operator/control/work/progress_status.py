"""How far a job is, and whether its workers will be in time, from what they have reported. Pure."""

from dueby_api.conditions import Reason
from dueby_api.status import ProgressStatus
from dueby_api.step_messages import HIGH_INPUT_WAIT, mean_input_wait
from dueby_api.units import format_progress, format_time, slack_between
from dueby_operator.control.chain import PolicyInput
from dueby_operator.control.conditions import LATE, has_reason
from dueby_operator.control.work.stores import diagnose_stores
from dueby_operator.jobs.pod_diagnosis import diagnose_memory, diagnose_start
from dueby_operator.model.conditions import NewCondition
from dueby_planner.model.cost_words import limit_words
from dueby_planner.schedule.job import ScheduledJob
from dueby_planner.schedule.lag import HYSTERESIS
from dueby_planner.schedule.request import Refuse, Reserve, Start, Wait, WorkDecision

NO_DEVICES = (Reason.DEVICES_HELD, Reason.CAPACITY_MISSING)
"""What diagnose_devices() finds."""


def progress_status(inputs: PolicyInput, scheduled: ScheduledJob, work: WorkDecision) -> ProgressStatus | None:
    """Return how far the job is; as it was before there is a grid to count by."""
    if not scheduled.part_size:
        return inputs.status.progress
    reports, before = inputs.job.progress.values(), inputs.status.progress
    done, finish_us = max(scheduled.images_done, scheduled.least_done), work.expected_finish_us
    if scheduled.is_complete and before is not None:  # the last rows are being counted
        expected_finish, slack = before.expected_finish, before.slack
    elif finish_us is not None and scheduled.alive:
        expected_finish, slack = format_time(finish_us), slack_between(finish_us, scheduled.deadline_us)
    else:
        expected_finish = slack = None
    return ProgressStatus(
        images=format_progress(done, scheduled.images, comma=""),
        images_done=done,
        images_failed=sum(report.images_failed for report in reports),
        images_per_second=round(sum(report.images_per_second or 0.0 for report in reports)),
        expected_finish=expected_finish,
        slack=slack,
    )


def track_conditions(inputs: PolicyInput, scheduled: ScheduledJob, work: WorkDecision) -> tuple[NewCondition, ...]:
    """Return whether the workers will be in time; before there are any, only what keeps devices from them."""
    # Windows that are kept for one reading more say nothing new of what the job waits for.
    still_waits = work.waits_for_windows and has_reason(inputs.status, *NO_DEVICES)
    was_late = has_reason(inputs.status, *LATE, *NO_DEVICES)
    is_late = bool(scheduled.part_size) and _will_be_late(scheduled, work, was_late=was_late)
    held = diagnose_devices(inputs, scheduled) if _waits(work) or still_waits or is_late else None
    if not scheduled.part_size:
        return (held,) if held else ()
    in_time = NewCondition(reason=Reason.ON_TRACK)
    if is_late:
        lagging = NewCondition(reason=Reason.LAGGING, message=_why_late(scheduled, work))
        in_time = _diagnose_cost(scheduled, work) or _diagnose_input(inputs, scheduled, work) or lagging
    not_starting = diagnose_start(inputs.job.pods, now_us=scheduled.now_us)
    return (not_starting or diagnose_memory(inputs.job) or diagnose_stores(scheduled) or held or in_time,)


def _diagnose_input(inputs: PolicyInput, scheduled: ScheduledJob, work: WorkDecision) -> NewCondition | None:
    """Return that the workers wait for images in much of their time; None if they don't, or if that matters no more."""
    if scheduled.now_us > scheduled.deadline_us or isinstance(work.action, Start | Reserve):
        return None
    at_work = {worker.name for worker in scheduled.alive}
    share = mean_input_wait(report for report in inputs.job.progress.values() if report.worker in at_work)
    # A job at the border stays what it was.
    was_high = has_reason(inputs.status, Reason.WAITS_FOR_IMAGES)
    if share is None or share < (0.75 if was_high else 1) * HIGH_INPUT_WAIT:
        return None
    message = (
        "The workers are expected to end after the deadline, and wait for images in much of their time (inputWait). "
        "More devices would not help: read from a faster store or from tars, or give each worker more cores."
    )
    return NewCondition(reason=Reason.WAITS_FOR_IMAGES, message=message)


def _diagnose_cost(scheduled: ScheduledJob, work: WorkDecision) -> NewCondition | None:
    """Return that help was left out for money, or for a budget's sake; None if it wasn't."""
    limit, room = scheduled.cost_limit, scheduled.room
    if not work.is_over_cost:
        return None
    ends_late = "The workers are expected to end after the deadline" if scheduled.alive else "No worker is left"
    clauses = [limit_words(limit) if limit else "", room.hours_clause() if room else ""]
    limits = ", and ".join(filter(None, clauses))
    message = (
        f"{ends_late}, and with more of them the job would use more than it may: {limits}. "
        "Raise it, or set a later deadline."
    )
    is_by_budget = room is not None and (limit is None or limit.is_budget or room.account.device_us is not None)
    return NewCondition(reason=Reason.HELP_OVER_BUDGET if is_by_budget else Reason.HELP_OVER_COST, message=message)


def _waits(work: WorkDecision) -> bool:
    """Return whether the job has too few devices, or gets them too late."""
    match work.action:
        case Wait() | Refuse():
            return True
        case Reserve(plan=plan):
            return work.is_short or plan.slack.startswith("-")
    return work.is_short


def diagnose_devices(inputs: PolicyInput, scheduled: ScheduledJob) -> NewCondition | None:
    """Return which devices the job could have, but for pods that should be gone or nodes that should have come.

    None if there are none.
    """
    classes = [name for name in scheduled.counts if name in (scheduled.spec.gpus.classes or scheduled.counts)]
    devices = inputs.shared.devices
    if message := devices.overdue(inputs.job.namespace, inputs.spec, classes=classes):
        return NewCondition(reason=Reason.DEVICES_HELD, message=message)
    message = devices.missing(inputs.job.namespace, inputs.spec, classes=classes)
    return NewCondition(reason=Reason.CAPACITY_MISSING, message=message) if message else None


def _will_be_late(scheduled: ScheduledJob, work: WorkDecision, *, was_late: bool) -> bool:
    """Return whether the expected finish is later than the deadline.

    A job at the border stays what it was, so that noise in the workers' steps makes no news.
    """
    if work.is_short or scheduled.now_us > scheduled.deadline_us:
        return True
    # What is started or reserved now is not in the forecast yet, and does what is missing.
    if scheduled.is_complete or isinstance(work.action, Start | Reserve | Wait):
        return False
    if work.expected_finish_us is None:
        return was_late
    margin_us = HYSTERESIS * (scheduled.deadline_us - scheduled.now_us)
    return work.expected_finish_us > scheduled.deadline_us + (-margin_us if was_late else margin_us)


def _why_late(scheduled: ScheduledJob, work: WorkDecision) -> str:
    """Return why the job will be late, and what would help. It holds no time, so that it changes rarely."""
    ends_late = "The workers are expected to end after the deadline"
    limit = scheduled.spec.gpus.max
    if scheduled.now_us > scheduled.deadline_us:
        return "The deadline has passed, and images are missing."
    if isinstance(work.action, Start):
        return f"{ends_late}, with the help that is started now."
    if isinstance(work.action, Reserve):
        return f"{ends_late}, with what is reserved for them."
    if not scheduled.alive:
        return "No worker is left to do the rest of the images, and the job waits for a device."
    if limit is not None and len(scheduled.alive) >= limit:
        return f"{ends_late}, and gpus.max allows no more than {limit:,}. Raise it, or set a later deadline."
    return f"{ends_late}, and no other device that the job may have would help. Set a later deadline, or add devices."
