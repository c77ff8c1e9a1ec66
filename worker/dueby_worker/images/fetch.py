"""Reading single images of a source, and telling an image's fault from its store's.

"Not found" can mean that one photo was deleted, or that the disk was unmounted, the bucket removed or the key revoked;
then a million rows would be written down as failed that are there again tomorrow. So a failure is believed to be the
image's own only when a *witness* answers: one of a few images that were read when the source was indexed (before
that, the source's folder). If no witness answers, the store is away: it is asked again, with back-off and a warning.

The other way round, a photo on a bad sector may never be read however long one waits. When its store has answered for
another image in the meantime, it is given up as that image's error.
"""

import threading
import time
from collections.abc import Callable, Sequence

from dueby_api.errors import Transient
from dueby_worker.storage.retry import PATIENT, Patience
from dueby_worker.storage.store import Store, Unavailable
from dueby_worker.storage.stores import open_store
from dueby_worker.storage.uris import split

# How long one image may fail for, as if its store were away, before a witness is asked whether it is.
GIVE_UP_AFTER_S = 60.0


class Fetcher:
    """Reads images by absolute URI, from as many stores as there are; for many threads."""

    def __init__(
        self,
        *,
        witnesses: Sequence[str] = (),
        patience: Patience = PATIENT,
        give_up_after_s: float = GIVE_UP_AFTER_S,
        clock: Callable[[], float] = time.monotonic,
        opener: Callable[[str], Store] = open_store,
    ) -> None:
        self._witnesses = tuple(witnesses)
        self._patience = patience
        self._give_up_after_s = give_up_after_s
        self._clock = clock
        self._open = opener
        self._cancelled = threading.Event()
        self._stores: dict[str, Store] = {}

    def read(self, uri: str) -> bytes:
        """The image's bytes; Unavailable if it is the image's own fault, Transient if its store stays away."""
        store, name = self._find(uri)
        began = self._clock()

        def ask() -> bytes:
            try:
                return store.read_once(name)
            except Unavailable:
                self._require_witness(uri)
                return store.read_once(name)  # had the store only been away for a moment, it is there now
            except Transient as failure:
                if self._clock() - began < self._give_up_after_s or not self._any_witness(uri):
                    raise
                raise Unavailable(f"its store answers for other images, but for this one: {failure}") from failure

        return self._patience.call(ask, what=store.uri, cancelled=self._cancelled)

    def cancel(self) -> None:
        """End every wait for a store, in all threads."""
        self._cancelled.set()

    def _require_witness(self, uri: str) -> None:
        if not self._any_witness(uri):
            raise Transient(f"neither {uri} nor any image that was read before is there; has the source gone?")

    def _any_witness(self, uri: str) -> bool:
        """Whether any answers: of the same bucket or host, if one is; and true if there are none to ask."""
        others = [witness for witness in self._witnesses if witness != uri]
        near = [witness for witness in others if split(witness)[0] == split(uri)[0]]
        return not others or any(self._is_there(witness) for witness in near or others)

    def _is_there(self, uri: str) -> bool:
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
