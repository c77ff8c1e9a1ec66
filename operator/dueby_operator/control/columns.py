"""What of a status follows from the rest: the phase, the sentence for people, and the columns of kubectl. Pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from dueby_api.conditions import ConditionType, Reason
from dueby_api.errors import Invalid
from dueby_api.inference_job import InferenceJob
from dueby_api.status import MAX_WINDOWS, HeldStatus, JobStatus, ProgressStatus, is_asked_again
from dueby_api.units import format_progress, format_time, parse_time_us, slack_between
from dueby_operator.control.conditions import (
    JobStage,
    is_over,
    is_true,
    message_of,
    phase_of,
    without,
    without_reasons,
)
from dueby_operator.model.actions import Action, StartWorkers, StopWorkers
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_planner.model.problem import NEVER_US
from dueby_planner.schedule.job import WorkerModel


def filled_in(
    job: JobSnapshot,
    status: JobStatus,
    manifest: InferenceJob | Invalid,
    now_us: int,
    *,
    actions: Sequence[Action] = (),
) -> JobStatus:
    """Return the status with what follows from the rest of it, and from what is done now."""
    gives_workers = any(isinstance(action, StartWorkers) for action in actions)
    stopped = {name for action in actions if isinstance(action, StopWorkers) for name in action.workers}
    has_plan = status.plan is not None and status.plan.revision > 0
    stage = JobStage(
        is_suspended=isinstance(manifest, InferenceJob) and manifest.spec.suspend,
        has_started=bool(job.workers) or has_plan,
        is_running=any(worker.state == "running" for worker in job.workers),
        has_workers=gives_workers or job.has_workers,
        is_finishing="finish" in job.steps,
    )
    status = _closed(status.replace(observed_generation=job.generation))
    status = status.replace(phase=phase_of(status, stage), message=message_of(status))
    held = () if is_over(status) else _held(job.workers, stopped, now_us=now_us)
    gpus = sum(devices.count for devices in held) or None
    status = status.replace(gpus=gpus, held=held[:MAX_WINDOWS], starts=_starts(job.status, status, now_us))
    return _with_slack(status.replace(ends=_ends(not_refused(job), status, now_us)))


def _with_slack(status: JobStatus) -> JobStatus:
    """Return the status with the slack of a job that is still to start; that of others is in their progress."""
    if status.phase != "Scheduled" or not (status.images and status.ends and status.deadline_time):
        return status
    progress = status.progress or ProgressStatus(images=format_progress(0, status.images, comma=""), images_done=0)
    slack = slack_between(parse_time_us(status.ends), parse_time_us(status.deadline_time))
    return status.replace(progress=progress.replace(slack=slack))


def not_refused(job: JobSnapshot) -> JobStatus:
    """Return the status without a refusal of what the job was before it was edited."""
    edited = is_asked_again(job.status, job.generation)
    return without_reasons(job.status, Reason.INFEASIBLE) if edited else job.status


def _closed(status: JobStatus) -> JobStatus:
    """Return the status without what means nothing of a job that is over: that it is in time, or when it would end."""
    if not is_over(status):
        return status
    if is_true(status, ConditionType.ON_TRACK):
        status = without(status, ConditionType.ON_TRACK)
    if status.progress is None or is_true(status, ConditionType.COMPLETE):
        return status
    return status.replace(progress=status.progress.replace(expected_finish=None, slack=None, images_per_second=0))


def _held(workers: Iterable[WorkerModel], stopped: Collection[str], *, now_us: int) -> tuple[HeldStatus, ...]:
    """Return the devices that the workers have, by class, by when they are meant for others, and by what is asked."""
    counts = Counter(
        (
            worker.assignment.device_class,
            now_us if worker.name in stopped else worker.assignment.until_us,
            "" if worker.node else worker.assignment.pool,
        )
        for worker in workers
        if not (worker.is_gone or worker.state == "queued")
    )
    return tuple(
        HeldStatus(
            device_class=name,
            count=count,
            to_time=None if until_us is None else format_time(until_us),
            pool=pool or None,
        )
        for (name, until_us, pool), count in sorted(
            counts.items(), key=lambda item: (item[0][0], item[0][1] or NEVER_US, item[0][2])
        )
    )


def _starts(before: JobStatus, status: JobStatus, now_us: int) -> str | None:
    """Return when the first worker was started, or is to be."""
    plan = status.plan
    if plan is None:
        return None
    if not plan.revision:
        begins = [parse_time_us(window.from_time) for window in plan.windows]
        return format_time(min(begins)) if begins else None
    had_started = before.plan is not None and before.plan.revision > 0
    return before.starts if had_started else format_time(now_us)


def _ends(before: JobStatus, status: JobStatus, now_us: int) -> str | None:
    """Return when the job is expected to end, or did."""
    if is_over(status):
        if is_over(before):
            return before.ends
        return status.ends if is_true(status, ConditionType.COMPLETE) else format_time(now_us)
    if status.phase == "Queued":
        return None
    if status.progress and (status.progress.expected_finish or status.gpus):
        return status.progress.expected_finish
    return status.plan.expected_finish if status.plan else None
