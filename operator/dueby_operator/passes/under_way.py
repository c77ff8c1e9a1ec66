"""Calls to the API server, many at once, of which one that isn't answered holds up nobody else.

A request whose answer is lost takes until its time limit, and a pass that waited for it would leave all jobs alone for
so long. So it is left under way once no other call has come back for PATIENCE_S, and the pass ends without it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

Answer = TypeVar("Answer")
Call = Callable[[], Coroutine[Any, Any, Answer]]
# Calls that are begun at once.
AT_ONCE = 16
# An API server that is there answers within milliseconds, and an admission webhook within a second.
PATIENCE_S = 1.0


class UnderWay:
    """Makes calls, and keeps those that nobody waits for any more until they are over."""

    def __init__(self, *, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._tasks: set[asyncio.Task[Any]] = set()
        """Kept here, since asyncio itself keeps no task alive."""

    async def make(self, calls: Iterable[Call[Answer]]) -> list[Answer]:
        """Make the calls, AT_ONCE of them at a time; return what those return that aren't late.

        Late calls go on. Those that had no turn because of them aren't made. Raise what a call raises.
        """
        turns, begun = asyncio.Semaphore(AT_ONCE), set[asyncio.Task[Any] | None]()

        async def take_turn(call: Call[Answer]) -> Answer:
            async with turns:
                begun.add(asyncio.current_task())
                return await call()

        tasks = [self._keep(asyncio.create_task(take_turn(call))) for call in calls]
        pending = set(tasks)
        try:
            while pending:
                done, pending = await asyncio.wait(pending, timeout=self._patience_s)
                if not done:
                    break
        except BaseException:
            _cancel(pending)
            raise
        _cancel(pending - begun)
        return [task.result() for task in tasks if task not in pending]

    def _keep(self, task: asyncio.Task[Answer]) -> asyncio.Task[Answer]:
        self._tasks.add(task)
        task.add_done_callback(self._end)
        return task

    def _end(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # asyncio logs those that nobody asks for, such as that a term is over


def _cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
