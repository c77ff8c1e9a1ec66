"""How long a store that doesn't answer is asked again, and how that is said.

A store that can't be reached says nothing about an image, so a `Transient` failure is tried again with exponential
back-off and a warning each time, and goes up only when the patience is at its end. tenacity is imported here and
nowhere else.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_exponential, wait_random

from dueby_api.errors import Transient

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True)
class Patience:
    """Waits of first_s, twice that, ... up to longest_s, each with some jitter, until total_s have gone by."""

    first_s: float = 0.5
    longest_s: float = 30.0
    total_s: float = 600.0

    def call(self, ask: Callable[[], Answer], *, what: str, cancelled: threading.Event | None = None) -> Answer:
        """What `ask` returns; its last Transient where it never answers, or at once when `cancelled` is set."""
        try:
            return ask()  # nearly always, and tenacity takes 80 us for it: twice what reading a file does
        except Transient as failure:
            failed = [failure]

        def ask_again() -> Answer:
            if failed:
                raise failed.pop()
            return ask()

        cancelled = cancelled or threading.Event()
        in_time = stop_after_delay(self.total_s)

        def warn(state: RetryCallState) -> None:
            failure = state.outcome.exception() if state.outcome else None
            logger.warning(
                "%s can't be reached: %s. Asked %d times, for %.0f s; next in %.1f s, giving up after %.0f s.",
                what, failure, state.attempt_number, state.seconds_since_start or 0, state.upcoming_sleep, self.total_s,
            )  # fmt: skip

        def sleep(seconds: float) -> None:
            cancelled.wait(seconds)

        asking = Retrying(
            retry=retry_if_exception_type(Transient),
            wait=wait_exponential(multiplier=self.first_s, max=self.longest_s) + wait_random(0, self.first_s),
            stop=lambda state: cancelled.is_set() or in_time(state),
            sleep=sleep,
            before_sleep=warn,
            reraise=True,
        )
        return asking(ask_again)


PATIENT = Patience()
