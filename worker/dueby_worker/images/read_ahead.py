"""Read and decode the source's images ahead of the model, in order, with a bounded number of threads.

    items ──▶ reader of files: lists of what gets bytes ──▶ a task for a few images: bytes, decoder ──▶ their slots

A task has several images, whose squares are written where the model takes them from, and it is handed over once: what
surrounds the decoding of an image holds the interpreter's lock, of which a process has but one. An image that takes
long to come, or to decode, has a task for itself.

At most `ahead` images are in work or waiting, so memory does not grow with N; room.py bounds what their files take.
Reading and decoding have limits of their own: a remote store is fast only with many requests in flight
(objects_ahead.py), but no more than `threads` images are decoded at the same time, because the plan counted on that
many cores. Both release the interpreter's lock.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np

from dueby_api.source import Source
from dueby_api.step_config import MAX_PIXELS
from dueby_worker.images.decode import decode_image
from dueby_worker.images.fetch import MAX_IMAGE_BYTES, MOST_READERS, READERS, Fetcher, GetImage
from dueby_worker.images.in_flight import MOST_IN_FLIGHT, RequestsInFlight
from dueby_worker.images.isolation import IsolatedDecoder
from dueby_worker.images.objects_ahead import ObjectsAhead
from dueby_worker.images.picture import WHOLE, ImageOutcome, Picture, place_picture
from dueby_worker.images.room import SMALL_FILE_BYTES, MemoryRoom
from dueby_worker.images.runs import Taken
from dueby_worker.images.synthetic import SyntheticImages
from dueby_worker.images.unreadable import BeyondLimit, UnreadableImage
from dueby_worker.images.within import PlaceOf, reader_of
from dueby_worker.models.preprocessing import Pixels, Preprocessing
from dueby_worker.storage.paced import Paces
from dueby_worker.storage.retry import DEFAULT_RETRY, RetryPolicy
from dueby_worker.storage.store import TooLarge, Unavailable

# Decodes files into the slots beside them, or begins to, and returns what waits for it and says what became of each.
Begin = Callable[[Sequence[bytes], Sequence[Pixels]], Callable[[], Sequence[ImageOutcome]]]
# A task has so many images at most, and fewer if their files have more bytes together, or take longer to be read.
TASK_IMAGES, TASK_BYTES, TASK_S = 16, 1024**2, 2e-3
# How much the latest task counts in what is expected of the next one.
_NEWEST = 0.2


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """An image, or the reason why there is none: exactly one of pixels and error is set."""

    index: int
    uri: str
    pixels: Pixels | None
    """uint8 RGB (side, side, 3), in an array with others: who keeps it copies it."""
    error: str | None
    warning: str | None = None
    """What is wrong with an image's file although it has every pixel."""


def most_ahead(*, threads: int, mini_batch_size: int) -> int:
    """Return how many images a worker with so many threads for decoding has in work or waiting.

    They are enough for a mini-batch, and for every thread that reads or decodes to have work and a result waiting.
    """
    return max(mini_batch_size, 2 * (threads + _readers(threads)))


def _readers(threads: int) -> int:
    """Return how many requests are in flight beside so many threads that decode."""
    return min(MOST_READERS, READERS * threads)


