"""A page of shared memory on which a measuring process reports what it is doing, for the monitor to read at any time.

Only the process itself knows the moment at which its warm-up ends, and only it sees torch's allocator. Sending either
as a message would have to wait until the profiler reads; a thread of the monitor inside the process would take the
interpreter away from the very loop that is measured. Writing a number into shared memory takes 0.1 µs, and reading it
disturbs nobody. The allocator is read between two steps, and no more often than the monitor takes samples. The page
has no file: writers would have to wait for the disk, and somebody would have to delete it.

A writer makes the first word odd while it writes more than one word; a reader that finds it odd, or changed, tries
again.
"""

import mmap
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from dueby_profiler.monitor.schedule import MIN_PERIOD_S

_SEQUENCE, _PHASE, _SIZE, _NTH, _STEPS, _BEGAN, _READ, _VALUES = range(8)
# Of the page: seven words, and some 130 statistics of the allocator.
_BYTES = 2048
# Stands for a statistic that this torch doesn't have, and for all of them before the first reading.
MISSING = -1
# As often as the monitor takes samples at most.
READ_EVERY_US = round(1e6 * MIN_PERIOD_S)
# A process that is killed while it writes leaves the first word odd for ever.
_TRIES = 100


class Phase(IntEnum):
    """What a measuring process is doing."""

    STARTING = 0
    """Importing, loading weights."""
    BUILDING = 1
    """Building the engine of a size."""
    READY = 2
    """The engine is built, and nothing has run yet."""
    WARMUP = 3
    """The first mini-batch at a size."""
    CHECKING = 4
    """Comparing its result with plain fp32."""
    STEADY = 5
    """Mini-batches one after the other."""
    WAITING = 6
    """Waiting for the profiler's next message."""
    CONTENDING = 7
    """Decoding, running the model, and both."""


@dataclass(frozen=True, kw_only=True)
class ProcessStatus:
    """What the page says."""

    phase: Phase
    size: int
    nth_size: int
    steps: int
    began_us: int
    """When the phase began."""
    read_us: int | None
    """When the allocator was read; None: never."""
    statistics: tuple[int, ...]
    """The allocator's statistics, MISSING where there is none."""


class StatusReporter(Protocol):
    """How a measuring process reports what it is doing."""

    def enter(self, phase: Phase, size: int) -> None:
        """Report that this phase begins."""

    def step(self, done: int, now_us: int) -> None:
        """Report that so many steady mini-batches are done."""

    def read_allocator(self) -> None:
        """Read torch's allocator, if this process uses one, and report its statistics."""


class NoReporter:
    """The reporter of a process that nobody watches: it does nothing."""

    def enter(self, phase: Phase, size: int) -> None:
        """Do nothing."""

    def step(self, done: int, now_us: int) -> None:
        """Do nothing."""

    def read_allocator(self) -> None:
        """Do nothing."""


class StatusPage:
    """The page, from either side."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._page = mmap.mmap(descriptor, _BYTES)
        self.words = memoryview(self._page).cast("q")
        """The page's 64-bit words; only StatusWriter writes them."""

    @classmethod
    def new(cls) -> "StatusPage":
        """Return an empty page, whose file descriptor another process may inherit."""
        descriptor = os.memfd_create("dueby-monitor")
        os.ftruncate(descriptor, _BYTES)
        return cls(descriptor)

    def close(self) -> None:
        self.words.release()
        self._page.close()
        os.close(self.descriptor)

    def read(self) -> ProcessStatus | None:
        """Return what the page says; None if a process died while it was writing."""
        for _ in range(_TRIES):
            words = self.words.tolist()
            if words[_SEQUENCE] % 2 == 0 and words[_SEQUENCE] == self.words[_SEQUENCE]:
                return ProcessStatus(
                    phase=Phase(words[_PHASE]),
                    size=words[_SIZE],
                    nth_size=words[_NTH],
                    steps=words[_STEPS],
                    began_us=words[_BEGAN],
                    read_us=words[_READ] or None,
                    statistics=tuple(words[_VALUES:]),
                )
        return None


class StatusWriter:
    """Reports on a page."""

    def __init__(
        self,
        page: StatusPage,
        *,
        now_us: Callable[[], int],
        read_statistics: Callable[[], Sequence[int] | None],
        every_us: int = READ_EVERY_US,
    ) -> None:
        """`read_statistics` is called between two steps, at most every `every_us`; it returns None without a GPU."""
        self._words, self._now_us, self._every_us = page.words, now_us, every_us
        self._read_statistics = read_statistics
        self._due_us = 0
        self._nth = 0
        self._has_allocator = False

    def enter(self, phase: Phase, size: int) -> None:
        """Report that this phase begins."""
        words = self._words
        self._nth += phase is Phase.BUILDING
        words[_SEQUENCE] += 1
        words[_PHASE], words[_SIZE], words[_NTH] = phase, size, self._nth
        words[_STEPS], words[_BEGAN] = 0, self._now_us()
        words[_SEQUENCE] += 1

    def step(self, done: int, now_us: int) -> None:
        """Report that so many steady mini-batches are done; read the allocator if it is time to."""
        # A single word is written at once, so it needs no sequence number.
        self._words[_STEPS] = done
        if self._has_allocator and now_us >= self._due_us:
            self.read_allocator()

    def read_allocator(self) -> None:
        """Read torch's allocator, if this process uses one, and report its statistics."""
        statistics, words = self._read_statistics(), self._words
        self._has_allocator = statistics is not None
        if statistics is None:
            return
        words[_SEQUENCE] += 1
        for place, value in enumerate(statistics, start=_VALUES):
            words[place] = value
        words[_READ] = self._now_us()
        words[_SEQUENCE] += 1
        self._due_us = words[_READ] + self._every_us
