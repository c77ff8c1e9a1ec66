"""Fill mini-batches ahead of the model, in buffers that are used again and again.

    free ──▶ filling ──▶ ready ──▶ model ──▶ free

One thread fills; images are read and decoded further ahead in threads of their own. There are as many buffers as can be
in the model, in filling and ready at the same time, so memory depends on the mini-batch size and never on N. The filler
waits for a free buffer and the model for a ready one; neither polls.
"""

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Protocol

from dueby_worker.models.preprocessing import Pixels
from dueby_worker.output.parts import OpenPart
from dueby_worker.work.order import Item, Stretch


class PixelsOrError(Protocol):
    """What reading an image gives: exactly one of pixels and error is set."""

    @property
    def pixels(self) -> Pixels | None: ...
    @property
    def error(self) -> str | None: ...
    @property
    def warning(self) -> str | None: ...


# Reads and decodes the images of a stretch ahead, and yields them in their order.
Read = Callable[[Iterator[tuple[int, str]]], Generator[PixelsOrError, None, None]]


@dataclass(kw_only=True)
class Piece:
    """The images of one part within a mini-batch."""

    part: OpenPart
    slot: int
    """Index of the first one in the mini-batch. The others follow it."""
    positions: list[int] = field(default_factory=list)
    """Their positions in the part."""
    errors: dict[int, str] = field(default_factory=dict)
    """Why an image could not be read, by its position. Its pixels in the mini-batch are meaningless."""
    warnings: dict[int, str] = field(default_factory=dict)
    """What is wrong with the file of an image that was read, by its position."""


@dataclass(kw_only=True)
class MiniBatch:
    """A full buffer, or the last one of a stretch, whose end keeps whatever pixels were in it."""

    pixels: Pixels
    pieces: list[Piece] = field(default_factory=list)
    images: int = 0

    def add(self, item: Item, read: PixelsOrError) -> None:
        """Add the next image."""
        if not self.pieces or self.pieces[-1].part is not item.part:
            self.pieces.append(Piece(part=item.part, slot=self.images))
        piece = self.pieces[-1]
        piece.positions.append(item.position)
        if read.pixels is None:
            piece.errors[item.position] = read.error or ""
        else:
            self.pixels[self.images] = read.pixels
        if read.warning is not None:
            piece.warnings[item.position] = read.warning
        self.images += 1


class Drained:
    """Comes after the mini-batches of a stretch: nothing follows until all of them are finished."""


class Feed:
    """Hands out mini-batches in order. A failure in filling is raised where mini-batches are taken."""

    def __init__(self) -> None:
        # None in a queue says that there is no more.
        self._free: SimpleQueue[Pixels | None] = SimpleQueue()
        self._ready: SimpleQueue[MiniBatch | Drained | BaseException | None] = SimpleQueue()

    def supply(self, buffers: Iterable[Pixels]) -> None:
        """Add buffers to fill. Images are read ahead before there are any, while the engine is still being built."""
        for buffer in buffers:
            self._free.put(buffer)

    def start(self, stretches: Iterable[Stretch], read: Read) -> None:
        """Start to read and fill, in a thread."""

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
        """Stop filling, and drop what is being read ahead."""
        self._free.put(None)

    def fail(self, error: BaseException) -> None:
        """Raise this error where mini-batches are taken."""
        self._ready.put(error)

    def give_back(self, batch: MiniBatch) -> None:
        """Return the mini-batch's buffer, with which the model is done."""
        self._free.put(batch.pixels)

    def __iter__(self) -> Iterator[MiniBatch | Drained]:
        while (ready := self._ready.get()) is not None:
            if isinstance(ready, BaseException):
                raise ready
            yield ready

    def _fill(self, stretch: Stretch, read: Read) -> bool:
        """Fill mini-batches with one stretch. Return False if the feed was stopped."""
        # The reader takes items ahead and returns pixels only; here they meet their items again.
        announced: SimpleQueue[Item] = SimpleQueue()

        def announce() -> Iterator[tuple[int, str]]:
            for item in stretch:
                announced.put(item)
                yield item.index, item.uri

        batch: MiniBatch | None = None
        with closing(read(announce())) as images:
            for image in images:
                if batch is None:
                    buffer = self._free.get()
                    if buffer is None:
                        return False
                    batch = MiniBatch(pixels=buffer)
                batch.add(announced.get(), image)
                if batch.images == len(batch.pixels):
                    self._ready.put(batch)
                    batch = None
        if batch is not None:
            self._ready.put(batch)
        return True
