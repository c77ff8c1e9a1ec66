"""Conditions as a decision finds them, and how they are merged into a status. Pure.

A condition keeps its transition time while its status stays, so that a second pass over an unchanged cluster makes the
same status and nothing is written. Every reason is in the table of dueby_api/conditions.py.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from dueby_api.conditions import Reason
from dueby_api.status import MAX_MESSAGE, Condition
from dueby_api.units import format_time


@dataclass(frozen=True, kw_only=True)
class NewCondition:
    """A condition as it is now. The reason settles its type and status."""

    reason: Reason
    message: str = ""


def merge_conditions(
    before: Iterable[Condition], new: Iterable[NewCondition], *, generation: int, now_us: int
) -> tuple[Condition, ...]:
    """Return the conditions with the new ones in their places. Conditions without news stay as they are."""
    merged = {condition.type: condition for condition in before}
    for condition in new:
        kind = str(condition.reason.type)
        old = merged.get(kind)
        has_changed = old is None or old.status != condition.reason.status
        merged[kind] = Condition(
            type=kind,
            status=condition.reason.status,
            reason=condition.reason.word,
            message=_fitting(condition.message),
            last_transition_time=format_time(now_us) if old is None or has_changed else old.last_transition_time,
            observed_generation=generation,
        )
    return tuple(merged.values())


def _fitting(message: str) -> str:
    """Return the message as a condition can hold it: those that name each of 64 classes may be longer."""
    return message if len(message) <= MAX_MESSAGE else f"{message[: MAX_MESSAGE - 1]}…"
