"""Objects that hold many images each: which ones a URI names, and listing what is in each of them, side by side."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path
from typing import TypeVar

from dueby_worker.images.fetch import READERS
from dueby_worker.index.braces import expand
from dueby_worker.index.chunks import Row
from dueby_worker.index.globs import select
from dueby_worker.storage.store import ObjectVersion, Store, Unavailable
from dueby_worker.storage.uris import below, is_glob

# With 10,000 images in each, which is usual, ten billion images.
MAX_OBJECTS = 1_000_000

Answer = TypeVar("Answer")
# Writes what is in an object to a file, and returns the file. The event says that nobody waits for it any more.
ListOne = Callable[[str, Path, threading.Event], Path]
# Yields what is in the file, and deletes it.
ReadBack = Callable[[Path], Iterator[Row]]


def find_objects(store: Store, path: str, *, kind: str, require: Callable[[str], None]) -> Iterator[str]:
    """Yield the paths of the objects that the path means, which may have braces and be a glob. Raise ValueError.

    `require` raises it for a name that is none of this kind.
    """
    # A name comes before a pattern, because it may contain a {.
    if not is_glob(path) or store.exists(path):
        yield path
        return
    names = expand(path)
    if names.count > MAX_OBJECTS:
        raise ValueError(f"means {names.count:,} {kind}, more than {MAX_OBJECTS:,}; is a brace wrong?")
    for name in names:
        require(name)
        if not is_glob(name):
            yield name
            continue
        wanted = select(name)
        for match in sorted(path for path in store.walk(wanted.folder) if path in wanted):
            yield below(wanted.folder, match)


def list_each(objects: Iterable[str], list_one: ListOne, read_back: ReadBack, *, scratch: Path) -> Iterator[Row]:
    """Yield what is in the objects, in their order. They are listed side by side, since that is one request or more.

    What was found in one is kept in a file until its turn comes, so memory depends on no number of images.
    """
    stop = threading.Event()
    listed: deque[Future[Path]] = deque()
    pool = ThreadPoolExecutor(READERS, thread_name_prefix="objects")
    try:
        for number, name in zip(count(), objects):
            listed.append(pool.submit(list_one, name, scratch / f"object-{number}", stop))
            if len(listed) >= READERS:
                yield from read_back(listed.popleft().result())
        while listed:
            yield from read_back(listed.popleft().result())
    finally:
        # A limit on the images can end the listing before the last object.
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


class ListedObject:
    """An object that is being listed: its version and its bytes, until nobody waits for them any more."""

    def __init__(self, store: Store, path: str, stop: threading.Event) -> None:
        self._store = store
        self._path = path
        self._stop = stop

    def version(self) -> ObjectVersion:
        """Return what is known of its content. Raise Unavailable if it can't be read."""
        return self._ask(partial(self._store.version_once, self._path))

    def read(self, offset: int, length: int) -> bytes:
        """Return these bytes, all of them. Raise Unavailable if they can't be read, or if nobody waits for them."""
        if self._stop.is_set():
            raise Unavailable("nobody waits for it any more")
        return self._ask(partial(self._store.read_block_once, self._path, offset, length))

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        return self._store.retry.call(question, what=self._store.uri, cancelled=self._stop)
