"""Tell of trouble that lasts in two lines: one when it has begun, one when it is over, with how long it was.

An API server that is away for a minute fails every watch, list and renewal many times. Each of them says so here, and
the log gets two lines. The API server's own trouble is known to all others, which keep silent while it lasts.
"""

import asyncio
import logging
import time
from collections.abc import Callable

# Trouble that is over sooner is not reported: a watch that breaks, a server that is replaced by another.
SHORT_S = 2.0
# While it lasts, another reason is reported after this long.
AGAIN_S = 60.0
log = logging.getLogger(__name__)


class Trouble:
    """One thing that may fail for a while."""

    def __init__(
        self,
        begins: str,
        ends: str,
        *,
        within: "Trouble | None" = None,
        short_s: float = SHORT_S,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`begins` and `ends` are what the two lines say. Nothing is reported that lies `within` a greater trouble."""
        self._begins, self._ends = begins, ends
        self._within = within
        self._short_s = short_s
        self._clock_s = clock_s
        self._since_s: float | None = None
        self._told_s: float | None = None
        self._told = ""
        self.ended_s = float("-inf")
        """When the last trouble that was reported was over."""
        self._resting: set[asyncio.Future[None]] = set()
        self._at_end: list[Callable[[], None]] = []

    def at_end(self, call: Callable[[], None]) -> None:
        """Have this called whenever trouble that was reported is over."""
        self._at_end.append(call)

    async def rest(self, pause_s: float) -> bool:
        """Wait so long, or until trouble that was reported is over; return whether it was that."""
        over = asyncio.get_running_loop().create_future()
        self._resting.add(over)
        try:
            done, _ = await asyncio.wait([over], timeout=pause_s)
            return bool(done)
        finally:
            self._resting.discard(over)

    @property
    def lasts(self) -> bool:
        """Whether there is trouble that was reported and isn't over."""
        return self._told_s is not None

    def failed(self, why: object) -> None:
        """Take note of a failure."""
        now_s = self._clock_s()
        self._since_s = now_s if self._since_s is None else self._since_s
        if now_s - self._since_s < self._short_s or (self._within is not None and self._within.lasts):
            return
        if self._told_s is None or (now_s - self._told_s >= AGAIN_S and str(why) != self._told):
            self._told_s, self._told = now_s, str(why)
            log.warning("%s: %s", self._begins, why)

    def worked(self) -> None:
        """Take note of a success, which ends the trouble."""
        if self._told_s is not None and self._since_s is not None:
            self.ended_s = self._clock_s()
            log.warning("%s after %.0f s", self._ends, self.ended_s - self._since_s)
        was_told, self._since_s, self._told_s = self.lasts, None, None
        if was_told:
            for over in self._resting:
                if not over.done():
                    over.set_result(None)
            for call in self._at_end:
                call()


class Backoff:
    """The pauses between attempts at one thing: each is twice as long as the one before it, up to a limit."""

    def __init__(self, *, first_s: float, last_s: float) -> None:
        self._first_s, self._last_s = first_s, last_s
        self._next_s = first_s

    def next_s(self) -> float:
        """Return the seconds until the next attempt."""
        now_s, self._next_s = self._next_s, min(2 * self._next_s, self._last_s)
        return now_s

    def reset(self) -> None:
        """Begin with the shortest pause again."""
        self._next_s = self._first_s
