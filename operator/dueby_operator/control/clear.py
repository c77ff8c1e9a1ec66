"""What is cleared away after a job: its devices, its Jobs with their pods, and at last the job itself. Pure.

at once             workers and measurements of a job that has failed; of a complete one those between two tries, and
                    those that await nodes; the others after some seconds
a while after it    every Job of it: what its pods had to say is in its status, and every pod is watched
its time to live    the job; its rows stay
"""

from dueby_api.conditions import ConditionType
from dueby_operator import paths
from dueby_operator.control.conditions import condition, is_done_with, is_true
from dueby_operator.jobs.pod_state import awaits_nodes
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.model.writes import Delete
from dueby_operator.objects.jobs import BatchJob
from dueby_operator.objects.parse import micros_of

OVER = (ConditionType.COMPLETE, ConditionType.FAILED)
# Workers of a complete job end by themselves within this time, but for those that never found a node.
LEAVE_US = 20_000_000
# A pod's log is there for as long as its Job. What collects logs has them within minutes; of a job that has failed
# somebody who was told reads them.
KEPT_COMPLETE_US, KEPT_FAILED_US = 600_000_000, 3_600_000_000


def clear(
    job: JobSnapshot, *, now_us: int, time_to_live_us: int | None = None, window_us: int = 0
) -> tuple[Delete, ...]:
    """Return what frees the devices of a job that is over, and deletes what nobody needs any more.

    The time to live is that of jobs that don't say it; None: they are kept. A job that has used something of a budget
    is kept as long as the budget's window is.
    """
    if job.is_deleting or not is_done_with(job):
        return ()
    ended_us = _ended_us(job)
    has_failed = is_true(job.status, ConditionType.FAILED)
    leave_us, kept_us = (0, KEPT_FAILED_US) if has_failed else (LEAVE_US, KEPT_COMPLETE_US)
    with_devices = [*(worker_job.job for worker_job in job.worker_jobs), *job.profiling]
    gone = []
    if now_us > ended_us + kept_us:
        gone = [*with_devices, *job.steps.values()]
    else:
        is_due = now_us >= ended_us + leave_us
        gone = [
            batch_job
            for batch_job in with_devices
            if batch_job.waits_to_retry or awaits_nodes(batch_job) or (is_due and not batch_job.is_over)
        ]
    deletions = [delete_job(batch_job) for batch_job in gone if not batch_job.metadata.is_deleting]
    counts = job.status.spent is not None and now_us <= ended_us + window_us
    if is_expired(job, now_us=now_us, time_to_live_us=time_to_live_us) and not counts:
        deletions.append(Delete(path=paths.jobs_path(job.namespace, job.name), uid=job.uid))
    return tuple(deletions)


def is_leaving(job: JobSnapshot, *, now_us: int) -> bool:
    """Return whether workers of a complete job have a few seconds yet to end by themselves."""
    is_new = is_done_with(job) and now_us < _ended_us(job) + LEAVE_US
    return is_new and any(not worker_job.job.is_over for worker_job in job.worker_jobs)


def delete_job(job: BatchJob, *, waits: bool = False) -> Delete:
    """Return what deletes the Job, which stays until its pods are gone if it `waits`."""
    return Delete(path=paths.batch_path(job.metadata.namespace, job.name), uid=job.metadata.uid, waits=waits)


def is_expired(job: JobSnapshot, *, now_us: int, time_to_live_us: int | None) -> bool:
    """Return whether the job has been over for longer than it says, or than jobs that don't say it are kept."""
    ended_us, own_us = _ended_us(job), job.time_to_live_us
    ttl_us = time_to_live_us if own_us is None else own_us
    return ttl_us is not None and ended_us > 0 and is_done_with(job) and now_us > ended_us + ttl_us


def _ended_us(job: JobSnapshot) -> int:
    """Return when the job ended, in microseconds since 1970; 0 if nobody says when."""
    ended = (condition(job.status, kind) for kind in OVER)
    return max((micros_of(end.last_transition_time) or 0 for end in ended if end), default=0)
