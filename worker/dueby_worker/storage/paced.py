"""The paces of the stores that a process reads, kept by all of its threads (pace.py says how a pace is found)."""

import math
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from dueby_api.errors import Transient
from dueby_worker.storage.pace import RequestPace
from dueby_worker.storage.retry import Throttled
from dueby_worker.storage.store import Unavailable

Answer = TypeVar("Answer")
# How often a request that the store refuses waits for its turn again before RetryPolicy pauses, warns and looks at the
# time. The turn itself is a pause, and images are handed out in order: one that paused longer would hold up the others.
_TURNS = 4
# How the roots of stores begin that are folders of this machine.
_LOCAL = "file:"


class PacedStore:
    """One store, asked no faster than it takes. Thread-safe; requests are made in the order in which they came."""

    def __init__(
        self, pace: RequestPace, *, on_answer: Callable[[float], None] | None, clock: Callable[[], float]
    ) -> None:
        """Take what is told how many seconds each answer took; None: a folder of this machine, which refuses none."""
        self._pace = pace
        self._is_free = on_answer is None and math.isinf(pace.limit)
        self._on_answer = on_answer
        self._clock = clock
        self._lock = threading.Lock()
        self._turn = threading.Lock()

    @property
    def observed(self) -> float | None:
        """Requests a second that the store gave when it refused more; None if it never has."""
        return self._pace.observed

    def call(self, ask: Callable[[], Answer], *, cancelled: threading.Event) -> Answer:
        """Return what `ask` returns, in its turn. Raise Throttled if the store keeps refusing."""
        if self._is_free:
            return ask()
        refusals = 0
        while True:
            asked_s = self._wait_for_turn(cancelled)
            try:
                answer = ask()
            except Throttled as refusal:
                with self._lock:
                    self._pace.note_refusal(self._clock(), asked_s=asked_s, retry_after_s=refusal.retry_after_s)
                refusals += 1
                if refusals == _TURNS:
                    raise
            except Unavailable:
                self._note_answer(asked_s)
                raise
            else:
                self._note_answer(asked_s)
                return answer

    def _note_answer(self, asked_s: float) -> None:
        now_s = self._clock()
        with self._lock:
            self._pace.note_answer(now_s)
        if self._on_answer is not None:
            self._on_answer(now_s - asked_s)

    def _wait_for_turn(self, cancelled: threading.Event) -> float:
        # Whoever has the turn waits for a token, and the others for the turn.
        with self._turn:
            while True:
                now_s = self._clock()
                with self._lock:
                    wait_s = self._pace.wait_s(now_s)
                if not wait_s:
                    return now_s
                if cancelled.wait(wait_s):
                    raise Transient("reading was ended")


def is_local(uri: str) -> bool:
    """Return whether what is at the URI is a file of this machine, or mounted on it."""
    return uri.startswith(_LOCAL)


class Paces:
    """The pace of each store, by its root, for as long as a worker runs. Thread-safe."""

    def __init__(
        self, *, limit: float | None = None, start: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Take the requests a second that may never be exceeded, and those to begin with; None: as many as it takes."""
        self._limit = math.inf if limit is None else limit
        self._start = math.inf if start is None else start
        self._clock = clock
        self._lock = threading.Lock()
        self._stores: dict[str, PacedStore] = {}
        self._on_answer: Callable[[float], None] = lambda took_s: None

    def listen(self, on_answer: Callable[[float], None]) -> None:
        """Tell this from now on how many seconds each answer took, without its wait for its turn.

        Files of this machine are left out: more at the same time would only take longer.
        """
        self._on_answer = on_answer

    def of(self, root: str) -> PacedStore:
        """Return the store of this root."""
        with self._lock:
            if root not in self._stores:
                pace = RequestPace(limit=self._limit, start=self._start)
                on_answer = None if is_local(root) else lambda took_s: self._on_answer(took_s)
                self._stores[root] = PacedStore(pace, on_answer=on_answer, clock=self._clock)
            return self._stores[root]

    @property
    def observed(self) -> float | None:
        """Requests a second that the slowest store gave when it refused more; None if none has."""
        with self._lock:
            return min((store.observed for store in self._stores.values() if store.observed is not None), default=None)
