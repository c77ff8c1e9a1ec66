"""What `kubectl describe infj` shows at its end: an Event for each change of the status, posted after it. Pure.

Events are for people and go away after an hour; nothing is decided by them. They tell the difference of two statuses,
so an Event that was never posted was never important.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from dueby_api.conditions import ConditionType, Reason
from dueby_api.status import Condition, JobStatus
from dueby_api.words import counted
from dueby_operator.control.conditions import condition

# The conditions whose changes are told, and the status of each that is bad news; empty: no status is.
BAD_NEWS: Mapping[ConditionType, str] = {
    ConditionType.INDEXED: "",
    ConditionType.PROFILED: "False",
    ConditionType.FEASIBLE: "False",
    ConditionType.ADMITTED: "False",
    ConditionType.ON_TRACK: "False",
    ConditionType.DEADLINE_MET: "False",
    ConditionType.COMPLETE: "",
    ConditionType.FAILED: "True",
}
# Bad news, although the condition is not what it is called.
_ALARMING = frozenset({Reason.OPERATOR_RETRYING.word, Reason.SOURCE_UNREADABLE.word})
# False, and yet no bad news.
_PASSING = frozenset({Reason.PROFILING.word})
# What a reason means, for a condition that has no message of its own.
_MEANINGS = {(reason.type, reason.status, reason.word): reason.value.meaning for reason in Reason}
# Not worth an Event when a condition appears with it.
_USUAL = {(reason.type, reason.word) for reason in (Reason.PROFILED, Reason.ADMITTED, Reason.ON_TRACK)}


@dataclass(frozen=True, kw_only=True)
class NewEvent:
    """Something to tell people about a job."""

    reason: str
    message: str
    is_warning: bool


def events_between(before: JobStatus, after: JobStatus) -> tuple[NewEvent, ...]:
    """Return the Events of what has changed in a job's status."""
    changes = [
        _event_of(kind, now)
        for kind in BAD_NEWS
        if (now := condition(after, kind)) and _is_news(kind, condition(before, kind), now)
    ]
    replans = [
        NewEvent(
            reason="Replanned",
            message=f"{replan.reason}: from {counted(replan.before, 'worker')} to {replan.after}.",
            is_warning=replan.reason == "WorkerLost",
        )
        for replan in after.replans
        if replan not in before.replans
    ]
    return (*changes, *replans)


def _is_news(kind: ConditionType, before: Condition | None, now: Condition) -> bool:
    if before is None:
        return (kind, now.reason) not in _USUAL
    return (before.status, before.reason) != (now.status, now.reason)


def _event_of(kind: ConditionType, now: Condition) -> NewEvent:
    is_bad = now.reason in _ALARMING or (now.status == BAD_NEWS[kind] and now.reason not in _PASSING)
    return NewEvent(reason=now.reason, message=now.message or _meaning(kind, now), is_warning=is_bad)


def _meaning(kind: ConditionType, now: Condition) -> str:
    return _MEANINGS.get((kind, now.status, now.reason), now.reason)
