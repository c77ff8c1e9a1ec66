"""What time it is in the cluster: the API server's time, carried on by a clock of this machine that nobody sets.

Deadlines are counted from times that the API server has written, so its clock is the one to compare them with, and
each of its answers says what it shows. This machine's time of day is not used: it may be wrong, or be set while the
operator runs. One answer alone is not believed, since one of several API servers may be wrong: the clock is set by the
median of the first few, all of which come before the first decision. Nor is a later jump of the API server's clock
followed at once, because pauses and the ages of workers are measured with this clock, too: it runs at most 5 % faster
or slower than it should.
"""

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from statistics import median_low

from dueby_api.units import MICROS_PER_SECOND, to_micros

# How much faster or slower it runs to make up for a difference.
SLEW = 0.05
# An answer says its time in whole seconds, rounded down: half a second more is right on average.
ROUNDED_US = MICROS_PER_SECOND // 2
# Answers whose median sets the clock: fewer than what is asked before the first decision.
FIRST_ANSWERS = 5


class ServerClock:
    """The time in the cluster, in microseconds since 1970."""

    def __init__(
        self,
        *,
        steady_us: Callable[[], int] = lambda: int(steady_clock_s() * MICROS_PER_SECOND),
        wall_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        """`wall_us` serves until the API server has answered for the first time."""
        self._steady_us = steady_us
        self._wall_us = wall_us
        self._first_us: list[int] = []
        """The cluster's time less the steady clock's, by each of the first answers."""
        self._offset_us: int | None = None
        """The same, as this clock has it."""
        self._heard_us = 0
        """When an answer was heard last, by the steady clock."""

    def now_us(self) -> int:
        return self._wall_us() if self._offset_us is None else self._steady_us() + self._offset_us

    def hear(self, date: str | None) -> None:
        """Take the time from an answer's header `Date`. One that is missing or no time is ignored."""
        try:
            said_us = to_micros(parsedate_to_datetime(date or "")) + ROUNDED_US
        except (TypeError, ValueError):  # TypeError: it has no offset from UTC
            return
        here_us = self._steady_us()
        wanted_us = said_us - here_us
        if self._offset_us is None or len(self._first_us) < FIRST_ANSWERS:
            self._first_us.append(wanted_us)
            self._offset_us = median_low(self._first_us)
        else:
            most_us = round(SLEW * (here_us - self._heard_us))
            self._offset_us += max(-most_us, min(most_us, wanted_us - self._offset_us))
        self._heard_us = here_us


def steady_clock_s() -> float:
    """Return seconds of a clock that never goes back and, on Linux, goes on while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
