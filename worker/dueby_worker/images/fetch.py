"""Read single images of a source, and tell an image's fault from its store's.

"Not found" can mean that one photo was deleted. It can also mean that the disk was unmounted, the bucket deleted or
the key revoked; then a million rows would be recorded as failed although the images are back tomorrow. So a failure
counts as the image's own only if a *witness* can be read: one of a few images that were read when the source was
indexed. (The index step itself has no witnesses yet. It takes each failure at its word, unless it can read no image at
all.) If no witness can be read, the store is away and is asked again, with back-off and a warning. Witnesses of images
in tars are the tars.

Conversely, a photo on a bad sector may never be readable, however long one waits. If its store has answered for another
image each time that it failed, several times in a row, the photo is given up and the failure becomes its error. Once
would not do: a store that is too busy answers every now and then. If each attempt takes so long that there is no time
for several, the witness alone is asked at the end, twice as often, and must have been there each time before; then the
photo is asked for once more.

A store that wants fewer requests a second gets fewer (paced.py), and no image is given up for that.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from dueby_api.errors import Invalid, Transient
from dueby_api.words import counted
from dueby_worker.storage.paced import Paces
from dueby_worker.storage.retry import DEFAULT_RETRY, RetryPolicy, Throttled
from dueby_worker.storage.store import Store, TooLarge, Unavailable
from dueby_worker.storage.stores import open_store
from dueby_worker.storage.uris import split

# Requests to a store in flight to begin with, for each thread that decodes and in all: at 30 ms, as between regions, 32
# give 1,060 images a second, which is more than a thread decodes. Where that is too few, in_flight.py has more.
READERS, MOST_READERS = 32, 64
# How long an image may fail as if its store were away before a witness is read to find out, and how many times in a row
# the witness must be there while the image is not.
GIVE_UP_AFTER_S, GIVE_UP_AFTER_TIMES = 60.0, 4
# Larger files are not read: a file is in memory as a whole. An image of MAX_PIXELS has 300 MB if nothing packs it.
MAX_IMAGE_BYTES = 320 * 1024**2
Answer = TypeVar("Answer")


class GivenUp(Unavailable):
    """An image failed as if its store were away, for as long as it was asked, while the store was there for others."""

    def __init__(self, failure: Transient) -> None:
        """Take the last failure."""
        super().__init__(f"its store answers for other images but not for this one: {failure}")
        self.failure = failure


class GetImage(Protocol):
    """Returns an image's bytes. Raises as `Fetcher.read` does."""

    def __call__(self, *, max_bytes: int) -> bytes: ...


def changed(uri: str, how: str, *, field: str = "spec.source.uri") -> Invalid:
    """Return the error for an object that is no longer the one whose images were indexed."""
    return Invalid(
        field,
        f"{uri} has changed since the job was indexed ({how}), so its images can't be told apart any more; put the old "
        "one back, or give the job a new sink (or set sink.ifExists: Overwrite)",
    )


