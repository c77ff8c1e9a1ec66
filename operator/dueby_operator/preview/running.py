"""Workers as their job's status and their pods tell of them. Pure.

The operator asks each worker how far it is; a user's machine seldom reaches one. So a worker that has had the time to
start counts as running, and as fast as the status says that all of them are together.
"""

from dataclasses import replace

from dueby_api.units import MICROS_PER_SECOND
from dueby_operator.model.job_snapshot import JobMemory, JobSnapshot
from dueby_planner.schedule.job import WorkerModel


def as_told(job: JobSnapshot, *, now_us: int) -> JobSnapshot:
    """Return the job with its workers at work, and with the memory of an operator that has seen it before."""
    slowness = _slowness(job)
    workers = tuple(
        replace(
            worker,
            state="running",
            batches=1,
            step_us=max(1, round(worker.assignment.choice.latency_us * slowness)),
            last_step_us=now_us,
        )
        if _has_begun(worker, now_us)
        else worker
        for worker in job.workers
    )
    memory = JobMemory(
        generation=job.status.observed_generation,
        lost=frozenset(worker.name for worker in workers if worker.state == "lost"),
        queued=frozenset(worker.name for worker in workers if worker.state == "queued"),
    )
    return replace(job, workers=workers, memory=memory)


def _has_begun(worker: WorkerModel, now_us: int) -> bool:
    begins_us = worker.created_us + worker.assignment.choice.expected_start_us
    return worker.state == "starting" and bool(worker.node) and begins_us <= now_us


def _slowness(job: JobSnapshot) -> float:
    """Return how many times as long as planned the workers' steps take, by their rate; 1 before there is one."""
    seen = job.status.progress.images_per_second if job.status.progress else 0
    choices = [worker.assignment.choice for worker in job.workers if not worker.is_gone]
    planned = sum(choice.mini_batch_size / choice.latency_us for choice in choices) * MICROS_PER_SECOND
    return planned / seen if seen and planned else 1.0
