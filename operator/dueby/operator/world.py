"""What the control loop sees of the cluster at one moment, and what it remembers between two."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from dueby.operator.inventory import Node
from dueby.planner.profiles import GPUProfile
from dueby.planner.replan import FRESH, Memory

Document = dict[str, Any]


@dataclass(kw_only=True)
class World:
    """What all jobs have in common at one moment."""

    now_us: int
    nodes: dict[str, Node]
    profiles: tuple[GPUProfile, ...]
    jobs: list[Document]
    """The InferenceJobs."""
    batch: dict[tuple[str, str], list[Document]]
    """Jobs of steps and workers, by the InferenceJob's namespace and name."""
    pods: dict[tuple[str, str], list[Document]]
    """Their pods, by the same."""
    unscheduled: Counter[str] = field(default_factory=Counter)
    """Workers by device class that are wanted and on no node yet, so that nodes don't show them."""


@dataclass(kw_only=True)
class Memories:
    """What the loop remembers of a job; an operator that starts again does without."""

    lag: Memory = FRESH
    generation: int | None = None
    """Of the spec that was last decided on."""
    lost: frozenset[str] = frozenset()
    """Workers that were lost at the last look."""
    parts_there: frozenset[int] = frozenset()
    commits: int = -1
    """Parts that workers had committed when `parts_there` was asked for."""
