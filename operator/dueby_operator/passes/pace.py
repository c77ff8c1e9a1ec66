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
# For what is decided about each job alone, which is a third to a half of all that is decided. 5,000 jobs take so long.
DECIDING_S = 3.0


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
        self._began_s = self._clock_s()

    def rest_s(self, due_s: float) -> float:
        """Return how long to rest after the pass that ends now; the next one is due in `due_s`."""
        before_s, self._used_s = self._used_s, self._cpu_s()
        took_s, cost_s = self._clock_s() - self._began_s, self._used_s - before_s
        self.least_s = min(max(0.0, cost_s / WOKEN_SHARE - took_s), LONGEST_S)
        return max(due_s, min(cost_s / SHARE - took_s, LONGEST_S))


class PassTime:
    """Told by a pass how it gets on. Asked by the probe, and by the decision whether it has time for one more job.

    Deciding has a limit of its own, so that what was decided is carried out before it is old. Jobs that are left out by
    that come first in the next pass.
    """

    def __init__(self, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._decided_by_s = float("inf")
        self.last_progress_s = clock_s()

    def note_progress(self) -> None:
        self.last_progress_s = self._clock_s()

    def begin_deciding(self) -> None:
        """Note that decisions begin now."""
        self.note_progress()
        self._decided_by_s = self.last_progress_s + DECIDING_S

    def has_time(self) -> bool:
        self.note_progress()
        return self.last_progress_s < self._decided_by_s
