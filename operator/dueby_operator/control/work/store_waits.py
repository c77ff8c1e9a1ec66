"""Which store keeps a job's workers waiting. Pure.

A full sink or a source that is away ends no job: workers ask again until the store is mended, and lose no row. Nobody
reads their logs meanwhile, so a condition says what is wrong and what to do.
"""

from dueby_api.conditions import ConditionType, Reason
from dueby_api.inference_job import Source
from dueby_api.status import JobStatus
from dueby_api.words import counted
from dueby_operator.control.conditions import condition, has_reason
from dueby_operator.model.conditions import NewCondition
from dueby_operator.model.job_model import JobModel

# Stores fail for a moment all the time; a shorter wait is no news.
MIN_WAIT_S = 10.0
_GO_ON = "the workers go on by themselves then, and no row is lost."


def diagnose_stores(model: JobModel) -> NewCondition | None:
    """Return what the workers wait for, by the one that has been waiting for longest; None if no store is to blame."""
    waits = [wait for worker in model.alive if (wait := worker.waits_for) and wait.seconds >= MIN_WAIT_S]
    if not waits:
        return None
    longest = max(waits, key=lambda wait: wait.seconds)
    count = sum(wait.store == longest.store for wait in waits)
    # Without the seconds: a message that changes with each pass would be written with each pass.
    workers, error = f"{count} of {counted(len(model.alive), 'worker')}", longest.error or "it does not answer"
    if longest.store == "sink":
        message = f"{workers} can't write to {model.spec.sink.uri}: {error}. Free space, renew the credentials or mend"
        return NewCondition(reason=Reason.SINK_NOT_WRITABLE, message=f"{message} the store: {_GO_ON}")
    message = f"{workers} can't read from {_name_of(model.spec.source)}: {error}. Renew the credentials or mend"
    return NewCondition(reason=Reason.SOURCE_NOT_READABLE, message=f"{message} the store: {_GO_ON}")


def waits_sentence(status: JobStatus) -> str:
    """Return what a status says of a store that the workers wait for; empty if nothing."""
    found = condition(status, ConditionType.ON_TRACK)
    is_about_stores = has_reason(status, Reason.SINK_NOT_WRITABLE, Reason.SOURCE_NOT_READABLE)
    return found.message if found and is_about_stores else ""


def _name_of(source: Source) -> str:
    return source.uri or (source.manifest.uri if source.manifest else "the source")
