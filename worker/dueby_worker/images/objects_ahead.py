"""Read the files of images that are objects of their own, ahead of who decodes them.

A remote store is fast only with many requests in flight, the more the farther it is (in_flight.py). So its objects are
asked for ahead, in threads that do nothing else, and as many are in flight or wait for a decoder as may be in flight.
A file of this machine is read by whoever decodes it, several in a row: another thread would cost more than it takes.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from dueby_worker.images.fetch import Fetcher, GetImage
from dueby_worker.images.in_flight import MOST_IN_FLIGHT, RequestsInFlight
from dueby_worker.images.room import SMALL_FILE_BYTES
from dueby_worker.images.runs import Taken
from dueby_worker.storage.paced import is_local


class ObjectsAhead:
    """Reads objects, ahead of who takes them."""

    def __init__(
        self, fetcher: Fetcher, in_flight: RequestsInFlight, *, wanted: int, local_images: Callable[[], int]
    ) -> None:
        """Take how many objects decoders may have to wait for, or to decode, and what says how many files in a row."""
        self._fetcher = fetcher
        self._in_flight = in_flight
        self._wanted = wanted
        self._may_wait = threading.Semaphore(wanted)
        self._local_images = local_images
        # A thread starts when there is work for it.
        self._pool = ThreadPoolExecutor(MOST_IN_FLIGHT, thread_name_prefix="images-objects")

    def read(self, items: Iterable[tuple[int, str]], *, most: int) -> Iterator[list[Taken]]:
        """Yield the items (index, URI) in lists, each with the function that gets its bytes, ahead as latency says."""
        ahead: deque[Taken] = deque()
        local: list[Taken] = []
        for index, uri in items:
            get = partial(self._fetcher.read, uri)
            if not is_local(uri):
                if local:
                    yield local
                    local = []
                data = self._pool.submit(get, max_bytes=SMALL_FILE_BYTES)
                ahead.append((index, uri, partial(self._take, data, get)))
                yield from self._handed_out(ahead, but=max(0, self._in_flight.limit - self._wanted))
                continue
            yield from self._handed_out(ahead)
            local.append((index, uri, get))
            if len(local) >= self._local_images():
                yield local
                local = []
        if local:
            yield local
        yield from self._handed_out(ahead)

    def _handed_out(self, ahead: deque[Taken], *, but: int = 0) -> Iterator[list[Taken]]:
        """Yield all but the last ones, each when a decoder may have it."""
        while len(ahead) > but:
            self._may_wait.acquire()
            yield [ahead.popleft()]

    def note_begun(self, images: Sequence[Taken]) -> None:
        """Note that a decoder has these images, which were handed out together, or that it never will."""
        if not is_local(images[0][1]):
            self._may_wait.release()

    def close(self) -> None:
        """Ask for no more. The fetcher's waits must have been cancelled."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _take(self, data: Future[bytes], get: GetImage, *, max_bytes: int) -> bytes:
        """Wait for the file. One that was too large to be read ahead is read now."""
        if max_bytes > SMALL_FILE_BYTES:
            return get(max_bytes=max_bytes)
        was_waited_for = not data.done()
        try:
            file = data.result()
            self._in_flight.note_file(len(file))
            return file
        finally:
            self._in_flight.note_taken(was_waited_for=was_waited_for)
