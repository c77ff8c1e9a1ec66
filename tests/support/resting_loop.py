"""A control loop that isn't running, and passes that do what they are told."""

import asyncio
from collections.abc import Callable, Mapping

from dueby_operator.control.snapshot import ClusterSnapshot
from dueby_operator.loop import ControlLoop
from dueby_operator.model.devices import Devices
from support.api import Open
from support.decisions import SETTINGS, cluster


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def resting(clock: Clock) -> ControlLoop:
    """A loop that isn't running, as it was made when the clock was 0."""
    return ControlLoop(SETTINGS, sign_in=lambda: Open(""), claim=None, clock_s=clock)


async def until(holds: Callable[[], object]) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.01)


class Passes:
    """What the passes do, one after the other; the last one for ever."""

    snapshot: ClusterSnapshot = cluster()
    left: Devices = snapshot.devices
    unused: Mapping[str, int] = {}

    def __init__(self, *errors: BaseException | None) -> None:
        self.errors = list(errors)
        self.done = asyncio.Event()

    async def reconcile(self) -> float:
        if self.errors and (error := self.errors.pop(0)) is not None:
            raise error
        self.done.set()
        return 3600.0
