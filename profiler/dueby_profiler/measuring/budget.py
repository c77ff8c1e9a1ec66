"""A time limit that is kept by construction: every phase asks how long it may take before it begins.

A sweep with a fixed number of repetitions takes three minutes on one machine and twelve on the next. Here the whole has
a number of seconds, each phase gets a share of what is left, and a phase that needs less leaves the rest to those after
it.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Budget:
    """A moment by which to be done."""

    clock: Callable[[], float]
    """Monotonic seconds."""
    end_s: float

    @classmethod
    def starting(cls, seconds: float, clock: Callable[[], float]) -> "Budget":
        """Return a budget of so many seconds from now."""
        return cls(clock=clock, end_s=clock() + seconds)

    @property
    def left_s(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self.end_s - self.clock())

    def share(self, fraction: float) -> "Budget":
        """Return a budget that ends when this fraction of the time left is over."""
        return Budget(clock=self.clock, end_s=self.clock() + fraction * self.left_s)

    def without(self, seconds: float) -> "Budget":
        """Return a budget that ends so many seconds earlier."""
        return Budget(clock=self.clock, end_s=self.end_s - seconds)
