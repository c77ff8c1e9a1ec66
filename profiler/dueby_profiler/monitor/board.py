"""A page of memory on which a measuring process says what it is doing, for the monitor to read whenever it likes.

Only the process itself knows the moment at which its warm-up ends, and only it sees torch's allocator. Sending either
over the talk would have to wait for the profiler's ear; a thread of the monitor's in the process would take the
interpreter from the very loop that is measured. Writing a number into shared memory takes 0.1 µs, and whoever reads it
disturbs nobody. The allocator is read between two steps, not oftener than the monitor looks. The page has no file:
storing it would make writers wait for the disk, and there is nothing to remove when everyone is gone.

A writer makes the first word odd while it writes more than one; a reader that saw it odd, or changed, looks again.
"""

import mmap
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

_SEQUENCE, _PHASE, _SIZE, _NTH, _STEPS, _BEGAN, _READ, _VALUES = range(8)
_BYTES = 2048  # of the page; there are some 130 statistics
# Statistics that this torch doesn't have, and no reading so far.
MISSING = -1
# As often as the monitor looks at most.
READ_EVERY_US = 250_000
# A process that is killed while it writes leaves the first word odd for ever.
_TRIES = 100


class Phase(IntEnum):
    """What a measuring process does."""

    STARTING = 0
    """Imports, weights."""
    BUILDING = 1
    """The engine of a size."""
    READY = 2
    """Built, and nothing has run."""
    WARMUP = 3
    """The first mini-batch at a size."""
    CHECKING = 4
    """Comparing its result with plain fp32."""
    STEADY = 5
    """Mini-batches one after the other."""
    WAITING = 6
    """For what the profiler wants next."""
    CONTENDING = 7
    """Decoding, the model, and both."""


@dataclass(frozen=True, kw_only=True)
class Notice:
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
    """The allocator's, MISSING where there is none."""


class Teller(Protocol):
    """A measuring process's side."""

    def enter(self, phase: Phase, size: int) -> None:
        """From now on, this is being done."""

    def step(self, done: int, now_us: int) -> None:
        """So many steady mini-batches are done."""

    def read(self) -> None:
        """Read the allocator, if there is one."""


class Silent:
    """Where nobody watches."""

    def enter(self, phase: Phase, size: int) -> None:
        """As Teller says."""

    def step(self, done: int, now_us: int) -> None:
        """As Teller says."""

    def read(self) -> None:
        """As Teller says."""


class Board:
    """The page, from either side."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._page = mmap.mmap(descriptor, _BYTES)
        self._words = memoryview(self._page).cast("q")

    @classmethod
    def new(cls) -> "Board":
        """An empty page, whose descriptor another process may inherit."""
        descriptor = os.memfd_create("dueby-monitor")
        os.ftruncate(descriptor, _BYTES)
        return cls(descriptor)

    def close(self) -> None:
        """Let go of it."""
        self._words.release()
        self._page.close()
        os.close(self.descriptor)

    def look(self) -> Notice | None:
        """What it says; None where a process died over writing it."""
        for _ in range(_TRIES):
            words = self._words.tolist()
            if words[_SEQUENCE] % 2 == 0 and words[_SEQUENCE] == self._words[_SEQUENCE]:
                return Notice(
                    phase=Phase(words[_PHASE]),
                    size=words[_SIZE],
                    nth_size=words[_NTH],
                    steps=words[_STEPS],
                    began_us=words[_BEGAN],
                    read_us=words[_READ] or None,
                    statistics=tuple(words[_VALUES:]),
                )
        return None


class Writer:
    """What a measuring process writes on its page."""

    def __init__(
        self,
        board: Board,
        *,
        now_us: Callable[[], int],
        read_statistics: Callable[[], Sequence[int] | None],
        every_us: int = READ_EVERY_US,
    ) -> None:
        """`read_statistics` is asked between two steps, at most every `every_us`; None from it: nothing to read."""
        self._words, self._now_us, self._every_us, self._read = board._words, now_us, every_us, read_statistics
        self._due_us = 0
        self._nth = 0
        self._has_any = False

    def enter(self, phase: Phase, size: int) -> None:
        """As Teller says."""
        words = self._words
        self._nth += phase is Phase.BUILDING
        words[_SEQUENCE] += 1
        words[_PHASE], words[_SIZE], words[_NTH], words[_STEPS], words[_BEGAN] = (
            phase,
            size,
            self._nth,
            0,
            self._now_us(),
        )
        words[_SEQUENCE] += 1

    def step(self, done: int, now_us: int) -> None:
        """As Teller says."""
        self._words[_STEPS] = done
        if self._has_any and now_us >= self._due_us:
            self.read()

    def read(self) -> None:
        """As Teller says."""
        found, words = self._read(), self._words
        self._has_any = found is not None
        if found is None:
            return
        words[_SEQUENCE] += 1
        for place, value in enumerate(found, start=_VALUES):
            words[place] = value
        words[_READ] = self._now_us()
        words[_SEQUENCE] += 1
        self._due_us = words[_READ] + self._every_us
