"""Statistics of a worker's steps: the recent mean, the mean of all, and the distribution.

A step is the time between two consecutive results, which is what the plan counts in; it includes waiting for input. The
part that the model took is kept beside it, so that a worker that starves can be told from a slow one. The first step is
the warm-up and is kept apart.
"""

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field

# Upper bounds in seconds, from a small model on a GPU to a large one on a core.
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
# Steps that count as recent.
_RECENT = 50


@dataclass(kw_only=True)
class StepStatistics:
    """The steps so far, in microseconds."""

    warmup_us: int | None = None
    count: int = 0
    """Steady steps."""
    total_us: int = 0
    model_total_us: int = 0
    longest_us: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    """Steady steps by BUCKETS_S; the last are those above all bounds."""
    _recent: deque[tuple[int, int, int]] = field(default_factory=lambda: deque(maxlen=_RECENT))

    def add(self, *, step_us: int, model_us: int, images: int) -> None:
        """Add a step, of which the model took `model_us`. `images` does not count padding."""
        if self.warmup_us is None:
            self.warmup_us = step_us
            return
        self.count += 1
        self.total_us += step_us
        self.model_total_us += model_us
        self.longest_us = max(self.longest_us, step_us)
        self.buckets[bisect_left(BUCKETS_S, step_us / 1e6)] += 1
        self._recent.append((step_us, model_us, images))

    @property
    def batches(self) -> int:
        """All mini-batches so far, including the first."""
        return self.count + (self.warmup_us is not None)

    @property
    def recent_us(self) -> int | None:
        """Mean of the recent steady steps."""
        return round(sum(step for step, _, _ in self._recent) / len(self._recent)) if self._recent else None

    @property
    def recent_model_us(self) -> int | None:
        """Mean time that the model took of the recent steady steps."""
        return round(sum(model for _, model, _ in self._recent) / len(self._recent)) if self._recent else None

    @property
    def mean_us(self) -> int | None:
        """Mean of all steady steps."""
        return round(self.total_us / self.count) if self.count else None

    @property
    def mean_model_us(self) -> int | None:
        """Mean time that the model took of all steady steps."""
        return round(self.model_total_us / self.count) if self.count else None

    @property
    def images_per_second(self) -> float | None:
        """Rate over the recent steady steps."""
        elapsed_us = sum(step for step, _, _ in self._recent)
        return round(sum(images for _, _, images in self._recent) * 1e6 / elapsed_us, 1) if elapsed_us else None
