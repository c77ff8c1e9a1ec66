"""Whom the profiler tells what it does."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far the profiler is."""

    doing: str
    left_s: float
    """At most: a phase that needs less time leaves it out."""


@dataclass(frozen=True, kw_only=True)
class Audience:
    """By default nobody."""

    progress: Callable[[Progress], None] = field(default=lambda progress: None)
    tell: Callable[[str], None] = field(default=lambda sentence: None)
    """A sentence to keep: what was chosen, left out, or is in doubt."""
