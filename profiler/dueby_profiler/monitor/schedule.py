"""When the monitor takes samples: at multiples of one period from the first moment on, and how long that period is.

Each moment is computed from the first one and not from the last sample, so delays don't add up. Missed samples are
left out, not made up for. The period is the shortest of 1/4 s, 1/2 s, 1 s, 2 s, ... at which sampling costs half a
per cent of a core: psutil takes 0.1 ms for a process, so a machine of 64 slices is sampled less often than one of two.
"""

from dataclasses import dataclass
from math import ceil

MIN_PERIOD_S = 0.25
# Half of what is promised: sampling takes longer while the caches are full of what is being measured.
SHARE_OF_A_CORE = 0.005


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Moments at equal distances, numbered from 0."""

    first_s: float
    period_s: float

    def moment(self, number: int) -> float:
        return self.first_s + number * self.period_s

    def after(self, number: int, now_s: float) -> int:
        """Return the number of the next future moment once this one is done, however early or late that is."""
        return max(number + 1, ceil((now_s - self.first_s) / self.period_s))


def affordable_period(sample_s: float) -> float:
    """Return the shortest period for samples that take so many core-seconds each."""
    period_s = MIN_PERIOD_S
    while sample_s > SHARE_OF_A_CORE * period_s:
        period_s *= 2
    return period_s
