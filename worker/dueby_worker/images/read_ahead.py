"""The source's images, in order, decoded ahead by a bounded number of threads.

At most `ahead` images are in work or waiting at any time, so memory doesn't grow with N. Reading and decoding are kept
apart: a remote store needs many requests in flight to be fast, but no more than `threads` images are decoded at a
time, which is what the plan counted on. Both let go of the interpreter's lock.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from dueby_api.inference_job import Source
from dueby_worker.images.decode import MAX_PIXELS, UnreadableImage, decode_image
from dueby_worker.images.geometry import Pixels
from dueby_worker.images.synthetic import SyntheticImages
from dueby_worker.models.preprocessing import Preprocessing
from dueby_worker.images.fetch import Fetcher
from dueby_worker.storage.retry import PATIENT, Patience
from dueby_worker.storage.store import Unavailable

# Requests to a store in flight. At 30 ms each, as between regions, 16 are 500 images a second.
READERS = 16


@dataclass(frozen=True, slots=True)
class Decoded:
    """An image, or why there is none: exactly one of pixels and error."""

    index: int
    uri: str
    pixels: Pixels | None
    """uint8 RGB (side, side, 3); may be a read-only view that the next image shares, so copy it at once."""
    error: str | None


def read_images(
    items: Iterable[tuple[int, str]],
    *,
    source: Source,
    preprocessing: Preprocessing,
    threads: int,
    ahead: int,
    max_pixels: int = MAX_PIXELS,
    witnesses: Sequence[str] = (),
    patience: Patience = PATIENT,
) -> Generator[Decoded, None, None]:
    """Every image of `items` (index, uri), in their order; Transient when a store stays away.

    A generator: its threads end when it is exhausted or closed.
    """
    if source.synthetic is not None:
        made = SyntheticImages.of(source, preprocessing)
        return (Decoded(index, uri, made.pixels(index), None) for index, uri in items)
    fetcher = Fetcher(witnesses=witnesses, patience=patience)
    reader = _Reader(fetcher=fetcher, preprocessing=preprocessing, threads=threads, max_pixels=max_pixels)
    return _in_order(reader, items, workers=min(threads + READERS, ahead), ahead=ahead)


class _Reader:
    """What one thread does for one image."""

    def __init__(self, *, fetcher: Fetcher, preprocessing: Preprocessing, threads: int, max_pixels: int) -> None:
        self.fetcher = fetcher
        self._preprocessing = preprocessing
        self._max_pixels = max_pixels
        self._decoding = threading.Semaphore(threads)

    def read(self, index: int, uri: str) -> Decoded:
        try:
            data = self.fetcher.read(uri)
            with self._decoding:
                return Decoded(index, uri, decode_image(data, self._preprocessing, max_pixels=self._max_pixels), None)
        except UnreadableImage as error:
            return Decoded(index, uri, None, str(error))
        except Unavailable as error:
            return Decoded(index, uri, None, f"It can't be read: {error}.")


def _in_order(
    reader: _Reader, items: Iterable[tuple[int, str]], *, workers: int, ahead: int
) -> Generator[Decoded, None, None]:
    waiting: deque[Future[Decoded]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="images")
    try:
        for index, uri in items:
            waiting.append(pool.submit(reader.read, index, uri))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        reader.fetcher.cancel()
        pool.shutdown(wait=True, cancel_futures=True)
