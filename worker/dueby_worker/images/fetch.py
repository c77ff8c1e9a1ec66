"""Read single images of a source, and tell an image's fault from its store's.

"Not found" can mean that one photo was deleted. It can also mean that the disk was unmounted, the bucket deleted or
the key revoked; then a million rows would be recorded as failed although the images are back tomorrow. So a failure
counts as the image's own only if a *witness* can be read: one of a few images that were read when the source was
indexed. (The index step itself has no witnesses yet and takes each failure at its word.) If no witness can be read,
the store is away and is asked again, with back-off and a warning.

Conversely, a photo on a bad sector may never be readable, however long one waits. If its store has answered for another
image in the meantime, the photo is given up and the failure becomes its error.
"""

import threading
import time
from collections.abc import Callable, Sequence

from dueby_api.errors import Transient
from dueby_worker.storage.retry import DEFAULT_RETRY, RetryPolicy
from dueby_worker.storage.store import Store, TooLarge, Unavailable
from dueby_worker.storage.stores import open_store
from dueby_worker.storage.uris import split

# How long an image may fail as if its store were away before a witness is read to find out.
GIVE_UP_AFTER_S = 60.0
# Larger files are not read: a file is in memory as a whole. An image of MAX_PIXELS has 300 MB if nothing packs it.
MAX_IMAGE_BYTES = 320 * 1024**2


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
    ) -> None:
        self._witnesses = tuple(witnesses)
        self._retry = retry
        self._give_up_after_s = give_up_after_s
        self._clock = clock
        self._open = opener
        self._cancelled = threading.Event()
        self._stores: dict[str, Store] = {}

    def read(self, uri: str, *, max_bytes: int = MAX_IMAGE_BYTES) -> bytes:
        """Return the image's bytes. Raise Unavailable if the fault is the image's, Transient if its store stays away.

        Raise TooLarge, which is an Unavailable, if the image has more than `max_bytes`. The retry policy is applied
        here and not by the store, because each attempt may need a witness.
        """
        store, name = self._find(uri)
        began_s = self._clock()

        def ask() -> bytes:
            try:
                return store.read_once(name, max_bytes=max_bytes)
            # The store knows the image, so it is not away.
            except TooLarge:
                raise
            except Unavailable:
                self._require_witness(uri)
                # If the store was away only for a moment, the image can be read now.
                return store.read_once(name, max_bytes=max_bytes)
            except Transient as failure:
                if self._clock() - began_s < self._give_up_after_s or not self._can_read_witness(uri):
                    raise
                raise Unavailable(f"its store answers for other images but not for this one: {failure}") from failure

        return self._retry.call(ask, what=store.uri, cancelled=self._cancelled)

    def cancel(self) -> None:
        """End every wait for a store, in all threads."""
        self._cancelled.set()

    def _require_witness(self, uri: str) -> None:
        if not self._can_read_witness(uri):
            raise Transient(f"neither {uri} nor any image that was read earlier is there; is the source gone?")

    def _can_read_witness(self, uri: str) -> bool:
        """Return whether a witness answers, preferably of the same bucket or host. True if there are no witnesses."""
        others = [witness for witness in self._witnesses if witness != uri]
        near = [witness for witness in others if split(witness)[0] == split(uri)[0]]
        return not others or any(self._exists(witness) for witness in near or others)

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
