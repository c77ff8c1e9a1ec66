"""How many requests a second a store is asked for, once it has said that they are too many.

A store refuses with 429 or SlowDown and says no number, and other workers ask it, too. So each worker finds its share
as TCP does: the rate grows while the store refuses nothing, and is cut by a factor when it does. A plan may give a rate
that is never exceeded.

All of it is relative, since a share may be a request in ten seconds or a thousand in one. Growth is counted in rounds,
of so many requests that the refusals that end a growth are few among them. The first round makes up for a cut; each
later one grows by more, so a rate that was cut far too low is left soon.

Pure: the clock is given with each call, in seconds.
"""

import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

# A refusal leaves what the store gave of late, and at most so much of the rate, ...
_KEPT = 0.97
# ... but at least so much: a store that stood still for a moment gave next to nothing.
_LEAST_KEPT = 0.5
# In a round of so many requests, and of so many seconds at least, ...
_ROUND_REQUESTS, _ROUND_S = 25, 1.0
# ... the rate grows by such a share, and by as much more in each round after it.
_GROWTH = 0.05
_LATE_S = 1.0
# After a pause so much may be asked at once, in seconds of the rate.
_BURST_S = 0.1
# What the store gave is counted over so long, and over as long as so many requests take.
_WINDOW_S, _WINDOW_REQUESTS = 2.0, 100
# How much a refusal counts in what was observed.
_NEWEST = 0.3
# Not the module's own, as in retry.py.
_draw = random.Random().random


@dataclass(kw_only=True)
class RequestPace:
    """A token bucket whose rate follows a store's refusals. Not thread-safe.

    Workers that are told their shares keep to them. Those that are told nothing come to equal shares only where a round
    is a second for all of them. Where it is a worker's own requests, one that asks half as often as another grows half
    as fast and is refused half as often, so nothing draws the two together. For that they would need a time in common,
    as TCP has its round trip. But with one that suits ten requests a second, a worker that makes one in ten seconds
    would grow so much between two of them that the store refused most. What slow workers leave, others take over at the
    end of the job.
    """

    limit: float = math.inf
    """Requests a second that are never exceeded."""
    start: float = math.inf
    """Requests a second to begin with, if they are fewer."""
    draw: Callable[[], float] = _draw
    """Returns a number from 0 to 1, by which workers that began together, or were refused together, ask apart."""
    rate: float = field(init=False)
    """Requests a second that may be made now; infinite until the store has refused one, if nothing was given."""
    observed: float | None = None
    """Requests a second that the store gave when it refused more, the newest weighing most; None if it never has, or
    but once."""
    _rounds: float = 0.0
    """How many the rate has grown for since it was cut."""
    _tokens: float = field(init=False)
    _began_s: float = math.inf
    """When the first request was made; infinite before."""
    _waited_s: float = -math.inf
    """When a request last had to wait for a token."""
    _filled_s: float | None = None
    _held_until_s: float = -math.inf
    _cut_s: float = -math.inf
    _answers: deque[float] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.rate = min(self.limit, self.start)
        self._share = 0.0 if math.isinf(self.rate) else self.rate
        self._tokens = self.draw()

    def wait_s(self, now_s: float) -> float:
        """Take a token for a request and return 0, or return after how many seconds to ask again."""
        self._fill(now_s)
        self._began_s = min(self._began_s, now_s)
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
        while self._answers[0] < now_s - self._window_s:
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
        if math.isinf(self.rate):
            # Everything is asked for at once, and what comes of it says little.
            given = max(1.0, self._answered(now_s, _WINDOW_S)) / max(now_s - self._began_s, _BURST_S)
        else:
            given = min(max(self._given(now_s), _LEAST_KEPT * self.rate), self.rate)
            self.observed = given if self.observed is None else self.observed + _NEWEST * (given - self.observed)
        self.rate = min(self.limit, given, _KEPT * self.rate)
        self._rounds = 0.0
        # In step, those that were refused together would be so again and again.
        self._tokens = self.draw()
        self._cut_s = now_s

    @property
    def _window_s(self) -> float:
        return max(_WINDOW_S, _WINDOW_REQUESTS / self.rate)

    def _given(self, now_s: float) -> float:
        """Return how many requests a second were answered of late; before there were any, as many as may be made."""
        early_s = max(0.0, self._window_s - (now_s - self._began_s))
        return (self._answered(now_s, self._window_s) + self.rate * early_s) / self._window_s

    def _answered(self, now_s: float, within_s: float) -> int:
        return sum(at_s >= now_s - within_s for at_s in self._answers)

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
            self._grow(since_s)

    def _grow(self, since_s: float) -> None:
        """Let the rate grow as in so many seconds in which it is used."""
        before = self._rounds
        self._rounds += since_s * min(max(self.rate, self._share) / _ROUND_REQUESTS, 1 / _ROUND_S)
        grown = _GROWTH * (self._rounds - before) * (1 + (self._rounds + before) / 2)
        self.rate = min(self.limit, self.rate * math.exp(grown))
