"""Read and decode the source's images ahead of the model, in order, with a bounded number of threads.

At most `ahead` images are in work or waiting, so memory does not grow with N; room.py bounds what their files take.
Reading and decoding have limits of their own: a remote store is fast only with many requests in flight, the more the
farther it is (in_flight.py), but no more than `threads` images are decoded at the same time, because the plan counted
on that many cores. Both release the interpreter's lock. Where a device decodes lists of images (listed.py), they wait
for it without a thread each.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from dueby_api.source import Source
from dueby_api.step_config import MAX_PIXELS
from dueby_worker.images.decode import decode_image
from dueby_worker.images.fetch import MAX_IMAGE_BYTES, MOST_READERS, READERS, Fetcher, GetImage
from dueby_worker.images.in_flight import MOST_IN_FLIGHT, RequestsInFlight
from dueby_worker.images.isolation import IsolatedDecoder
from dueby_worker.images.picture import Picture
from dueby_worker.images.room import SMALL_FILE_BYTES, MemoryRoom
from dueby_worker.images.synthetic import SyntheticImages
from dueby_worker.images.unreadable import BeyondLimit, UnreadableImage
from dueby_worker.images.within import PlaceOf, reader_of
from dueby_worker.models.preprocessing import Pixels, Preprocessing
from dueby_worker.storage.paced import Paces
from dueby_worker.storage.retry import DEFAULT_RETRY, RetryPolicy
from dueby_worker.storage.store import TooLarge, Unavailable

# Decodes an image or begins to, and returns what waits for the picture. Both may raise UnreadableImage.
Begin = Callable[[bytes], Callable[[], Picture]]


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """An image, or the reason why there is none: exactly one of pixels and error is set."""

    index: int
    uri: str
    pixels: Pixels | None
    """uint8 RGB (side, side, 3). It may be a read-only view that the next image reuses, so copy it at once."""
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


def read_images(
    items: Iterable[tuple[int, str]],
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
) -> Generator[DecodedImage, None, None]:
    """Yield every image of `items` (index, URI) in order. Raise Transient if a store stays away.

    There are `ahead` images in work or waiting, and more only where latency makes it worth while. `paces` knows how
    fast stores may be asked. `member_of` says where images in tars, Parquet files or Lance datasets are, by their
    index; it is None for images that are objects of their own.

    The threads and children of this generator end when it is exhausted or closed. There are children if `is_isolated`:
    an image may then kill its decoder. What is given to `begin` to decode takes the place of both, and is not ended.
    """
    if source.synthetic is not None:
        # Making one costs microseconds, so it needs no threads.
        synthetic = SyntheticImages.of(source, preprocessing)
        return (DecodedImage(index, uri, synthetic.pixels(index), None) for index, uri in items)
    paces = paces or Paces()
    fetcher = Fetcher(witnesses=witnesses, retry=retry, field=source.images_field, paces=paces)
    close = _keep_open
    if begin is None:
        decode, close = _decoder(source, preprocessing, max_pixels, processes=threads if is_isolated else 0)
        begin = begin_here(decode, threads=threads)
    within = None if member_of is None else reader_of(fetcher, member_of, source=source, threads=READERS)
    if within is not None:
        wanted, in_flight = within.read(items, most=ahead), None
    else:
        least = min(threads + _readers(threads), ahead)
        in_flight = RequestsInFlight(least=least, image_bytes=3 * preprocessing.crop_side**2)
        paces.listen(in_flight.note_answer)
        wanted = _single(items, fetcher)

    def end_reading() -> None:
        # Without this, closing would wait for threads that are between two attempts at a store that is away.
        fetcher.cancel()
        if within is not None:
            within.close()

    return _in_order(
        _Reader(begin, in_flight),
        wanted,
        workers=min(threads + _readers(threads), ahead) if in_flight is None else MOST_IN_FLIGHT,
        ahead=ahead,
        in_flight=in_flight,
        end_reading=end_reading,
        close=close,
    )


def _single(items: Iterable[tuple[int, str]], fetcher: Fetcher) -> Iterator[tuple[int, str, GetImage]]:
    """Yield each item with the function that reads it: each image is an object."""
    for index, uri in items:
        yield index, uri, partial(fetcher.read, uri)


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


def _keep_open() -> None:
    """Leave what decodes to whoever has given it."""


def begin_here(decode: Callable[[bytes], Picture], *, threads: int) -> Begin:
    """Return what decodes in the calling thread, of which so many do so at the same time."""
    decoding = threading.Semaphore(threads)

    def begin(data: bytes) -> Callable[[], Picture]:
        with decoding:
            picture = decode(data)
        return lambda: picture

    return begin


class _Reader:
    """Reads images, and begins to decode them."""

    def __init__(self, begin: Begin, in_flight: RequestsInFlight | None) -> None:
        self._begin = begin
        self._in_flight = in_flight
        self._room = MemoryRoom()

    def read(self, get: GetImage) -> Callable[[], Picture]:
        """Read one image in the calling thread, and return what waits for its picture. Raise as both do."""
        if self._in_flight is None:
            return self._read(get)
        with self._in_flight.slot():
            return self._read(get)

    def _read(self, get: GetImage) -> Callable[[], Picture]:
        try:
            data = get(max_bytes=SMALL_FILE_BYTES)
            if self._in_flight is not None:
                self._in_flight.note_file(len(data))
            return self._begin(data)
        except TooLarge as large:
            size = min(large.size or MAX_IMAGE_BYTES, MAX_IMAGE_BYTES)
        with self._room.hold(size):
            # The room is taken until the file is decoded.
            picture = self._begin(get(max_bytes=MAX_IMAGE_BYTES))()
        return lambda: picture


@dataclass(frozen=True, slots=True)
class _Awaited:
    """An image that is being read."""

    index: int
    uri: str
    reading: Future[Callable[[], Picture]]

    def image(self) -> DecodedImage:
        """Wait for the image, and return it or why there is none."""
        try:
            picture = self.reading.result()()
        except UnreadableImage as error:
            return DecodedImage(self.index, self.uri, None, str(error))
        except Unavailable as error:
            return DecodedImage(self.index, self.uri, None, f"It can't be read: {error}.")
        return DecodedImage(self.index, self.uri, picture.pixels, None, picture.warning)


def _in_order(
    reader: _Reader,
    wanted: Iterable[tuple[int, str, GetImage]],
    *,
    workers: int,
    ahead: int,
    in_flight: RequestsInFlight | None,
    end_reading: Callable[[], None],
    close: Callable[[], None],
) -> Generator[DecodedImage, None, None]:
    waiting: deque[_Awaited] = deque()
    # A thread starts when there is work for it.
    pool = ThreadPoolExecutor(workers, thread_name_prefix="images")

    def take() -> DecodedImage:
        first = waiting.popleft()
        if in_flight is not None:
            in_flight.note_taken(was_waited_for=not first.reading.done())
        return first.image()

    try:
        for index, uri, get in wanted:
            waiting.append(_Awaited(index, uri, pool.submit(reader.read, get)))
            # Those that came with more requests in flight may wait, too.
            while len(waiting) >= ahead + (2 * (in_flight.limit - in_flight.least) if in_flight is not None else 0):
                yield take()
        while waiting:
            yield take()
    finally:
        end_reading()
        pool.shutdown(wait=True, cancel_futures=True)
        close()


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
