"""Mini-batches, filled ahead of the model in buffers that go round.

    free ──▶ filling ──▶ ready ──▶ model ──▶ free

One thread fills; reading and decoding run further ahead in threads of their own. There are as many buffers as there
may be mini-batches in the model, being filled and ready, so memory depends on the mini-batch size and never on N. The
filler waits for a free buffer and the model for a ready one; nobody polls.
"""

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Protocol

from dueby_worker.engines.interface import Pixels
from dueby_worker.output.parts import OpenPart
from dueby_worker.work.order import Item, Stretch


class Decoded(Protocol):
    """An image as the reader gives it: exactly one of pixels and error."""

    @property
    def pixels(self) -> Pixels | None: ...
    @property
    def error(self) -> str | None: ...


# The images of a stretch in their order, read and decoded ahead.
Read = Callable[[Iterator[tuple[int, str]]], Generator[Decoded, None, None]]


@dataclass(kw_only=True)
class Piece:
    """The images of one part within a mini-batch."""

    part: OpenPart
    slot: int
    """Place of the first one in the mini-batch; the others follow it."""
    positions: list[int] = field(default_factory=list)
    """Their positions in the part."""
    errors: dict[int, str] = field(default_factory=dict)
    """By position; in the mini-batch there is anything in their place."""


@dataclass(kw_only=True)
class MiniBatch:
    """A full buffer, or the last of a stretch, padded with whatever was in it."""

    pixels: Pixels
    pieces: list[Piece] = field(default_factory=list)
    images: int = 0

    def add(self, item: Item, decoded: Decoded) -> None:
        """The next image."""
        if not self.pieces or self.pieces[-1].part is not item.part:
            self.pieces.append(Piece(part=item.part, slot=self.images))
        piece = self.pieces[-1]
        piece.positions.append(item.position)
        if decoded.pixels is None:
            piece.errors[item.position] = decoded.error or ""
        else:
            self.pixels[self.images] = decoded.pixels
        self.images += 1


class Drained:
    """Comes after each stretch: nothing follows until all that was handed out is finished."""


class Feed:
    """Hands out mini-batches in order; what fails in the filling is raised where they are taken."""

    def __init__(self) -> None:
        self._free: SimpleQueue[Pixels | None] = SimpleQueue()
        self._ready: SimpleQueue[MiniBatch | Drained | BaseException | None] = SimpleQueue()

    def supply(self, buffers: Iterable[Pixels]) -> None:
        """Buffers to fill. Reading ahead begins without them, while the engine is still being made."""
        for buffer in buffers:
            self._free.put(buffer)

    def start(self, stretches: Iterable[Stretch], read: Read) -> None:
        """Read and fill from now on, in a thread."""

        def fill() -> None:
            try:
                for stretch in stretches:
                    if not self._fill(stretch, read):
                        return
                    self._ready.put(Drained())
                self._ready.put(None)
            except BaseException as error:
                self._ready.put(error)

        threading.Thread(target=fill, name="feed", daemon=True).start()

    def stop(self) -> None:
        """Fill no more; what is being read ahead is given up."""
        self._free.put(None)

    def fail(self, error: BaseException) -> None:
        """Raise this where mini-batches are taken."""
        self._ready.put(error)

    def give_back(self, batch: MiniBatch) -> None:
        """The model is done with the mini-batch's buffer."""
        self._free.put(batch.pixels)

    def __iter__(self) -> Iterator[MiniBatch | Drained]:
        while (ready := self._ready.get()) is not None:
            if isinstance(ready, BaseException):
                raise ready
            yield ready

    def _fill(self, stretch: Stretch, read: Read) -> bool:
        """One stretch into mini-batches; False when there shall be no more."""
        announced: SimpleQueue[Item] = SimpleQueue()

        def announce() -> Iterator[tuple[int, str]]:
            for item in stretch:
                announced.put(item)
                yield item.index, item.uri

        batch: MiniBatch | None = None
        with closing(read(announce())) as images:
            for decoded in images:
                if batch is None:
                    buffer = self._free.get()
                    if buffer is None:
                        return False
                    batch = MiniBatch(pixels=buffer)
                batch.add(announced.get(), decoded)
                if batch.images == len(batch.pixels):
                    self._ready.put(batch)
                    batch = None
        if batch is not None:
            self._ready.put(batch)
        return True
