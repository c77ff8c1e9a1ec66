"""Ask a store again while it does not answer, with longer and longer pauses.

A store that cannot be reached says nothing about an image, so a `Transient` failure must never become an image's
error. It is logged as a warning, and the store is asked again. The failure is raised only when the time of the policy
is used up. Every other exception is an answer, and is raised at once.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from dueby_api.errors import Transient

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")
# Not the module's own: nobody who seeds that shall find that a store was asked again meanwhile.
_chance = random.Random()
# 2 to the power of this, times any first pause, is longer than any max_pause_s; a higher power overflows a float.
_MAX_DOUBLINGS = 30


# Pauses after refusals because of too many requests are no longer than that after so many attempts.
_MOST_THROTTLED = 3
# A store that asks for more is asked again after so long all the same: its clock may be wrong.
_LONGEST_RETRY_AFTER_S = 300.0


class Throttled(Transient):
    """A store answers, but wants fewer requests a second. It is never an image's fault."""

    def __init__(self, words: str, *, retry_after_s: float | None = None) -> None:
        """Take for how long the store wants no request; None if it doesn't say."""
        super().__init__(words)
        self.retry_after_s = None if retry_after_s is None else min(retry_after_s, _LONGEST_RETRY_AFTER_S)


class WaitListener(Protocol):
    """Hears of every call to a store, from many threads."""

    def begin(self, call: object, *, at_s: float) -> None:
        """Note that the call begins, at this reading of the monotonic clock."""

    def fail(self, call: object, failure: Transient) -> None:
        """Note that the call has failed and will be repeated."""

    def end(self, call: object) -> None:
        """Note that the call is over."""


class _Nobody:
    """Listens to nothing."""

    def begin(self, call: object, *, at_s: float) -> None:
        pass

    def fail(self, call: object, failure: Transient) -> None:
        pass

    def end(self, call: object) -> None:
        pass


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """Pause for first_pause_s, then twice as long each time up to max_pause_s, until total_s have passed."""

    first_pause_s: float = 0.5
    max_pause_s: float = 30.0
    total_s: float = 600.0
    waits: WaitListener = field(default=_Nobody(), compare=False, repr=False)
    """Is told what is waited for: a worker shows it, since its log is read by nobody."""

    def call(self, ask: Callable[[], Answer], *, what: str, cancelled: threading.Event | None = None) -> Answer:
        """Return what `ask` returns. Raise its Transient once the time is used up or `cancelled` is set.

        `what` names the store in the warnings.
        """
        call, started_s = object(), time.monotonic()
        self.waits.begin(call, at_s=started_s)
        try:
            return self._call(ask, call, started_s, what=what, cancelled=cancelled)
        finally:
            self.waits.end(call)

    def _call(
        self,
        ask: Callable[[], Answer],
        call: object,
        started_s: float,
        *,
        what: str,
        cancelled: threading.Event | None,
    ) -> Answer:
        attempt = 0
        while True:
            attempt += 1
            try:
                return ask()
            except Transient as failure:
                elapsed_s = time.monotonic() - started_s
                # Made only here: nearly every call succeeds at once and needs no event.
                cancelled = cancelled or threading.Event()
                if elapsed_s >= self.total_s or cancelled.is_set():
                    raise
                self.waits.fail(call, failure)
                # A store that wants fewer requests is there, and images behind this one would wait for it, too.
                if isinstance(failure, Throttled):
                    pause_s = max(self._pause_s(min(attempt, _MOST_THROTTLED)), failure.retry_after_s or 0.0)
                else:
                    pause_s = self._pause_s(attempt)
                logger.warning(
                    "%s can't be used: %s. Attempt %d failed after %.0f s; trying again in %.1f s, "
                    "giving up after %.0f s.",
                    what, failure, attempt, elapsed_s, pause_s, self.total_s,
                )  # fmt: skip
                if cancelled.wait(pause_s):
                    raise

    def _pause_s(self, attempt: int) -> float:
        """Return the pause after this attempt. It is partly random, so that workers do not all come back at once."""
        pause_s: float = self.first_pause_s * 2 ** min(attempt - 1, _MAX_DOUBLINGS)
        return min(pause_s, self.max_pause_s) + _chance.uniform(0, self.first_pause_s)


DEFAULT_RETRY = RetryPolicy()
