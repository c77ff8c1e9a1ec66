"""Put finished parts into the sink, in a thread beside the model.

Encoding and writing a part takes from milliseconds to seconds, during which the model goes on. At most two parts wait:
a sink that is slower than the model stops the worker instead of filling its memory.

A worker may have been stopped for long, or be cut off from whoever has given its sink to another job meanwhile. So it
looks whose sink it is before each attempt to write, of which there may be ten minutes of them, unless it has done so a
moment ago; and again once the part is there. In another job's sink it deletes what it has written.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from queue import Queue

from dueby_api.errors import DueByError, Invalid
from dueby_worker.output.admission import RecentLook
from dueby_worker.output.part_names import part_name
from dueby_worker.output.parts import OpenPart
from dueby_worker.output.rows import ENGINES_JOINED, Origin, encode_rows
from dueby_worker.output.sink import KnownParts
from dueby_worker.output.sink_manifest import SINK_FIELD, read_sink_manifest
from dueby_worker.storage.store import Store
from dueby_worker.telemetry.progress import ProgressTracker

_MAX_WAITING = 2
# For so long a worker takes the sink for its own after it has looked: a look is a request, and parts may be small.
_OWN_FOR_S = 10.0
log = logging.getLogger(__name__)


class _OthersSink(Invalid):
    """The sink isn't this worker's job's any more."""


class Commits:
    """The commits of one worker, one at a time, in the order in which the parts were completed."""

    def __init__(
        self,
        *,
        store: Store,
        known_parts: KnownParts,
        labels: Sequence[str],
        origin: Origin,
        progress: ProgressTracker,
        on_failure: Callable[[BaseException], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._known_parts = known_parts
        self._labels = labels
        self._origin = origin
        self._progress = progress
        self._on_failure = on_failure
        self._look = RecentLook(self._require_own_sink, good_for_s=_OWN_FOR_S, clock=clock)
        self._failure: BaseException | None = None
        self._parts: Queue[tuple[OpenPart, float] | None] = Queue(_MAX_WAITING)
        self.newest: OpenPart | None = None
        """The part that was handed over last."""
        self.last_took_s = 0.0
        """How long the last commit took, from the part's last row to the sink; 0 before there is one."""
        self._thread = threading.Thread(target=self._run, name="commits", daemon=True)
        self._thread.start()

    def put(self, part: OpenPart) -> None:
        """Hand over a complete part. Block while two others wait."""
        self.newest = part
        self._parts.put((part, time.monotonic()))

    def close(self) -> None:
        """Return when every part is in the sink. Raise what prevented that."""
        self._parts.put(None)
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        while (handed_over := self._parts.get()) is not None:
            if self._failure is not None:
                # Keep emptying the queue, so that the loop is not blocked in `put` and comes to see the failure.
                continue
            part, at_s = handed_over
            try:
                self._commit(part)
                self.last_took_s = time.monotonic() - at_s
            except BaseException as error:
                self._failure = error
                self._on_failure(error)

    def _commit(self, part: OpenPart) -> None:
        data = encode_rows(part.rows(), labels=self._labels, origin=self._origin_of(part))
        if self._write(part, data):
            self._progress.add_committed_part()
        else:
            self._progress.add_doubled_part(images=part.received, failed=part.failed)
        self._known_parts.add(part.part)

    def _write(self, part: OpenPart, data: bytes) -> bool:
        """Write the part into the job's sink, and return whether this worker did. Raise Invalid in another job's sink.

        There nothing is left of the part. An attempt that failed may have written it, too, or still come to do so; that
        the file is this job's and nobody else's is known by its name, if that has a mark.
        """
        grid = self._known_parts.grid
        name = part_name(grid, part.part)
        # A worker that leaves has often lost its job, and what replaces a part had better be right.
        is_urgent = self._progress.is_leaving or part.is_retry
        failed_attempts, is_written = -1, False

        def look() -> None:
            nonlocal failed_attempts
            failed_attempts += 1
            self._look.require(now=is_urgent)

        try:
            if part.is_retry:
                self._store.replace(name, data, before=look)
            is_written = part.is_retry or self._store.create(name, data, before=look)
            self._look.require(now=True)
        except _OthersSink:
            if is_written or (grid.mark and failed_attempts):
                self._take_back(name)
            raise
        return is_written

    def _take_back(self, name: str) -> None:
        try:
            self._store.delete(name)
        except DueByError as error:
            log.warning("%s is in a sink that is another job's now, and stays there: %s", name, error)

    def _require_own_sink(self) -> None:
        """Raise _OthersSink if the sink isn't this job's any more: another one may have been started there."""
        own = (self._origin.fingerprint, grid := self._known_parts.grid)
        manifest = read_sink_manifest(self._store, grid.generation)
        if manifest is None or (manifest.fingerprint, manifest.grid) != own:
            raise _OthersSink(SINK_FIELD, f"{self._store.uri} was emptied, or is another job's now")

    def _origin_of(self, part: OpenPart) -> Origin:
        """Return this worker's origin, joined with the engines of rows that are kept."""
        engines = {*part.kept_engines, self._origin.engine}
        return replace(self._origin, engine=ENGINES_JOINED.join(sorted(engines)))
