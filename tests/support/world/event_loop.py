"""asyncio in virtual time: each callback of a loop is an event of the world.

A loop belongs to a process. Of one that is killed nothing runs any more: no `finally`, no `except`, as if the machine
had lost its power. What is handed to a thread is done at once, and its result comes a little later.
"""

import asyncio
from asyncio import events
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

from support.world.scheduler import Process, World

# How long what is handed to a thread takes, in seconds: a decision.
THREAD_S = 0.02


class EventLoop(asyncio.AbstractEventLoop):
    """The loop of one process."""

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self._process = process
        self.tasks: set[asyncio.Task[Any]] = set()
        """Kept until the end, so that nobody unwinds what was killed."""

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._world.now_us / 1e6

    def get_debug(self) -> bool:
        """Return that nothing is looked at more closely."""
        return False

    def is_running(self) -> bool:
        """Return that it runs."""
        return True

    def is_closed(self) -> bool:
        """Return that it is open."""
        return False

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Call it as the next event."""
        handle = asyncio.Handle(callback, args, self, context)
        self._world.at(0, lambda: self._run(handle), self._process)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call it after so many seconds."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call it at this time of the loop."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._world.at(when - self.time(), lambda: self._run(handle), self._process)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        pass

    def _run(self, handle: asyncio.Handle) -> None:
        if handle.cancelled():
            return
        events._set_running_loop(self)
        try:
            handle._run()
        finally:
            events._set_running_loop(None)

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        """Start the coroutine."""
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def run_in_executor(  # type: ignore[override]
        self, executor: object, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Do it now; its result comes later."""
        future = self.create_future()
        try:
            result = func(*args)
        except Exception as error:
            self.call_later(THREAD_S, _unless_done, future, future.set_exception, error)
        else:
            self.call_later(THREAD_S, _unless_done, future, future.set_result, result)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Tell of an error that nobody has caught."""
        if not self._world.is_over:
            self._world.tell(f"{self._process.name}: {context.get('message')}: {context.get('exception')!r}")

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Tell of it likewise."""
        self.call_exception_handler(context)


def _unless_done(future: asyncio.Future[Any], end: Callable[[Any], None], value: Any) -> None:
    if not future.done():
        end(value)
