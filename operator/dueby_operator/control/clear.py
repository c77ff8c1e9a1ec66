"""What is cleared away after a job: its devices once it is over, and the job once its time to live is over. Pure."""

from dueby_api.conditions import ConditionType
from dueby_api.errors import Invalid
from dueby_api.units import parse_duration_us
from dueby_operator import paths
from dueby_operator.control.conditions import condition, is_over, is_true
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.model.writes import Delete
from dueby_operator.objects.jobs import BatchJob
from dueby_operator.objects.parse import micros_of

# Workers of a complete job end by themselves within this time, but for those that never found a node.
LEAVE_US = 20_000_000


def clear(job: JobSnapshot, *, now_us: int) -> tuple[Delete, ...]:
    """Return what frees the devices of a job that is over, and deletes the job when its time to live is over."""
    if job.is_deleting or not is_over(job.status):
        return ()
    ended_us = max(
        micros_of(found.last_transition_time) or 0
        for kind in (ConditionType.COMPLETE, ConditionType.FAILED)
        if (found := condition(job.status, kind))
    )
    deletions = []
    if is_true(job.status, ConditionType.FAILED) or now_us > ended_us + LEAVE_US:
        with_devices = [*(worker_job.job for worker_job in job.worker_jobs), *job.profiling]
        deletions = [delete_job(found) for found in with_devices if not found.is_over]
    if _is_expired(job, ended_us, now_us):
        deletions.append(Delete(path=paths.jobs_path(job.namespace, job.name), uid=job.uid))
    return tuple(deletions)


def delete_job(job: BatchJob) -> Delete:
    """Return what deletes the Job."""
    return Delete(path=paths.batch_path(job.metadata.namespace, job.name), uid=job.metadata.uid)


def _is_expired(job: JobSnapshot, ended_us: int, now_us: int) -> bool:
    ttl = None if isinstance(job.manifest, Invalid) else job.manifest.spec.ttl_after_finished
    return bool(ttl and ended_us) and now_us > ended_us + parse_duration_us(ttl or "")
