"""Regrid: was the sink begun with other parts than the job's workers were told?

no worker says so             nothing
one does                      the workers are ended, MAX_STOPPED of their Jobs in a pass; with the last of them go
                              the worker's words, so the sink's grid and what is there of it are recorded then
they are still being ended    Admitted False, WaitingForCleanup; then the job is planned again, for that grid

A job without an index step is planned before anybody has seen its sink, and a sink that was new to the index step may
have been begun by somebody else since. The worker has seen that the rows are this very job's. That a sink has another
grid a second time is no longer believed: the plan policy ends such a job, with the worker's words.
"""

from collections.abc import Iterator

from dueby_api.conditions import Reason
from dueby_api.step_messages import EXIT_INVALID, StepError
from dueby_api.words import counted
from dueby_operator.control.chain import Outcome, PolicyInput
from dueby_operator.jobs.pod_state import endings_of, pods_by_job
from dueby_operator.jobs.repeats import is_leaving
from dueby_operator.model.actions import MAX_STOPPED, StopJobs
from dueby_operator.model.conditions import NewCondition
from dueby_operator.model.job_snapshot import JobSnapshot


def regrid(inputs: PolicyInput) -> Outcome:
    """End workers that were told another grid than their sink's, and record that one."""
    plan, job = inputs.status.plan, inputs.job
    if plan is None:
        return Outcome()
    teller, told = next(_grids_told(job), (None, None)) if inputs.status.part_size is None else (None, None)
    if told is None or told.part_size is None:
        is_ending = plan.part_size == inputs.status.part_size and _are_ending(inputs)
        return Outcome(conditions=(_waiting(plan.part_size),), ends=True) if is_ending else Outcome()
    ending = [worker_job.name for worker_job in job.worker_jobs if not worker_job.job.metadata.is_deleting]
    ending.sort(key=lambda name: name == teller)
    waiting, stopping = (_waiting(told.part_size),), (StopJobs(jobs=tuple(ending[:MAX_STOPPED])),)
    if len(ending) > MAX_STOPPED:
        return Outcome(conditions=waiting, actions=stopping, ends=True)
    return Outcome(
        conditions=waiting,
        # The plan stays until there is another, so that no revision has the number of one that was.
        status=inputs.status.replace(
            part_size=told.part_size,
            parts_there=told.parts_there or None,
            plan=plan.replace(part_size=told.part_size),
        ),
        actions=stopping,
        ends=True,
    )


def _grids_told(job: JobSnapshot) -> Iterator[tuple[str, StepError]]:
    """Yield what workers say that were refused by their sink for its grid, each with the name of its Job."""
    by_job = pods_by_job(job.pods)
    for worker_job in job.worker_jobs:
        for ending in endings_of(by_job.get(worker_job.name, ()), worker_job.name):
            error = ending.read(StepError) if ending.exit_code == EXIT_INVALID else None
            if error and error.part_size:
                yield worker_job.name, error


def _are_ending(inputs: PolicyInput) -> bool:
    """Return whether all workers are being ended. Their pods hold devices, and what they were told is of no use."""
    jobs = [worker_job.job for worker_job in inputs.job.worker_jobs]
    return all(job.metadata.is_deleting for job in jobs) and any(is_leaving(job, now_us=inputs.now_us) for job in jobs)


def _waiting(part_size: int) -> NewCondition:
    message = (
        f"The sink was begun in parts of {counted(part_size, 'image')}, and the job goes on with those. Workers that "
        "were to write others are being ended; then what is left is planned again."
    )
    return NewCondition(reason=Reason.WAITING_FOR_CLEANUP, message=message)
