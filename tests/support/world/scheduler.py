"""Virtual time, and everything that happens in it: one heap of events, one at a time, in an order that a seed decides.

A process of the simulated machines is a name that events and threads belong to. Killing it drops them; pausing it puts
them off. A simulated thread is a real one that holds the baton: exactly one of them, or the scheduler, runs at a time,
so the worker's own threads run as they are, and the same seed gives the same run.
"""

import heapq
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

START_US = 1_800_000_000_000_000
"""When every world begins, in microseconds since 1970."""


class Gone(BaseException):
    """The process of this thread is dead, or the world is over: unwind without doing anything more."""


@dataclass(eq=False)
class Process:
    """Something that can be killed and paused as a whole."""

    name: str
    is_dead: bool = False
    paused_until_us: int = 0
    attributes: dict[str, Any] = field(default_factory=dict)
    """What stand-ins keep for a process, such as what it leaves as its last words."""


@dataclass(eq=False)
class Timer:
    """An event to come; it can be cancelled."""

    call: Callable[[], None] | None
    process: Process | None

    def cancel(self) -> None:
        """See that it doesn't happen."""
        self.call = None


def held_lock() -> threading.Lock:
    """Return a lock that somebody holds: who takes it waits until it is released."""
    lock = threading.Lock()
    lock.acquire()
    return lock


class SimulatedThread:
    """A thread that runs only while it holds the baton."""

    def __init__(self, world: "World", process: Process, run: Callable[[], None], *, name: str) -> None:
        self.world = world
        self.process = process
        self.name = name
        self.is_over = False
        self.ends: list[Callable[[], None]] = []
        """Called when it is over."""
        self._run = run
        self._turn = 0
        self._baton = held_lock()
        self._thread = threading.Thread(target=self._body, name=name, daemon=True)

    @property
    def has_begun(self) -> bool:
        """Whether it has run."""
        return self._thread.ident is not None

    def resume(self) -> None:
        """Hand the baton over, and take it back once the thread waits for something or is over."""
        if self.is_over:
            return
        before, self.world.thread = self.world.thread, self
        if not self.has_begun:
            self._thread.start()
        else:
            self._baton.release()
        self.world.baton.acquire()
        self.world.thread = before

    def waker(self) -> Callable[[], None]:
        """Return what ends the next `park`, and does nothing once that is over."""
        turn = self._turn

        def wake() -> None:
            if self._turn == turn:
                self.resume()

        return wake

    def park(self) -> None:
        """Give the baton back until the waker is called; for the thread itself."""
        self._require_alive()
        self.world.baton.release()
        self._baton.acquire()
        self._turn += 1
        self._require_alive()

    def _require_alive(self) -> None:
        if self.process.is_dead or self.world.is_over:
            raise Gone

    def _body(self) -> None:
        try:
            self._require_alive()
            self._run()
        except Gone:
            pass
        finally:
            self.is_over = True
            if not self.process.is_dead and not self.world.is_over:
                for end in self.ends:
                    end()
            self.world.baton.release()


class World:
    """One run: its time, its chance, its events, and what was seen of it."""

    current: "World"
    """The world that runs: the simulated standard library belongs to it."""

    def __init__(self, seed: int, *, is_verbose: bool = False, keep: int = 400) -> None:
        self.seed = seed
        self.now_us = START_US
        self.chance = random.Random(seed)
        self.noise = random.Random(seed + 1)
        """What the programs themselves draw, so that the faults are the same whatever they draw."""
        self.thread: SimulatedThread | None = None
        self.process: Process | None = None
        """Whose event runs, if no thread does."""
        self.baton = held_lock()
        self.is_over = False
        self.is_verbose = is_verbose
        self.events = 0
        self.digest = sha256()
        """Of everything that was told: two runs of one seed have the same."""
        self.story: list[str] = []
        self._keep = keep
        self._heap: list[tuple[int, int, Timer]] = []
        self._number = 0
        self._threads: list[SimulatedThread] = []
        World.current = self

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return (self.now_us - START_US) / 1e6

    def at(self, delay_s: float, call: Callable[[], None], process: Process | None = None) -> Timer:
        """Have this happen after so long, unless the process is dead by then."""
        timer = Timer(call, process)
        self._push(self.now_us + max(0, round(delay_s * 1e6)), timer)
        return timer

    def _push(self, at_us: int, timer: Timer) -> None:
        self._number += 1
        heapq.heappush(self._heap, (at_us, self._number, timer))

    def tell(self, sentence: str) -> None:
        """Note something that happened."""
        if self.is_over:
            return
        line = f"{self.seconds:9.3f}  {sentence}"
        self.digest.update(line.encode())
        if self.is_verbose:
            print(line, flush=True)
        self.story.append(line)
        if len(self.story) > 2 * self._keep:
            del self.story[: -self._keep]

    def spawn(self, process: Process, run: Callable[[], None], *, name: str = "main") -> SimulatedThread:
        """Start a thread of the process as soon as possible."""
        thread = SimulatedThread(self, process, run, name=f"{process.name}/{name}")
        self._threads.append(thread)
        self.at(0, thread.resume, process)
        return thread

    def my_thread(self) -> SimulatedThread:
        """Return the simulated thread that runs now."""
        if self.thread is None:
            raise RuntimeError("only a simulated thread can wait")
        return self.thread

    def my_process(self) -> Process | None:
        """Return the process that runs now."""
        return self.thread.process if self.thread is not None else self.process

    def sleep(self, seconds: float) -> None:
        """Put the running thread to sleep."""
        thread = self.my_thread()
        self.at(seconds, thread.waker(), thread.process)
        thread.park()

    def run(self, *, until: Callable[[], bool], limit_s: float) -> bool:
        """Let events happen until `until` says so. Return False if the time was over before."""
        end_us = START_US + round(limit_s * 1e6)
        while self._heap:
            at_us, number, timer = heapq.heappop(self._heap)
            if timer.call is None:
                continue
            if at_us > end_us:
                self._push(at_us, timer)
                return False
            process = timer.process
            if process is not None and process.is_dead:
                continue
            if process is not None and process.paused_until_us > at_us:
                heapq.heappush(self._heap, (process.paused_until_us, number, timer))
                continue
            self.now_us = at_us
            self.events += 1
            self.process = process
            call, timer.call = timer.call, None
            call()
            self.process = None
            if until():
                return True
        return False

    def end(self) -> None:
        """End the world: all threads unwind."""
        self.is_over = True
        for thread in self._threads:
            if not thread.is_over and thread.has_begun:  # one that never ran needs no end
                thread.resume()
        self._heap.clear()
