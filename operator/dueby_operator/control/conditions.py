"""What a status says: its conditions read, and a phase and a sentence for people made of them. Pure."""

from dataclasses import dataclass

from dueby_api.conditions import ConditionType, Reason
from dueby_api.status import Condition, JobStatus, Phase, is_asked_again
from dueby_operator.model.job_snapshot import JobSnapshot


def condition(status: JobStatus, kind: ConditionType) -> Condition | None:
    """Return the condition of this type; None if there is none."""
    return next((entry for entry in status.conditions if entry.type == kind), None)


def is_true(status: JobStatus, kind: ConditionType) -> bool:
    current = condition(status, kind)
    return current is not None and current.status == "True"


def has_reason(status: JobStatus, *reasons: Reason) -> bool:
    """Return whether a condition has one of these reasons now."""
    return any(
        (current := condition(status, reason.type)) is not None
        and (current.status, current.reason) == (reason.status, reason.word)
        for reason in reasons
    )


def without_reasons(status: JobStatus, *reasons: Reason) -> JobStatus:
    """Return the status without the conditions that have one of these reasons now."""
    taken_back = {(reason.type, reason.status, reason.word) for reason in reasons}
    kept = (entry for entry in status.conditions if (entry.type, entry.status, entry.reason) not in taken_back)
    return status.replace(conditions=tuple(kept))


def without(status: JobStatus, kind: ConditionType) -> JobStatus:
    return status.replace(conditions=tuple(entry for entry in status.conditions if entry.type != kind))


def is_over(status: JobStatus) -> bool:
    """Return whether nothing more will be done for the job."""
    return is_true(status, ConditionType.COMPLETE) or is_true(status, ConditionType.FAILED)


def is_done_with(job: JobSnapshot) -> bool:
    """Return whether nothing more will be done for the job as it is now: one that was refused may have been edited."""
    return is_over(job.status) and not is_asked_again(job.status, job.generation)


@dataclass(frozen=True, kw_only=True)
class JobStage:
    """What a job's phase depends on besides its conditions."""

    is_suspended: bool
    has_started: bool
    """Whether it has a plan, or workers."""
    is_running: bool
    """Whether a worker has done a mini-batch."""
    has_workers: bool
    """Whether it has workers, or is given some."""
    is_finishing: bool
    """Whether the finish step was started."""


def phase_of(status: JobStatus, stage: JobStage) -> Phase:
    """Return where the job is, for people: the first of these that holds."""
    stages: tuple[tuple[bool, Phase], ...] = (
        (is_true(status, ConditionType.FAILED), "Failed"),
        (is_true(status, ConditionType.COMPLETE), "Succeeded"),
        (stage.is_suspended or has_reason(status, Reason.TOO_MANY_JOBS, Reason.SINK_IN_USE), "Queued"),
        (not is_true(status, ConditionType.INDEXED), "Indexing"),
        # Workers go on while their class is measured again.
        (not stage.has_workers and has_reason(status, Reason.PROFILING), "Profiling"),
        (not stage.has_workers and _is_false(status, ConditionType.PROFILED), "Pending"),
        (stage.is_finishing, "Finishing"),
        (has_reason(status, Reason.QUEUED, Reason.QUEUE_NOT_FOUND) and not stage.is_running, "Queued"),
        (not stage.has_workers and has_reason(status, Reason.WAITING), "Queued"),
        (not stage.has_workers and status.plan is not None and bool(status.plan.windows), "Scheduled"),
        # A worker that is replaced, or doesn't answer for a moment, doesn't set the job back.
        (stage.has_started and (stage.is_running or status.phase == "Running"), "Running"),
        (stage.has_started, "Starting"),
    )
    return next((phase for holds, phase in stages if holds), "Planning")


def message_of(status: JobStatus) -> str:
    """Return the sentence that matters most now."""
    for kind in _BY_WEIGHT:
        current = condition(status, kind)
        # Why a job was started late says more than that it is late.
        if kind == ConditionType.ON_TRACK and has_reason(status, *LATE):
            continue
        if current and current.status in _NEWS.get(kind, ("False",)) and current.message:
            return current.message
    late = condition(status, ConditionType.ON_TRACK)
    if late and has_reason(status, *LATE) and late.message:
        return late.message
    reserved = condition(status, ConditionType.FEASIBLE)
    if reserved and has_reason(status, Reason.RESERVED):
        return reserved.message
    return status.plan.proof_sentence if status.plan else ""


LATE = (Reason.LAGGING, Reason.WAITS_FOR_IMAGES, Reason.HELP_OVER_COST, Reason.HELP_OVER_BUDGET)
"""What is said of a job whose workers will be late."""
# The statuses with which a condition matters, where that is not False alone. Failed is False while it is not settled,
# and Feasible is Unknown while a job waits.
_NEWS = {
    ConditionType.FAILED: ("True", "False"),
    ConditionType.COMPLETE: ("True", "False"),
    ConditionType.FEASIBLE: ("False", "Unknown"),
}
_BY_WEIGHT = (
    ConditionType.FAILED,
    ConditionType.COMPLETE,
    ConditionType.ADMITTED,
    ConditionType.ON_TRACK,
    ConditionType.FEASIBLE,
    ConditionType.PROFILED,
    ConditionType.INDEXED,
)


def _is_false(status: JobStatus, kind: ConditionType) -> bool:
    current = condition(status, kind)
    return current is not None and current.status == "False"
