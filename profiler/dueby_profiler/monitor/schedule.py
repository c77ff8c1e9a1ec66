"""When to look: at multiples of one period from the first moment on, however long a look takes; and which period.

The next moment is reckoned from the first one and not from the last look, so nothing adds up. Looks that are missed are
left out, not made up for. The period is the shortest of 1/4 s, 1/2 s, 1 s, 2 s, ... at which the looks cost half a per
cent of a core: psutil takes 0.1 ms for a process, so a machine of 64 slices is looked at less often than one of two.
"""

from dataclasses import dataclass
from math import ceil

MIN_S = 0.25
# Half of what is promised: looks take longer where the caches are full of what is measured.
SHARE_OF_A_CORE = 0.005


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Moments at equal distances, numbered from 0."""

    first_s: float
    period_s: float

    def moment(self, number: int) -> float:
        """When it is."""
        return self.first_s + number * self.period_s

    def after(self, number: int, now_s: float) -> int:
        """The number of the next moment that is yet to come, once this one is done, however early or late."""
        return max(number + 1, ceil((now_s - self.first_s) / self.period_s))


def affordable_period(look_s: float) -> float:
    """The shortest period for looks of so many core-seconds."""
    period_s = MIN_S
    while look_s > SHARE_OF_A_CORE * period_s:
        period_s *= 2
    return period_s
