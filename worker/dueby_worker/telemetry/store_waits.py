"""What the calls to one store wait for.

A store that is full or away shows nowhere but in a worker's log, unless the worker says so: its parts wait in memory,
and it looks like one that hangs. The retry policy tells of the calls (dueby_worker/storage/retry.py), and /progress
shows the one that has been waiting for longest.
"""

import threading
from typing import Literal

from dueby_api.step_messages import MAX_STORE_ERROR, StoreWait


class StoreWaits:
    """The calls to the sink, or those to the source's stores, that wait. Thread-safe."""

    def __init__(self, store: Literal["sink", "source"]) -> None:
        self._store: Literal["sink", "source"] = store
        self._lock = threading.Lock()
        self._waits: dict[object, tuple[float, str]] = {}
        """Since when a call waits, and for what."""

    def note(self, call: object, failure: Exception, *, since_s: float) -> None:
        """Note that the call, which began then by the monotonic clock, has failed and will be repeated."""
        with self._lock:
            self._waits[call] = since_s, str(failure)

    def end(self, call: object) -> None:
        """Note that the call waits no longer."""
        with self._lock:
            self._waits.pop(call, None)

    def longest(self, *, now_s: float, work_s: float | None = None) -> StoreWait | None:
        """Return the wait that began first; None while no call waits. Time before `work_s` is not counted."""
        with self._lock:
            since_s, error = min(self._waits.values(), default=(None, ""))
        if since_s is None:
            return None
        if work_s is not None:
            since_s = max(since_s, work_s)
        return StoreWait(store=self._store, error=error[:MAX_STORE_ERROR], seconds=round(max(0.0, now_s - since_s), 3))
