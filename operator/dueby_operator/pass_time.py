"""The time of a pass: how much of it is left to decide on jobs, and when the pass last got any further.

With thousands of jobs a pass may take long, and to start the process again would help nobody while it gets on. Deciding
has a limit of its own, so that what was decided is carried out before it is old. Jobs that are left out by that come
first in the next pass.
"""

import time
from collections.abc import Callable

# For what is decided about each job alone, which is a third to a half of all that is decided. 5,000 jobs take so long.
DECIDING_S = 3.0


class PassTime:
    """Told by a pass how it gets on. Asked by the probe, and by the decision whether it has time for one more job."""

    def __init__(self, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._decided_by_s = float("inf")
        self.last_progress_s = clock_s()

    def note_progress(self) -> None:
        """Note that the pass has got further."""
        self.last_progress_s = self._clock_s()

    def begin_deciding(self) -> None:
        """Note that decisions begin now."""
        self.note_progress()
        self._decided_by_s = self.last_progress_s + DECIDING_S

    def has_time(self) -> bool:
        """Return whether there is time for one more job."""
        self.note_progress()
        return self.last_progress_s < self._decided_by_s
