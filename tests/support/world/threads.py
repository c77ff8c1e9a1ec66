"""What DueBy takes from `threading` and `time`, on simulated threads and in virtual time.

`queue` and `concurrent.futures` are the standard library's own code on top of these (library.py).
"""

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from support.world.scheduler import SimulatedThread, World


class Lock:
    """A lock whose waiters get it in the order in which they came."""

    def __init__(self) -> None:
        self._is_held = False
        self._waiting: deque[tuple[SimulatedThread, Callable[[], None]]] = deque()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it; wait if it is held. Outside of threads nothing is held across events, so there it is free."""
        if not self._is_held:
            self._is_held = True
            return True
        if not blocking:
            return False
        if timeout >= 0:
            raise NotImplementedError("a lock with a time limit")
        world = World.current
        thread = world.my_thread()
        self._waiting.append((thread, thread.waker()))
        thread.park()  # whoever releases it hands it over
        return True

    def release(self) -> None:
        """Hand it to the next one."""
        while self._waiting:
            thread, wake = self._waiting.popleft()
            if not thread.process.is_dead:
                thread.world.at(0, wake, thread.process)
                return
        self._is_held = False

    def locked(self) -> bool:
        """Return whether somebody holds it."""
        return self._is_held

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


class Condition:
    """A condition variable."""

    def __init__(self, lock: Lock | None = None) -> None:
        self._lock = lock or Lock()
        self._waiting: deque[tuple[SimulatedThread, Callable[[], None], list[bool]]] = deque()
        self.acquire, self.release = self._lock.acquire, self._lock.release

    def __enter__(self) -> Self:
        self._lock.acquire()
        return self

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until somebody notifies. Return False if the time was over before."""
        world = World.current
        thread = world.my_thread()
        notified = [False]
        waiter = (thread, thread.waker(), notified)
        self._waiting.append(waiter)
        timer = None if timeout is None else world.at(timeout, waiter[1], thread.process)
        self._lock.release()
        thread.park()
        if timer is not None:
            timer.cancel()
        if not notified[0]:
            self._waiting.remove(waiter)
        self._lock.acquire()
        return notified[0]

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        """Wait until it holds. Return what it is then, or when the time is over."""
        end_us = None if timeout is None else World.current.now_us + round(timeout * 1e6)
        while not (result := predicate()):
            left_s = None if end_us is None else (end_us - World.current.now_us) / 1e6
            if left_s is not None and left_s <= 0:
                return result
            self.wait(left_s)
        return result

    def notify(self, n: int = 1) -> None:
        """Wake so many."""
        while self._waiting and n:
            thread, wake, notified = self._waiting.popleft()
            notified[0] = True
            thread.world.at(0, wake, thread.process)
            n -= 1

    def notify_all(self) -> None:
        """Wake all."""
        self.notify(len(self._waiting))


class Event:
    """A flag to wait for."""

    def __init__(self) -> None:
        self._condition = Condition()
        self._is_set = False

    def is_set(self) -> bool:
        """Return whether it is set."""
        return self._is_set

    def set(self) -> None:
        """Set it."""
        self._is_set = True
        self._condition.notify_all()

    def clear(self) -> None:
        """Take it back."""
        self._is_set = False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set. Return whether it is."""
        with self._condition:
            self._condition.wait_for(lambda: self._is_set, timeout)
        return self._is_set


class Semaphore:
    """A number of permits."""

    def __init__(self, value: int = 1) -> None:
        self._value = value
        self._condition = Condition()

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Take one; wait for it if there is none."""
        if not self._value and blocking and timeout != 0:
            with self._condition:
                self._condition.wait_for(lambda: self._value, timeout)
        if not self._value:
            return False
        self._value -= 1
        return True

    def release(self, n: int = 1) -> None:
        """Give some back."""
        self._value += n
        self._condition.notify(n)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


class Thread:
    """A simulated thread with the interface of a real one."""

    def __init__(
        self,
        group: None = None,
        target: Callable[..., object] | None = None,
        name: str | None = None,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        daemon: bool | None = None,
    ) -> None:
        self.name = name or "thread"
        self.daemon = daemon
        self._call = target or (lambda *a, **k: None)
        self._args, self._kwargs = args, kwargs or {}
        self._thread: SimulatedThread | None = None
        self._over = Event()

    def start(self) -> None:
        """Start it."""
        world = World.current
        process = world.my_process()
        if process is None:
            raise RuntimeError("a thread belongs to a process")
        self._thread = world.spawn(process, self._run, name=self.name)
        self._thread.ends.append(self._over.set)

    def _run(self) -> None:
        self._call(*self._args, **self._kwargs)

    def join(self, timeout: float | None = None) -> None:
        """Wait until it is over."""
        self._over.wait(timeout)

    def is_alive(self) -> bool:
        """Return whether it has started and is not over."""
        return self._thread is not None and not self._over.is_set()


class ProgramChance(random.Random):
    """What a program draws without a seed of its own: decided by the world's seed."""

    def random(self) -> float:
        """Return a number from 0 to 1."""
        return World.current.noise.random()

    def getrandbits(self, k: int, /) -> int:
        """Return so many bits."""
        return World.current.noise.getrandbits(k)


def random_of(seed: Any = None) -> random.Random:
    """Return what `random.Random(seed)` is to be."""
    return ProgramChance() if seed is None else random.Random(seed)


def now_ns() -> int:
    """Return the virtual time in nanoseconds since 1970."""
    return World.current.now_us * 1000


def now_s() -> float:
    """Return the virtual time in seconds since 1970."""
    return World.current.now_us / 1e6


def sleep(seconds: float) -> None:
    """Sleep in virtual time."""
    World.current.sleep(seconds)


THREADING: Mapping[str, object] = {
    "Lock": Lock,
    "RLock": Lock,
    "Condition": Condition,
    "Event": Event,
    "Semaphore": Semaphore,
    "BoundedSemaphore": Semaphore,
    "Thread": Thread,
    "_register_atexit": lambda call: None,
    "get_ident": lambda: id(World.current.thread),
    "local": threading.local,
}
_CLOCKS_S = ("time", "monotonic", "perf_counter")
TIME: Mapping[str, object] = {
    **{name: getattr(time, name) for name in ("strftime", "gmtime", "localtime", "mktime", "struct_time")},
    **dict.fromkeys(_CLOCKS_S, now_s),
    **{f"{name}_ns": now_ns for name in _CLOCKS_S},
    # Programs cost nothing here.
    **dict.fromkeys(("process_time", "thread_time"), lambda: 0.0),
    **dict.fromkeys(("process_time_ns", "thread_time_ns"), lambda: 0),
    "CLOCK_BOOTTIME": 7,
    "clock_gettime": lambda clock: now_s(),
    "sleep": sleep,
}
