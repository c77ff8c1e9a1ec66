"""Which store keeps a job's workers waiting, or one of its steps. Pure.

A full sink or a source that is away ends no job: workers ask again until the store is fixed, and lose no row. Nobody
reads their logs meanwhile, so a condition says what is wrong and what to do.
"""

from collections.abc import Iterable

from dueby_api.conditions import ConditionType, Reason
from dueby_api.inference_job import JobSpec
from dueby_api.source import Source
from dueby_api.status import JobStatus
from dueby_api.step_messages import StoreWait
from dueby_api.words import counted
from dueby_operator.control.conditions import condition, has_reason
from dueby_operator.model.actions import StepName
from dueby_operator.model.conditions import NewCondition
from dueby_planner.schedule.job import ScheduledJob

# Stores fail for a moment all the time; a shorter wait is no news.
MIN_WAIT_S = 10.0
_GO_ON = "the workers go on by themselves then, and no row is lost."


def diagnose_stores(scheduled: ScheduledJob) -> NewCondition | None:
    """Return what the workers wait for, by the one that has been waiting for longest; None if no store is to blame."""
    waits = [wait for worker in scheduled.alive if (wait := worker.waits_for) and wait.seconds >= MIN_WAIT_S]
    if not waits:
        return None
    longest = max(waits, key=lambda wait: wait.seconds)
    count = sum(wait.store == longest.store for wait in waits)
    workers = f"{count} of {counted(len(scheduled.alive), 'worker')}"
    reason = Reason.SINK_NOT_WRITABLE if longest.store == "sink" else Reason.SOURCE_NOT_READABLE
    return NewCondition(reason=reason, message=f"{_sentence(workers, longest, scheduled.spec)} {_GO_ON}")


def step_waits_sentence(step: StepName, waits: Iterable[StoreWait], spec: JobSpec) -> str:
    """Return what a step waits for that there is once for a job; empty if no store is to blame."""
    longest = max(waits, key=lambda wait: wait.seconds, default=None)
    if longest is None or longest.seconds < MIN_WAIT_S:
        return ""
    return f"{_sentence(f'The {step} step', longest, spec)} the step goes on by itself then."


def waits_sentence(status: JobStatus) -> str:
    """Return what a status says of a store that the workers wait for; empty if nothing."""
    on_track = condition(status, ConditionType.ON_TRACK)
    is_about_stores = has_reason(status, Reason.SINK_NOT_WRITABLE, Reason.SOURCE_NOT_READABLE)
    return on_track.message if on_track and is_about_stores else ""


def _sentence(who: str, wait: StoreWait, spec: JobSpec) -> str:
    """Return what is wrong and what to do. Without the seconds: it would be written again with each pass."""
    error = wait.error or "it does not answer"
    if not error.endswith(("?", ".")):
        error += "."
    if wait.store == "sink":
        wrong, advice = f"write to {spec.sink.uri}", "Free space, renew the credentials or fix the store:"
    else:
        wrong, advice = f"read from {_name_of(spec.source)}", "Renew the credentials or fix the store:"
    return f"{who} can't {wrong}: {error} {advice}"


def _name_of(source: Source) -> str:
    return source.images_uri or (source.manifest.uri if source.manifest else "the source")