class Fetcher:
    """Reads images by absolute URI, from any number of stores. Thread-safe."""

    def __init__(
        self,
        *,
        witnesses: Sequence[str] = (),
        retry: RetryPolicy = DEFAULT_RETRY,
        give_up_after_s: float = GIVE_UP_AFTER_S,
        clock: Callable[[], float] = time.monotonic,
        opener: Callable[[str], Store] = open_store,
        field: str = "spec.source.uri",
        paces: Paces | None = None,
    ) -> None:
        self.field = field
        """The field that says where the images are."""
        self._witnesses = tuple(witnesses)
        self._retry = retry
        self._give_up_after_s = give_up_after_s
        self._clock = clock
        self._open = opener
        self._cancelled = threading.Event()
        self._stores: dict[str, Store] = {}
        self._paces = paces or Paces()

    def read(self, uri: str, *, max_bytes: int = MAX_IMAGE_BYTES) -> bytes:
        """Return the image's bytes. Raise Unavailable if the fault is the image's, Transient if its store stays away.

        Raise TooLarge, which is an Unavailable, if the image has more than `max_bytes`. The retry policy is applied
        here and not by the store, because each attempt may need a witness.
        """
        return self._read(uri, lambda store, name: store.read_once(name, max_bytes=max_bytes), is_whole=True)

    def read_range(self, uri: str, offset: int, length: int, *, version: str) -> bytes:
        """Return these bytes of an object of many images. Raise as `read` does, and Invalid if it has changed.

        It was of this version when it was indexed, so that other bytes than these would be other images, or none.
        """

        def read_once(store: Store, name: str) -> bytes:
            if (current := str(store.version_once(name))) != version:
                raise changed(uri, f"size and etag are {current} and were {version}", field=self.field)
            data = store.read_range_once(name, offset, length)
            if len(data) != length:
                raise Transient(f"{counted(len(data), 'byte')} came instead of {length:,}")
            return data

        return self._read(uri, read_once, is_whole=False)

    def _read(self, uri: str, read_once: Callable[[Store, str], bytes], *, is_whole: bool) -> bytes:
        store, name = self._find(uri)
        paced = self._paces.of(store.uri)
        return self.persist(
            lambda: paced.call(lambda: read_once(store, name), cancelled=self._cancelled),
            what=store.uri,
            require_source=lambda: self._require_witness(uri, is_whole=is_whole),
        )

    def persist(self, read_once: Callable[[], Answer], *, what: str, require_source: Callable[[], None]) -> Answer:
        """Return what `read_once` does, which is asked again while its store is away. Raise as `read` does.

        `require_source` raises Transient if the source isn't there, so that what failed isn't one image's fault.
        """
        began_s, answers = self._clock(), list[bool]()

        def require_and_note() -> None:
            answers.append(False)
            require_source()
            answers[-1] = True

        def ask() -> Answer:
            try:
                return read_once()
            # The store knows the image, so it is not away.
            except TooLarge:
                raise
            except Unavailable:
                require_and_note()
                # If the store was away only for a moment, the image can be read now.
                return read_once()
            # Nor is it when it wants fewer requests.
            except Throttled:
                raise
            except Transient as failure:
                if self._clock() - began_s < self._give_up_after_s:
                    raise
                _holds(require_and_note)
                if answers[-GIVE_UP_AFTER_TIMES:] != [True] * GIVE_UP_AFTER_TIMES:
                    raise
                raise GivenUp(failure) from failure

        try:
            return self._retry.call(ask, what=what, cancelled=self._cancelled)
        except Throttled:
            raise
        except Transient:
            if self._clock() - began_s < self._give_up_after_s or not self._was_always_there(answers, require_and_note):
                raise
            return self._read_at_last(read_once)

    def _read_at_last(self, read_once: Callable[[], Answer]) -> Answer:
        """Return what `read_once` does, whose store is there now. Raise GivenUp if that makes no difference.

        A process that was stopped meanwhile, or a machine, has asked hardly once, however much time has passed.
        """
        try:
            return read_once()
        except Transient as failure:
            raise GivenUp(failure) from failure

    def _was_always_there(self, answers: list[bool], require_and_note: Callable[[], None]) -> bool:
        """Return whether every answer is that the source is there. Ask until there are enough answers to tell."""
        # The image had no time to fail four times, so the witness must be there more often to show as much.
        while all(answers) and len(answers) < 2 * GIVE_UP_AFTER_TIMES:
            if self._cancelled.wait(self._retry.first_pause_s):
                break
            _holds(require_and_note)
        return all(answers) and not self._cancelled.is_set()

    def look_again(self, uri: str) -> None:
        """See at the next read whether the object has changed, even if it is open."""
        store, name = self._find(uri)
        store.look_again(name)

    def cancel(self) -> None:
        """End every wait for a store, in all threads."""
        self._cancelled.set()

    def _require_witness(self, uri: str, *, is_whole: bool) -> None:
        # An image can't be its own witness. A tar can be that of an image in it, and is the only one of a single tar.
        witnesses = [witness for witness in self._witnesses if not is_whole or witness != uri]
        if not self._can_read_any(witnesses, uri):
            raise Transient(f"neither {uri} nor any image that was read earlier is there; is the source gone?")

    def _can_read_any(self, witnesses: Sequence[str], uri: str) -> bool:
        """Return whether a witness answers, preferably of the same bucket or host. True if there are no witnesses."""
        near = [witness for witness in witnesses if split(witness)[0] == split(uri)[0]]
        return not witnesses or any(self._exists(witness) for witness in near or witnesses)

    def _exists(self, uri: str) -> bool:
        store, name = self._find(uri)
        try:
            return store.exists_once(name)
        except Unavailable:
            return False

    def _find(self, uri: str) -> tuple[Store, str]:
        root, path = split(uri)
        if root not in self._stores:
            self._stores[root] = self._open(root)
        return self._stores[root], path


def _holds(require: Callable[[], None]) -> bool:
    try:
        require()
    except Transient:
        return False
    return True
