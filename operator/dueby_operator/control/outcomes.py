"""What became of jobs: promises made, kept and broken, refusals, waiting, and workers that came and went. Pure.

All of it is the difference of a job's status in two passes, as Events are (events.py). A promise is a Hard job's whose
Feasible became True. It is followed by job, so that one that is taken back and made again counts once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from dueby_api.conditions import ConditionType, Reason
from dueby_api.inference_job import DeadlineClass
from dueby_api.status import JobStatus, Replan
from dueby_operator.control.conditions import condition, has_reason, is_true
from dueby_operator.objects.parse import micros_of

Promise = Literal["none", "open", "kept", "broken"]
Counted = Literal["made", "kept", "broken", "refused", "started", "gave way"]
# Changes of a job's workers that say why it may be late.
_HINTS = ("WorkerLost", "Lagging", "Edited")
_UNEXPLAINED = "Late"
_OBSTACLES = ((ConditionType.ADMITTED, "False"), (ConditionType.ON_TRACK, "False"), (ConditionType.FAILED, "True"))
BREAK_REASONS = frozenset({*_HINTS, *(reason.word for reason in Reason if (reason.type, reason.status) in _OBSTACLES)})
"""Why a promise may have been broken."""
WAITED = "Waited"
_REFUSED_FOR = (Reason.PROMISED_TO_OTHERS, Reason.OVER_COST, Reason.OVER_BUDGET)
REFUSAL_REASONS = (Reason.DEADLINE_TOO_EARLY.word, *(reason.word for reason in _REFUSED_FOR), WAITED)
"""Why a job may have been refused: alone it can't be done, others were promised the devices, it costs more than it may,
its namespace's budget has too little left, or it waited in vain."""


@dataclass(frozen=True, kw_only=True)
class FollowedJob:
    """A job as a pass left it."""

    status: JobStatus
    deadline_class: DeadlineClass
    promise: Promise = "none"


def follow(before: FollowedJob | None, status: JobStatus, deadline_class: DeadlineClass | None) -> FollowedJob:
    """Return the job as this pass leaves it; without a class, which a wrong manifest has none of, it keeps its own."""
    kind = deadline_class or (before.deadline_class if before else "Soft")
    promise = _promise(before.promise if before else "none", status, kind)
    return FollowedJob(status=status, deadline_class=kind, promise=promise)


def _promise(before: Promise, status: JobStatus, deadline_class: DeadlineClass) -> Promise:
    if before in ("kept", "broken"):
        return before
    if deadline_class != "Hard" or (before == "none" and not is_true(status, ConditionType.FEASIBLE)):
        return "none"
    met = condition(status, ConditionType.DEADLINE_MET)
    if met is not None and met.status == "True":
        return "kept"
    if met is not None or is_true(status, ConditionType.FAILED):
        return "broken"
    return "open"


def outcomes(before: FollowedJob | None, after: FollowedJob) -> Iterator[tuple[Counted, str, int]]:
    """Yield what is to be counted, its reason or deadline class (empty if it has none), and how many there are."""
    former = before.promise if before else "none"
    if former == "none" and after.promise != "none":
        yield "made", "", 1
    if former not in ("kept", "broken"):
        if after.promise == "kept":
            yield "kept", "", 1
        if after.promise == "broken":
            yield "broken", break_reason(after.status), 1
    status = before.status if before else JobStatus()
    if reason := _refusal(status, after.status):
        yield "refused", reason, 1
    replans = [replan for replan in after.status.replans if replan not in status.replans]
    yield "started", after.deadline_class, _started(status, after.status, replans)
    gone = sum(replan.before - replan.after for replan in replans if replan.reason == "GaveWay")
    yield "gave way", after.deadline_class, gone


def break_reason(status: JobStatus) -> str:
    """Return why a job is not in time, by its status: what failed, what stands in its way, or what it lost."""
    failed = condition(status, ConditionType.FAILED)
    if failed is not None and failed.status == "True" and failed.reason != Reason.STOPPED.word:
        return failed.reason
    for kind in (ConditionType.ADMITTED, ConditionType.ON_TRACK):
        current = condition(status, kind)
        if current is not None and current.status == "False" and current.reason != _UNEXPLAINED:
            return current.reason
    hints = (replan.reason for replan in reversed(status.replans) if replan.reason in _HINTS)
    return next(hints, _UNEXPLAINED)


def waited_s(before: JobStatus, after: JobStatus) -> float | None:
    """Return how long a job was ready for workers before its first ones were started; None if they weren't just now."""
    if _has_plan(before) or not _has_plan(after):
        return None
    starts_us = micros_of(after.starts)
    ready = [condition(after, kind) for kind in (ConditionType.INDEXED, ConditionType.PROFILED)]
    since_us = [micros_of(current.last_transition_time) for current in ready if current]
    ready_us = [us for us in since_us if us is not None]
    return None if starts_us is None or not ready_us else max(0, starts_us - max(ready_us)) / 1e6


def _refusal(before: JobStatus, after: JobStatus) -> str | None:
    if not has_reason(after, Reason.INFEASIBLE) or has_reason(before, Reason.INFEASIBLE):
        return None
    for reason in _REFUSED_FOR:
        if has_reason(after, reason):
            return reason.word
    return WAITED if has_reason(before, Reason.WAITING) else Reason.DEADLINE_TOO_EARLY.word


def _started(before: JobStatus, after: JobStatus, replans: list[Replan]) -> int:
    more = sum(max(0, replan.after - replan.before) for replan in replans)
    if _has_plan(before) or after.plan is None or not after.plan.revision:
        return more
    return more + sum(group.count for group in after.plan.groups)


def _has_plan(status: JobStatus) -> bool:
    return status.plan is not None and status.plan.revision > 0
