"""Putting finished parts into the sink, in a thread beside the model.

Encoding a part and writing it takes from milliseconds to seconds, during which the model goes on. Two parts at the
most wait their turn, so a sink that is slower than the model holds the worker up instead of filling its memory.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from queue import Queue

from dueby_worker.output.parts import OpenPart, part_name
from dueby_worker.output.rows import ENGINES_JOINED, Origin, encode_rows
from dueby_worker.output.sink import Holdings
from dueby_worker.storage.store import Store
from dueby_worker.telemetry.progress import Progress

_WAITING = 2


class Commits:
    """The commits of one worker, one after the other in the order in which the parts were complete."""

    def __init__(
        self,
        *,
        store: Store,
        holdings: Holdings,
        labels: Sequence[str],
        origin: Origin,
        progress: Progress,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._store = store
        self._holdings = holdings
        self._labels = labels
        self._origin = origin
        self._progress = progress
        self._on_failure = on_failure
        self._failure: BaseException | None = None
        self._parts: Queue[OpenPart | None] = Queue(_WAITING)
        self._thread = threading.Thread(target=self._run, name="commits", daemon=True)
        self._thread.start()

    def put(self, part: OpenPart) -> None:
        """Commit the complete part; waits while two others wait."""
        self._parts.put(part)

    def close(self) -> None:
        """Return when everything is in the sink; raises what prevented it."""
        self._parts.put(None)
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        while (part := self._parts.get()) is not None:
            if self._failure is not None:
                continue  # keep the queue moving, so that the loop comes to see the failure
            try:
                self._commit(part)
            except BaseException as error:
                self._failure = error
                self._on_failure(error)

    def _commit(self, part: OpenPart) -> None:
        name = part_name(self._holdings.grid, part.part)
        data = encode_rows(part.rows(), labels=self._labels, origin=self._made_by(part))
        if part.is_retry:
            self._store.replace(name, data)
        elif not self._store.create(name, data):
            self._progress.doubled(images=part.received, failed=part.failed)
            self._holdings.add(part.part)
            return
        self._progress.committed()
        self._holdings.add(part.part)

    def _made_by(self, part: OpenPart) -> Origin:
        """This worker, and the engine of the rows that were kept where it was another one."""
        engines = {*part.kept_engines, self._origin.engine}
        return replace(self._origin, engine=ENGINES_JOINED.join(sorted(engines)))
