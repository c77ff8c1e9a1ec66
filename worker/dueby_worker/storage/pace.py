"""How many requests a second a store is asked for, once it has said that they are too many.

A store refuses with 429 or SlowDown and says no number, and other workers ask it, too. So each worker finds its share
as TCP does: the rate grows by a constant amount a second, and is cut by a factor when the store refuses. A plan may
give a rate that is never exceeded.

Pure: the clock is given with each call, in seconds.
"""

import math
from collections import deque
from dataclasses import dataclass, field

# A refusal leaves so much of the rate that the store gave ...
_KEPT = 0.8
# ... which is at least so much of what was asked: a store that stood still for a moment gave next to nothing.
_LEAST_KEPT = 0.5
# Each second in which as much is asked for, the rate grows by so many requests a second, and by so much of what the
# last refusal left.
_GROWTH_PER_S, _GROWTH_SHARE = 2.0, 0.01
_LEAST_RATE = 1.0
_LATE_S = 1.0
# After a pause so much may be asked at once, in seconds of the rate.
_BURST_S = 0.1
# What the store gave is counted over so long.
_WINDOW_S = 2.0
# How much a refusal counts in what was observed.
_NEWEST = 0.3


@dataclass(kw_only=True)
class RequestPace:
    """A token bucket whose rate follows a store's refusals. Not thread-safe."""

    limit: float = math.inf
    """Requests a second that are never exceeded."""
    start: float = math.inf
    """Requests a second to begin with, if they are fewer."""
    rate: float = field(init=False)
    """Requests a second that may be made now; infinite until the store has refused one, if nothing was given."""
    observed: float | None = None
    """Requests a second that the store gave when it refused more, the newest weighing most; None if it never has, or
    but once."""
    _growth: float = 0.0
    _tokens: float = 1.0
    _waited_s: float = -math.inf
    """When a request last had to wait for a token."""
    _filled_s: float | None = None
    _held_until_s: float = -math.inf
    _cut_s: float = -math.inf
    _answers: deque[float] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.rate = min(self.limit, self.start)
        self._growth = 0.0 if math.isinf(self.rate) else _growth_after(self.rate)

    def wait_s(self, now_s: float) -> float:
        """Take a token for a request and return 0, or return after how many seconds to ask again."""
        self._fill(now_s)
        if now_s < self._held_until_s:
            return self._held_until_s - now_s
        if math.isinf(self.rate):
            return 0.0
        # A token that is short by a rounding error is one.
        if self._tokens >= 1 - 1e-9:
            self._tokens -= 1
            return 0.0
        self._waited_s = now_s
        return (1 - self._tokens) / self.rate

    def note_answer(self, now_s: float) -> None:
        """Note that the store has answered a request with anything but a refusal because of too many."""
        self._answers.append(now_s)
        while self._answers[0] < now_s - _WINDOW_S:
            self._answers.popleft()

    def note_refusal(self, now_s: float, *, asked_s: float, retry_after_s: float | None = None) -> None:
        """Cut the rate, because the store has refused a request of `asked_s`; make none before `retry_after_s`.

        Requests that were made before the last cut say nothing about the rate since.
        """
        self._fill(now_s)
        if retry_after_s is not None:
            self._held_until_s = max(self._held_until_s, now_s + retry_after_s)
        if asked_s < self._cut_s:
            return
        given = self._given(now_s)
        # In the first burst everything is asked for at once, and what comes of it says little.
        if not math.isinf(self.rate):
            given = min(max(given, _LEAST_KEPT * self.rate), self.rate)
            self.observed = given if self.observed is None else self.observed + _NEWEST * (given - self.observed)
        self.rate = min(self.limit, max(_LEAST_RATE, _KEPT * given))
        self._growth = _growth_after(self.rate)
        self._tokens = min(self._tokens, 0.0)
        self._cut_s = now_s

    def _given(self, now_s: float) -> float:
        """Return how many requests a second were answered of late."""
        recent = [at_s for at_s in self._answers if at_s >= now_s - _WINDOW_S]
        # In less than a burst's time, a few answers would look like any rate.
        return len(recent) / max(now_s - recent[0], _BURST_S) if recent else _LEAST_RATE

    def _fill(self, now_s: float) -> None:
        """Add the tokens, and the growth of the rate, of the time since the last call."""
        filled_s = now_s if self._filled_s is None else self._filled_s
        since_s = max(0.0, now_s - max(filled_s, min(self._held_until_s, now_s)))
        self._filled_s = now_s
        if math.isinf(self.rate):
            return
        self._tokens = min(self._tokens + self.rate * since_s, max(1.0, self.rate * _BURST_S))
        # A rate that nobody waits for says nothing about the store. Who waited may come late, and then takes the token.
        if now_s - self._waited_s <= max(_LATE_S, 2 / self.rate):
            self.rate = min(self.limit, self.rate + self._growth * since_s)


def _growth_after(rate: float) -> float:
    """Return by how much a rate grows in a second, in requests a second."""
    return _GROWTH_PER_S + _GROWTH_SHARE * rate
