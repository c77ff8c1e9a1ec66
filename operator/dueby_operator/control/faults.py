"""What becomes of a job that the operator fails to handle: it is tried again a few times, then it is Failed. Pure.

    a fault, MAX_FAULTS not reached      Failed False, OperatorRetrying; the job is left alone until the next try
    MAX_FAULTS in a row                  Failed True, OperatorError; its devices are freed as those of any failed job
    a try that goes well                 the condition goes, and the count begins again

Workers that are at work go on meanwhile. The other jobs don't notice.
"""

from dataclasses import replace

from dueby_api.conditions import Reason
from dueby_api.status import JobStatus
from dueby_api.units import MICROS_PER_SECOND, format_duration
from dueby_api.words import times
from dueby_operator.model.conditions import NewCondition, merge_conditions
from dueby_operator.model.job_snapshot import Fault, JobMemory, JobSnapshot

# The pauses between them are 5, 10, 20 and 40 s: what passes by itself, such as an upgrade of the API server's, has a
# minute for it, and a bug doesn't keep devices for longer.
MAX_FAULTS = 5
FIRST_PAUSE_US = 5 * MICROS_PER_SECOND


def is_resting(memory: JobMemory, *, now_us: int) -> bool:
    """Return whether the job is left alone until its next try."""
    return bool(memory.faults) and now_us < memory.retry_us


def status_with_fault(
    status: JobStatus, job: JobSnapshot, fault: Fault, memory: JobMemory, *, now_us: int
) -> JobStatus:
    """Return the status that says so. `memory` is that after the fault."""
    if memory.faults >= MAX_FAULTS:
        message = f"The operator could not handle this job, {times(memory.faults)} in a row: {fault.sentence}"
        news = NewCondition(reason=Reason.OPERATOR_ERROR, message=message)
    else:
        pause = format_duration(pause_us(memory.faults))
        message = f"The operator could not handle this job and tries again in {pause}: {fault.sentence}"
        news = NewCondition(reason=Reason.OPERATOR_RETRYING, message=message)
    merged = merge_conditions(status.conditions, [news], generation=job.generation, now_us=now_us)
    return status.replace(conditions=merged)


def memory_with_fault(memory: JobMemory, *, now_us: int) -> JobMemory:
    """Return what is remembered after another fault."""
    faults = memory.faults + 1
    return replace(memory, faults=faults, retry_us=now_us + pause_us(faults))


def pause_us(faults: int) -> int:
    """Return how long a job is left alone after so many faults in a row."""
    return FIRST_PAUSE_US << max(0, min(faults, MAX_FAULTS) - 1)
