"""Looking whether things are still as they were, unless that was seen a moment ago: a look is a request to a store."""

import time
from collections.abc import Callable
from math import inf


class RecentLook:
    """A look that is good for some seconds. Threads may share it: that two look at once does no harm."""

    def __init__(
        self, look: Callable[[], None], *, good_for_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`look` raises if things are not as they were."""
        self._look = look
        self._good_for_s = good_for_s
        self._clock = clock
        self._looked_s = -inf

    def require(self, *, now: bool = False) -> None:
        """Look unless the last look is good still, or in any case if it is to be `now`. Raise what the look raises."""
        # The time before the look, during which the process may be stopped, too.
        at_s = self._clock()
        if now or at_s - self._looked_s > self._good_for_s:
            self._look()
            self._looked_s = at_s
