"""What is decided about a job's workers: at most one action, and what the next decision needs to know."""

from dataclasses import dataclass

from dueby_operator.model.job_model import Assignment, StartReason
from dueby_planner.deadline_classes import Verdict
from dueby_planner.replan import FRESH, LagMemory


@dataclass(frozen=True, kw_only=True)
class Start:
    """Start these workers, beside those that are there."""

    assignments: tuple[Assignment, ...]
    part_size: int
    reason: StartReason
    verdict: Verdict | None = None
    """The verdict of the plan, if it is a whole plan and not an addition."""


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Stop these workers; others take over what they leave."""

    workers: tuple[str, ...]
    reason: StartReason


@dataclass(frozen=True, kw_only=True)
class Refuse:
    """Start nothing: the deadline can't be met, and the deadline class says not to try."""

    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class WorkDecision:
    """What to do now, and what to remember."""

    action: Start | Stop | Refuse | None = None
    lag: LagMemory = FRESH
    is_short: bool = False
    """Whether the deadline is out of reach with all the devices that may be used."""
    expected_finish_us: int | None = None
    """When the workers will have done what is left, in microseconds since 1970; None while there are none."""
