"""Read and decode the source's images ahead of the model, in order, with a bounded number of threads.

At most `ahead` images are in work or waiting, so memory does not grow with N; room.py bounds what their files take.
Reading and decoding have limits of their
own: a remote store is fast only with many requests in flight, but no more than `threads` images are decoded at the same
time, because the plan counted on that many cores. Both release the interpreter's lock.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from dueby_api.inference_job import Source
from dueby_api.step_config import MAX_PIXELS
from dueby_worker.images.decode import Picture, decode_image
from dueby_worker.images.fetch import MAX_IMAGE_BYTES, Fetcher
from dueby_worker.images.isolation import IsolatedDecoder
from dueby_worker.images.room import SMALL_FILE_BYTES, Room
from dueby_worker.images.synthetic import SyntheticImages
from dueby_worker.images.unreadable import UnreadableImage
from dueby_worker.models.preprocessing import Pixels, Preprocessing
from dueby_worker.storage.retry import DEFAULT_RETRY, RetryPolicy
from dueby_worker.storage.store import TooLarge, Unavailable

# Requests to a store in flight. At 30 ms each, as between regions, 16 requests give 500 images a second.
READERS = 16


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
) -> Generator[DecodedImage, None, None]:
    """Yield every image of `items` (index, URI) in order. Raise Transient if a store stays away.

    The threads and children of this generator end when it is exhausted or closed. There are children if `is_isolated`:
    an image may then kill its decoder.
    """
    if source.synthetic is not None:
        # Making one costs microseconds, so it needs no threads.
        made = SyntheticImages.of(source, preprocessing)
        return (DecodedImage(index, uri, made.pixels(index), None) for index, uri in items)
    fetcher = Fetcher(witnesses=witnesses, retry=retry)
    decode, close = _decoder(preprocessing, max_pixels, processes=threads if is_isolated else 0)
    reader = _Reader(fetcher=fetcher, decode=decode, close=close, threads=threads)
    return _in_order(reader, items, workers=min(threads + READERS, ahead), ahead=ahead)


def _decoder(
    preprocessing: Preprocessing, max_pixels: int, *, processes: int
) -> tuple[Callable[[bytes], Picture], Callable[[], None]]:
    """Return what decodes an image, in one of these processes or in this one if there are none, and what ends them."""
    if not processes:
        return partial(decode_image, preprocessing=preprocessing, max_pixels=max_pixels), lambda: None
    decoder = IsolatedDecoder(preprocessing=preprocessing, max_pixels=max_pixels, processes=processes)
    return lambda data: decoder.decode(data).picture, decoder.close


class _Reader:
    """Reads and decodes one image in the calling thread."""

    def __init__(
        self, *, fetcher: Fetcher, decode: Callable[[bytes], Picture], close: Callable[[], None], threads: int
    ) -> None:
        self.fetcher = fetcher
        self.close = close
        self._decode = decode
        self._decoding = threading.Semaphore(threads)
        self._room = Room()

    def read(self, index: int, uri: str) -> DecodedImage:
        try:
            picture = self._picture(uri)
            return DecodedImage(index, uri, picture.pixels, None, picture.warning)
        except UnreadableImage as error:
            return DecodedImage(index, uri, None, str(error))
        except Unavailable as error:
            return DecodedImage(index, uri, None, f"It can't be read: {error}.")

    def _picture(self, uri: str) -> Picture:
        try:
            return self._decoded(self.fetcher.read(uri, max_bytes=SMALL_FILE_BYTES))
        except TooLarge as large:
            size = min(large.size or MAX_IMAGE_BYTES, MAX_IMAGE_BYTES)
        with self._room.hold(size):
            return self._decoded(self.fetcher.read(uri))

    def _decoded(self, data: bytes) -> Picture:
        with self._decoding:
            return self._decode(data)


def _in_order(
    reader: _Reader, items: Iterable[tuple[int, str]], *, workers: int, ahead: int
) -> Generator[DecodedImage, None, None]:
    waiting: deque[Future[DecodedImage]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="images")
    try:
        for index, uri in items:
            waiting.append(pool.submit(reader.read, index, uri))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # Without this, closing would wait for threads that are between two attempts at a store that is away.
        reader.fetcher.cancel()
        pool.shutdown(wait=True, cancel_futures=True)
        reader.close()
