"""How long the loop rests after a pass, so that a cluster with many jobs doesn't keep a core busy.

Where nothing happens, rests are as long as the time of the processor needs to stay below a share of a core, up to a
longest one. What happens ends a rest (loop.py): at once if it has been quiet, and after a share of its own otherwise,
since anybody can make things happen all the time.
"""

import time
from collections.abc import Callable

# Of a core. A pass about 100 running jobs takes 0.2 to 0.3 s of it.
SHARE = 0.09
# The same where something always happens, such as a tenant that writes to a pod in a loop. It is seen some tenths of a
# second later by that, as one pass answers all that happens within loop.DEBOUNCE_S in any case.
WOKEN_SHARE = 0.5
# Progress is written as often as that, and a worker that is slow or gone is seen so late.
LONGEST_S = 10.0


class Pace:
    """The processor's time from the end of one pass to the end of the next."""

    def __init__(
        self, *, clock_s: Callable[[], float] = time.monotonic, cpu_s: Callable[[], float] = time.process_time
    ) -> None:
        self._clock_s = clock_s
        self._cpu_s = cpu_s
        self._began_s = clock_s()
        self._used_s = cpu_s()
        self.least_s = 0.0
        """How long to rest after the last pass, whatever happens."""

    def begin(self) -> None:
        """Note that a pass begins."""
        self._began_s = self._clock_s()

    def rest_s(self, due_s: float) -> float:
        """Return how long to rest after the pass that ends now; the next one is due in `due_s`."""
        before_s, self._used_s = self._used_s, self._cpu_s()
        took_s, cost_s = self._clock_s() - self._began_s, self._used_s - before_s
        self.least_s = min(max(0.0, cost_s / WOKEN_SHARE - took_s), LONGEST_S)
        return max(due_s, min(cost_s / SHARE - took_s, LONGEST_S))
