"""Fill mini-batches ahead of the model, in buffers that are used again and again.

    free ──▶ filling ──▶ ready ──▶ model ──▶ free

One thread says which image goes where; tasks of the reader write them there, several images each, in threads of their
own. The one that fills the last slot of the oldest mini-batch makes it ready. There are as many buffers as can be in
the model, in filling and ready at the same time, so memory depends on the mini-batch size and never on N. Nobody polls:
images wait for a free buffer, and the model for a mini-batch.
"""

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from math import ceil
from queue import SimpleQueue
from typing import Any, Protocol

from dueby_worker.models.preprocessing import Pixels
from dueby_worker.output.parts import OpenPart
from dueby_worker.work.order import Item, Stretch


class Remarks(Protocol):
    """What there is to say of an image beside its pixels."""

    @property
    def error(self) -> str | None: ...
    @property
    def warning(self) -> str | None: ...


class ImageReader(Protocol):
    """Reads images into slots, in tasks of several images. What they come to is `Remarks` of some, by their places."""

    @property
    def task_images(self) -> int: ...
    def find(self, items: Iterable[tuple[int, str]], /) -> Iterator[list[Any]]: ...
    def read(self, images: list[Any], slots: Pixels, /) -> Future[Mapping[int, Any]]: ...
    def finish(self) -> None: ...
    def cancel(self) -> None: ...
    def close(self) -> None: ...


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
    tasks: int = 1
    """Tasks that its images still wait for, and one more while there may be other images."""

    def add(self, item: Item) -> None:
        """Give the next image its slot."""
        if not self.pieces or self.pieces[-1].part is not item.part:
            self.pieces.append(Piece(part=item.part, slot=self.images))
        self.pieces[-1].positions.append(item.position)
        self.images += 1

    def note(self, slot: int, remarks: Remarks) -> None:
        piece = next(piece for piece in reversed(self.pieces) if piece.slot <= slot)
        position = piece.positions[slot - piece.slot]
        if remarks.error is not None:
            piece.errors[position] = remarks.error
        if remarks.warning is not None:
            piece.warnings[position] = remarks.warning


def count_buffers(*, depth: int, ahead: int, mini_batch_size: int) -> int:
    """Return how many buffers a feed needs whose reader has `ahead` images in work or waiting.

    Beside the mini-batches in the model, one is ready while others are being filled.
    """
    return depth + 1 + max(2, ceil(ahead / mini_batch_size))


class Drained:
    """Comes after the mini-batches of a stretch: nothing follows until all of them are finished."""


class Feed:
    """Hands out mini-batches in order. A failure in filling is raised where mini-batches are taken."""

    def __init__(self) -> None:
        # None in a queue says that there is no more.
        self._free: SimpleQueue[Pixels | None] = SimpleQueue()
        self._ready: SimpleQueue[MiniBatch | Drained | BaseException | None] = SimpleQueue()
        # What comes before it is not ready yet. Tasks of several threads end at the same time.
        self._filling: deque[MiniBatch | Drained | None] = deque()
        self._lock = threading.Lock()

    def supply(self, buffers: Iterable[Pixels]) -> None:
        """Add buffers to fill. Before there are any, images are found, and files read ahead."""
        for buffer in buffers:
            self._free.put(buffer)

    def start(self, stretches: Iterable[Stretch], reader: ImageReader) -> None:
        """Start to read and fill, in a thread, which closes the reader."""
        self._reader = reader

        def fill() -> None:
            try:
                with closing(reader):
                    for stretch in stretches:
                        if not self._fill(stretch, reader):
                            return
                        self._append(Drained())
                    reader.finish()
                self._append(None)
            except BaseException as error:
                self.fail(error)

        threading.Thread(target=fill, name="feed", daemon=True).start()

    def stop(self) -> None:
        """Stop filling, and drop what is being read ahead."""
        self._free.put(None)

    def end(self) -> None:
        """End the mini-batches with those that are ready: whatever is still being filled is wanted by nobody."""
        self._ready.put(Drained())
        self._ready.put(None)
        self.stop()
        # The thread that fills may be waiting for its tasks, and these for a store that is asked slowly.
        self._reader.cancel()

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

    def _fill(self, stretch: Stretch, reader: ImageReader) -> bool:
        """Fill mini-batches with one stretch. Return False if the feed was stopped."""
        # The reader takes items ahead; here they meet their items again.
        announced: deque[Item] = deque()

        def announce() -> Iterator[tuple[int, str]]:
            for item in stretch:
                announced.append(item)
                yield item.index, item.uri

        batch: MiniBatch | None = None
        for images in reader.find(announce()):
            begun = 0
            while begun < len(images):
                if batch is None:
                    buffer = self._free.get()
                    if buffer is None:
                        return False
                    batch = MiniBatch(pixels=buffer)
                    self._append(batch)
                end = min(len(images), begun + reader.task_images, begun + len(batch.pixels) - batch.images)
                self._read(batch, images[begun:end], announced, reader)
                begun = end
                if batch.images == len(batch.pixels):
                    self._end_task(batch)
                    batch = None
        if batch is not None:
            self._end_task(batch)
        return True

    def _read(self, batch: MiniBatch, images: list[Any], announced: deque[Item], reader: ImageReader) -> None:
        """Have the images read into the next slots of the mini-batch."""
        first = batch.images
        for _ in images:
            batch.add(announced.popleft())
        with self._lock:
            batch.tasks += 1
        task = reader.read(images, batch.pixels[first : batch.images])
        task.add_done_callback(partial(self._note, batch, first))

    def _note(self, batch: MiniBatch, first: int, task: Future[Mapping[int, Remarks]]) -> None:
        """Note what a task came to, whose images begin at this slot."""
        if task.cancelled():
            return
        if (failure := task.exception()) is not None:
            self.fail(failure)
            self.stop()
            return
        for place, remarks in task.result().items():
            if remarks.error is not None or remarks.warning is not None:
                batch.note(first + place, remarks)
        self._end_task(batch)

    def _append(self, what: MiniBatch | Drained | None) -> None:
        with self._lock:
            self._filling.append(what)
            self._hand_out()

    def _end_task(self, batch: MiniBatch) -> None:
        with self._lock:
            batch.tasks -= 1
            self._hand_out()

    def _hand_out(self) -> None:
        """Make ready what is, in order."""
        while self._filling and not (isinstance(first := self._filling[0], MiniBatch) and first.tasks):
            self._ready.put(self._filling.popleft())
