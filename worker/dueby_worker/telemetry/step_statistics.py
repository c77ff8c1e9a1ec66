"""Statistics of a worker's steps: what a mini-batch takes lately, on the whole, and how it is distributed.

The wall time between two consecutive results is what the plan counts in; it includes waiting for input. The part of
it that the model took is kept beside it, so that a worker that starves can be told from one that is slow. The first
step is the warm-up and is kept apart.
"""

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field

# Seconds; from a small model on a GPU to a large one on a core.
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_RECENT = 50


@dataclass(kw_only=True)
class Steps:
    """The steps so far, in microseconds."""

    warmup_us: int | None = None
    count: int = 0
    """Steady steps."""
    total_us: int = 0
    model_total_us: int = 0
    longest_us: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    _recent: deque[tuple[int, int, int]] = field(default_factory=lambda: deque(maxlen=_RECENT))

    def add(self, *, step_us: int, model_us: int, images: int) -> None:
        """One more step, of which the model took `model_us`, with so many images that weren't padding."""
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
    def recent_us(self) -> int | None:
        """Mean of the last 50 steady steps."""
        return round(sum(step for step, _, _ in self._recent) / len(self._recent)) if self._recent else None

    @property
    def recent_model_us(self) -> int | None:
        """What the model took of it."""
        return round(sum(model for _, model, _ in self._recent) / len(self._recent)) if self._recent else None

    @property
    def mean_us(self) -> int | None:
        """Mean of all steady steps."""
        return round(self.total_us / self.count) if self.count else None

    @property
    def mean_model_us(self) -> int | None:
        """What the model took of it."""
        return round(self.model_total_us / self.count) if self.count else None

    @property
    def images_per_second(self) -> float | None:
        """Over the last 50 steady steps."""
        elapsed_us = sum(step for step, _, _ in self._recent)
        return round(sum(images for _, _, images in self._recent) * 1e6 / elapsed_us, 1) if elapsed_us else None
