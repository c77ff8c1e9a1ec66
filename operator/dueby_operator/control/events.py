"""What `kubectl describe infj` shows at its end: an Event for each change of the status, posted after it. Pure.

Events are for people and go away after an hour; nothing is decided by them. They tell the difference of two statuses,
so an Event that was never posted was never important. What moves by less than a minute is not told.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dueby_api.conditions import ConditionType, Reason
from dueby_api.status import Condition, JobStatus, PlanStatus, Replan
from dueby_api.units import format_time
from dueby_api.words import counted
from dueby_operator.control.conditions import condition
from dueby_operator.objects.parse import micros_of

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
# Calendars move by seconds all the time, and people read minutes.
_NOTABLE_US = 60_000_000


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
    replans = [replan for replan in after.replans if replan not in before.replans]
    replanned = [
        NewEvent(
            reason="Replanned",
            message=f"{replan.reason}: from {counted(replan.before, 'worker')} to {replan.after}.",
            is_warning=replan.reason == "WorkerLost",
        )
        for replan in replans
    ]
    return (*changes, *replanned, *_moved(before, after, replans))


def _moved(before: JobStatus, after: JobStatus, replans: Sequence[Replan]) -> Iterator[NewEvent]:
    """Yield that what is reserved for the job has moved, unless its condition or the start of workers tells it."""
    old, new = before.plan, after.plan
    if old is None or new is None or not (old.windows and new.windows) or old.revision != new.revision:
        return
    feasible = condition(after, ConditionType.FEASIBLE)
    if feasible and _is_news(ConditionType.FEASIBLE, condition(before, ConditionType.FEASIBLE), feasible):
        return
    shifts = [
        f"{verb} at {now} instead of {former}"
        for verb, former, now in zip(("starts", "ends"), _times(old), _times(new), strict=True)
        if _is_notable(former, now)
    ]
    if shifts:
        verbs = " and ".join(shifts)
        yield NewEvent(
            reason="WindowMoved",
            message=f"{verbs[0].upper()}{verbs[1:]}: {_why(before, after, replans)}.",
            is_warning=False,
        )


def _times(plan: PlanStatus) -> tuple[str, str]:
    """Return when the first window begins, and when the end is expected."""
    begins_us = micros_of(plan.windows[0].from_time)
    begins = plan.windows[0].from_time if begins_us is None else format_time(begins_us)
    return begins, plan.expected_finish


def _is_notable(before: str, after: str) -> bool:
    before_us, after_us = micros_of(before), micros_of(after)
    return before_us is not None and after_us is not None and abs(after_us - before_us) > _NOTABLE_US


def _why(before: JobStatus, after: JobStatus, replans: Sequence[Replan]) -> str:
    if replans:
        return replans[-1].reason
    if before.observed_generation != after.observed_generation:
        return "the job was edited"
    return "other jobs or devices have changed"


def _is_news(kind: ConditionType, before: Condition | None, now: Condition) -> bool:
    if before is None:
        return (kind, now.reason) not in _USUAL
    return (before.status, before.reason) != (now.status, now.reason)


def _event_of(kind: ConditionType, now: Condition) -> NewEvent:
    is_bad = now.reason in _ALARMING or (now.status == BAD_NEWS[kind] and now.reason not in _PASSING)
    return NewEvent(reason=now.reason, message=now.message or _meaning(kind, now), is_warning=is_bad)


def _meaning(kind: ConditionType, now: Condition) -> str:
    return _MEANINGS.get((kind, now.status, now.reason), now.reason)
