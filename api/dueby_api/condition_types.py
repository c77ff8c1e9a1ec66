"""The types of conditions, and what a reason of one is made of. The reasons themselves are in conditions.py."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Truth = Literal["True", "False", "Unknown"]


class ConditionType(StrEnum):
    """What a condition is about. The order is that of a job's life, and that of docs/conditions.md."""

    INDEXED = "Indexed"
    PROFILED = "Profiled"
    FEASIBLE = "Feasible"
    ADMITTED = "Admitted"
    ON_TRACK = "OnTrack"
    DEADLINE_MET = "DeadlineMet"
    COMPLETE = "Complete"
    FAILED = "Failed"
    CURRENT = "Current"
    """Of a GPUProfile: whether one would measure the same now."""


@dataclass(frozen=True)
class ReasonEntry:
    """One reason of one condition."""

    type: ConditionType
    status: Truth
    word: str
    """As the resource spells it."""
    meaning: str
    action: str = ""
    """What a user does about it; empty where there is nothing to do."""
