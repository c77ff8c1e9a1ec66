"""How many requests for single images are in flight: as many as hide the store's latency, within a bound of memory.

By Little's law, `rate` images a second at `latency` seconds each take `rate * latency` requests at the same time: 20 at
100 images a second and 200 ms, 400 at 2,000. The number begins with what hides some 10 ms, and grows only while images
are waited for. It becomes _HEADROOM times what the law says of the rate so far. So it doubles until images come as fast
as they are taken. Where more requests brought no more images, as from a store that gives no more, it goes back.
"""

import math
import threading
import time
from collections.abc import Callable
from statistics import median

# Twice what is needed: some requests take longer than others, and images are handed out in order.
_HEADROOM = 2.0
# More requests must bring so many times as many images, or it isn't tried again for so long.
_WORTH_IT, _NEXT_TRIAL_S = 1.1, 10.0
# Requests that were made together are answered together, so images come in bursts, a latency apart. A rate is counted
# over so many of them.
_BURSTS = 8
# As many threads wait for answers at most.
MOST_IN_FLIGHT = 512
# For the files in flight and the pixels that wait for their turn.
IN_FLIGHT_BYTES = 128 * 1024**2


def requests_to_hide(*, rate: float, latency_s: float) -> int:
    """Return how many requests give `rate` answers a second (Little's law), with headroom."""
    return math.ceil(_HEADROOM * rate * latency_s)


class RequestsInFlight:
    """Says how many requests to make at the same time, by the latency and the rate that is seen. Thread-safe."""

    def __init__(
        self,
        *,
        least: int,
        image_bytes: int,
        most: int = MOST_IN_FLIGHT,
        room_bytes: int = IN_FLIGHT_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the number to begin with, which is always allowed, and the bytes of an image's pixels."""
        self.least = least
        self.limit = least
        """Images that may be read, or wait for a decoder with their files."""
        self._most = max(least, most)
        self._image_bytes = image_bytes
        self._room_bytes = room_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._took_s: list[float] = []
        self._trial: tuple[int, float] | None = None
        """The limit and the rate before the limit was raised; None if it stays."""
        self._is_settling = False
        self._next_trial_s = -math.inf
        self._file_bytes = 0.0
        self._taken = 0
        self._is_waited_for = False
        self._since_s = clock()

    def note_answer(self, took_s: float) -> None:
        """Note how long the store took for an answer."""
        with self._lock:
            self._took_s.append(took_s)

    def note_file(self, size: int) -> None:
        """Note how many bytes a file has."""
        with self._lock:
            self._file_bytes += 0.1 * (size - self._file_bytes) if self._file_bytes else size

    def note_taken(self, *, was_waited_for: bool) -> None:
        """Note that an image was taken, and whether it was waited for. Change the limit after a round of answers."""
        with self._lock:
            self._taken += 1
            self._is_waited_for = self._is_waited_for or was_waited_for
            if len(self._took_s) < self.limit or self._taken < self.limit:
                return
            now_s = self._clock()
            if now_s - self._since_s < _BURSTS * sum(self._took_s) / len(self._took_s):
                return
            if self._is_waited_for and not self._is_settling:
                self._adjust(self._taken / max(now_s - self._since_s, 1e-6), now_s)
            else:
                # In the first round after a change, half of the answers are those of before.
                self._is_settling = False
            self._took_s.clear()
            self._taken, self._is_waited_for, self._since_s = 0, False, now_s

    def _adjust(self, rate: float, now_s: float) -> None:
        """Change the limit to what this rate and the latest answers ask for, or back if more were no gain."""
        if self._trial is not None and rate < _WORTH_IT * self._trial[1]:
            self.limit, self._trial = self._trial[0], None
            self._next_trial_s = now_s + _NEXT_TRIAL_S
            return
        wanted = requests_to_hide(rate=rate, latency_s=median(self._took_s))
        wanted = max(self.least, min(wanted, self._most, self._fitting()))
        is_more = wanted > self.limit
        self._trial = (self.limit, rate) if is_more else None
        if is_more and now_s < self._next_trial_s:
            self._trial = None
            return
        self._is_settling = is_more
        self.limit = wanted

    def _fitting(self) -> int:
        """Return how many fit in memory. Each has a file, and for a moment twice its pixels."""
        return int(self._room_bytes / (self._file_bytes + 2 * self._image_bytes))