def open_reader(
    *,
    source: Source,
    preprocessing: Preprocessing,
    threads: int,
    ahead: int,
    max_pixels: int = MAX_PIXELS,
    witnesses: Sequence[str] = (),
    retry: RetryPolicy = DEFAULT_RETRY,
    is_isolated: bool = False,
    begin: Begin | None = None,
    member_of: PlaceOf | None = None,
    paces: Paces | None = None,
) -> ImageTasks | SyntheticImages:
    """Return what reads the source's images, with up to `ahead` of them in work.

    Its tasks raise Transient if a store stays away. `paces` knows how fast stores may be asked. `member_of` says where
    images in tars, Parquet files or Lance datasets are, by their index; it is None for images that are objects of their
    own. Images are decoded in children if `is_isolated`: one may then kill its decoder. What is given to `begin` to
    decode takes the place of both, and is not ended.
    """
    if source.synthetic is not None:
        return SyntheticImages.of(source, preprocessing)
    paces = paces or Paces()
    fetcher = Fetcher(witnesses=witnesses, retry=retry, field=source.images_field, paces=paces)
    workers = threads + _readers(threads)
    in_work = 2 * max(workers, threads * TASK_IMAGES)
    end_decoder: Callable[[], None] = _nothing
    if begin is not None and source.decoder == "gpu":
        # What waits for a device needs no core, and there are lists of them.
        workers, in_work = MOST_IN_FLIGHT, max(ahead, in_work)
    if begin is None:
        decode, end_decoder = _decoder(source, preprocessing, max_pixels, processes=threads if is_isolated else 0)
        begin = begin_here(decode, threads=threads)
    size = _TaskSize(most=max(1, ahead // (2 * threads)))
    files: _FileReader
    note_begun: Callable[[Sequence[Taken]], None] = _nothing
    if member_of is not None:
        files = reader_of(fetcher, member_of, source=source, threads=READERS)
    else:
        least = min(threads + _readers(threads), ahead)
        in_flight = RequestsInFlight(least=least, image_bytes=3 * preprocessing.crop_side**2)
        paces.listen(in_flight.note_answer)
        files = objects = ObjectsAhead(fetcher, in_flight, wanted=2 * threads, local_images=lambda: size.images)
        note_begun = objects.note_begun
    return ImageTasks(
        fetcher,
        files,
        begin,
        end_decoder,
        size,
        workers=min(workers, ahead),
        ahead=ahead,
        in_work=in_work,
        note_begun=note_begun,
    )


def read_images(
    items: Iterable[tuple[int, str]], *, preprocessing: Preprocessing, ahead: int, **how: Any
) -> Generator[DecodedImage, None, None]:
    """Yield every image of `items` (index, URI) in order. `how` is open_reader's; raise what its tasks raise.

    There are `ahead` images in work or waiting. The threads and children of this generator end when it is exhausted or
    closed.
    """
    reader, side = open_reader(preprocessing=preprocessing, ahead=ahead, **how), preprocessing.crop_side

    def images() -> Generator[DecodedImage, None, None]:
        waiting, held = deque[_ReadBlock](), 0
        with closing(reader):
            for found in reader.find(items):
                while found:
                    block = _ReadBlock(found[: min(ahead, reader.task_images)], reader, side)
                    found = found[len(block.images) :]
                    waiting.append(block)
                    held += len(block.images)
                    while waiting and held > ahead - reader.task_images:
                        held -= len(waiting[0].images)
                        yield from waiting.popleft().decoded()
            for block in waiting:
                yield from block.decoded()

    return images()


class _ReadBlock:
    """Images that are being read into an array of their own."""

    def __init__(self, images: Sequence[Taken], reader: ImageTasks | SyntheticImages, side: int) -> None:
        self.images = images
        self._slots = np.empty((len(images), side, side, 3), np.uint8)
        self._task = reader.read(images, self._slots)

    def decoded(self) -> Iterator[DecodedImage]:
        """Wait for the images, and yield each."""
        outcomes = self._task.result()
        for place, (index, uri, _) in enumerate(self.images):
            outcome = outcomes.get(place, WHOLE)
            pixels = self._slots[place] if outcome.error is None else None
            yield DecodedImage(index, uri, pixels, outcome.error, outcome.warning)


def _decoder(
    source: Source, preprocessing: Preprocessing, max_pixels: int, *, processes: int
) -> tuple[Callable[[bytes], Picture], Callable[[], None]]:
    """Return what decodes an image, in one of these processes or in this one if there are none, and what ends them."""
    is_tolerant, preprocessing = source.decode == "tolerant", preprocessing.in_color(source.color)
    isolated = partial(IsolatedDecoder, preprocessing=preprocessing, max_pixels=max_pixels, is_tolerant=is_tolerant)
    if processes:
        decoder = isolated(processes=processes)
        return lambda data: decoder.decode(data).picture, decoder.close
    decode = partial(decode_image, preprocessing=preprocessing, max_pixels=max_pixels)
    if not is_tolerant:
        return decode, lambda: None
    tolerant = TolerantDecoder(decode, partial(isolated, processes=1))
    return tolerant.decode, tolerant.close


def _nothing(*_: object) -> None:
    """Do nothing: what decodes is left to whoever has given it, and only objects count what decoders have."""


def begin_here(decode: Callable[[bytes], Picture], *, threads: int) -> Begin:
    """Return what decodes in the calling thread, of which so many do so at the same time."""
    decoding = threading.Semaphore(threads)

    def begin(files: Sequence[bytes], slots: Sequence[Pixels]) -> Callable[[], Sequence[ImageOutcome]]:
        with decoding:
            outcomes = [place_picture(slot, partial(decode, data)) for data, slot in zip(files, slots, strict=True)]
        return lambda: outcomes

    return begin


class _FileReader(Protocol):
    """Reads files ahead of who takes them."""

    def read(self, items: Iterable[tuple[int, str]], *, most: int) -> Iterator[list[Taken]]: ...
    def close(self) -> None: ...


class _TaskSize:
    """How many images a task should have, by the latest ones. It is a guess: threads note theirs at the same time."""

    def __init__(self, *, most: int) -> None:
        self._most = min(most, TASK_IMAGES)
        self._fitting = 1.0

    @property
    def images(self) -> int:
        """How many images the next task should have."""
        return max(1, min(self._most, int(self._fitting)))

    def note(self, *, images: int, size: int, took_s: float) -> None:
        """Note how many bytes the files of a task had, and how long it took to read them."""
        fitting = min(images * min(TASK_BYTES / max(size, 1), TASK_S / max(took_s, 1e-9)), 2 * TASK_IMAGES)
        self._fitting += _NEWEST * (fitting - self._fitting)


class ImageTasks:
    """Reads files, and decodes them into slots. All but `close` is for one thread."""

    def __init__(
        self,
        fetcher: Fetcher,
        files: _FileReader,
        begin: Begin,
        end_decoder: Callable[[], None],
        size: _TaskSize,
        *,
        workers: int,
        ahead: int,
        in_work: int,
        note_begun: Callable[[Sequence[Taken]], None],
    ) -> None:
        self._fetcher = fetcher
        self._files = files
        self._begin = begin
        self._end_decoder = end_decoder
        self._size = size
        self._ahead = ahead
        self._free = in_work
        self._note_begun = note_begun
        self._changed = threading.Condition()
        self._room = MemoryRoom()
        # A thread starts when there is work for it.
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="images")

    @property
    def task_images(self) -> int:
        """How many images the next task should have at most."""
        return self._size.images

    def find(self, items: Iterable[tuple[int, str]]) -> Iterator[list[Taken]]:
        """Yield the items (index, URI) in order, in lists, with what gets their bytes; begin to read some ahead.

        The images of a list are to be given to `read` before the next list is asked for.
        """
        return self._files.read(items, most=self._ahead)

    def read(self, images: Sequence[Taken], slots: Pixels) -> Future[Mapping[int, ImageOutcome]]:
        """Begin to read the images into slots (images, side, side, 3); return the task.

        It says what became of each, by its place. What is no image's fault is the task's exception. This blocks while
        there are too many in work.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._free > 0)
            self._free -= len(images)
        return self._pool.submit(self._read, images, slots)

    def finish(self) -> None:
        """Return when all tasks are done. None may be begun any more."""
        self._pool.shutdown(wait=True)

    def cancel(self) -> None:
        """Wait for no store any more: tasks that would have to raise Transient."""
        self._fetcher.cancel()

    def close(self) -> None:
        """Drop what is not read yet, and end all threads and children."""
        # Without this, closing would wait for threads that are between two attempts at a store that is away.
        self.cancel()
        self._files.close()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._end_decoder()

    def _read(self, images: Sequence[Taken], slots: Pixels) -> Mapping[int, ImageOutcome]:
        try:
            return self._read_task(images, slots)
        finally:
            with self._changed:
                self._free += len(images)
                self._changed.notify()

    def _read_task(self, images: Sequence[Taken], slots: Pixels) -> Mapping[int, ImageOutcome]:
        outcomes: dict[int, ImageOutcome] = {}
        try:
            decoded = self._decode(self._get(images, slots, outcomes), slots)
        finally:
            self._note_begun(images)
        return outcomes | dict(decoded())

    def _decode(self, files: Mapping[int, bytes], slots: Pixels) -> Callable[[], Iterable[tuple[int, ImageOutcome]]]:
        """Begin to decode files into the slots of these places, and return what waits for what becomes of them."""
        decoded = self._begin(list(files.values()), [slots[place] for place in files])
        return lambda: zip(files, decoded(), strict=True)

    def _get(self, images: Sequence[Taken], slots: Pixels, outcomes: dict[int, ImageOutcome]) -> Mapping[int, bytes]:
        """Return the files by their places. Add what became of images that have none, or that are done already."""
        files: dict[int, bytes] = {}
        size, began_s = 0, time.perf_counter()
        for place, (_, _, get) in enumerate(images):
            if size > SMALL_FILE_BYTES:
                # They are larger than those of the tasks before, and would fill the memory.
                outcomes |= self._decode(files, slots)()
                files, size, began_s = {}, 0, time.perf_counter()
            try:
                files[place] = get(max_bytes=SMALL_FILE_BYTES)
                size += len(files[place])
            except TooLarge as large:
                outcomes[place] = self._read_large(get, slots[place], large.size)
            except Unavailable as error:
                outcomes[place] = _unavailable(error)
        if files:
            self._size.note(images=len(files), size=size, took_s=time.perf_counter() - began_s)
        return files

    def _read_large(self, get: GetImage, slot: Pixels, size: int | None) -> ImageOutcome:
        """Read and decode an image whose file needs room for itself, which is taken until it is decoded."""
        try:
            with self._room.hold(min(size or MAX_IMAGE_BYTES, MAX_IMAGE_BYTES)):
                return self._begin([get(max_bytes=MAX_IMAGE_BYTES)], [slot])()[0]
        except Unavailable as error:
            return _unavailable(error)


def _unavailable(error: Unavailable) -> ImageOutcome:
    return ImageOutcome(error=f"It can't be read: {error}.")


class TolerantDecoder:
    """Decodes strictly, and what that refuses in one child, tolerantly. Thread-safe.

    Pillow knows tolerance only for a whole process. In a worker, whose threads decode at the same time, it would fill
    up what is to be refused first. So damaged files go to a child, which is started for the first of them.
    """

    def __init__(self, decode: Callable[[bytes], Picture], start: Callable[[], IsolatedDecoder]) -> None:
        self._decode = decode
        self._start = start
        self._starting = threading.Lock()
        self._child: IsolatedDecoder | None = None

    def decode(self, data: bytes) -> Picture:
        """Return the image, with a warning if it is damaged. Raise UnreadableImage if it is none, or too large."""
        try:
            return self._decode(data)
        except BeyondLimit:
            raise
        except UnreadableImage:
            with self._starting:
                child = self._child = self._child or self._start()
            return child.decode_alone(data).picture

    def close(self) -> None:
        """End the child, if there is one."""
        if self._child is not None:
            self._child.close()
