"""What the calls to one store wait for.

A store that is full or away shows nowhere but in a step's log, unless the step says so: a worker's parts wait in
memory, and it looks like one that hangs. The retry policy tells of the calls (dueby_worker/storage/retry.py), and
/progress shows the one that has been waiting for longest.
"""

import threading
from typing import Literal

from dueby_api.step_messages import MAX_STORE_ERROR, StoreWait

# A first request that takes so long counts as a wait, too: a server that accepts and never answers fails after minutes.
SLOW_S = 30.0


class StoreWaits:
    """The calls to the sink, or those to the source's stores, that wait. Thread-safe."""

    def __init__(self, store: Literal["sink", "source"]) -> None:
        self._store: Literal["sink", "source"] = store
        self._lock = threading.Lock()
        self._calls: dict[object, tuple[float, str]] = {}
        """When a call that is not over began, and how it failed last; empty if it hasn't."""

    def begin(self, call: object, *, at_s: float) -> None:
        """Note that the call begins, at this reading of the monotonic clock."""
        with self._lock:
            self._calls[call] = at_s, ""

    def fail(self, call: object, failure: Exception) -> None:
        """Note that the call has failed and will be repeated."""
        with self._lock:
            self._calls[call] = self._calls[call][0], str(failure)

    def end(self, call: object) -> None:
        """Note that the call is over."""
        with self._lock:
            self._calls.pop(call, None)

    def longest(self, *, now_s: float, work_s: float | None = None) -> StoreWait | None:
        """Return the wait that began first; None while no call waits. Time before `work_s` is not counted."""
        with self._lock:
            waits = [(at_s, error) for at_s, error in self._calls.values() if error or now_s - at_s >= SLOW_S]
        since_s, error = min(waits, default=(None, ""))
        if since_s is None:
            return None
        if work_s is not None:
            since_s = max(since_s, work_s)
        return StoreWait(store=self._store, error=error[:MAX_STORE_ERROR], seconds=round(max(0.0, now_s - since_s), 3))
