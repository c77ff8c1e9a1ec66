"""The folder that a job's rows go to: taking it into use, and knowing which parts it holds.

    part-<first>-<last>[.<mark>].parquet    rows; each file is written once and whole
    _dueby/job.json                         the sink's manifest: whose rows these are, and how they are cut into parts
    _dueby/int8/                            the quantized network of a job at int8
    _dueby/index/, _dueby/runs/             the frozen index; plans, progress and summaries of runs
    _dueby/listing/                         what an index step that has not ended was answered (kept_answers.py)
    _SUCCESS                                every part is there, and which they are

What `sink.ifExists: Append` adds is a generation: parts, manifest and index of its own, with `.g0002` in their names.

The index step decides once per run whether to resume, refuse or overwrite (admission.py); workers only resume.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterator

from dueby_api.errors import Invalid, Transient
from dueby_api.grid import Grid
from dueby_api.parts import Parts, Run, marked_parts, parts_of
from dueby_api.words import counted
from dueby_worker.output.other_grid import OtherGrid
from dueby_worker.output.part_names import generation_in, is_part_name, part_name, parts_among
from dueby_worker.output.sink_manifest import (
    ADVICE,
    SINK_FIELD,
    SINK_MANIFEST,
    SinkManifest,
    encode_sink_manifest,
    read_sink_manifest,
    require_same_job,
)
from dueby_worker.storage.generations import path_in
from dueby_worker.storage.kept_answers import delete_answers
from dueby_worker.storage.store import CREATE_ONLY_ADVICE, Store, Unavailable

_DUEBY = "_dueby"
_PROBE = "probe-"
# The share of its time that a worker may spend on listing: 100,000 parts are 100 requests of 1,000 names on S3.
_LISTING_SHARE = 0.05
_MIN_LISTING_INTERVAL_S = 2.0
_MIN_WATCH_INTERVAL_S = 1.0
# What a worker knows of a part. None is a character that regular expressions take for something else.
_MISSING, _BEGUN, _IN_SINK = 0, 1, 2

log = logging.getLogger(__name__)


def require_create_only(store: Store) -> None:
    """Write a small object twice and delete it. Raise Invalid if the store lets the second write replace the first.

    A store that takes no notice of the condition would let workers write the same part over each other. Whoever begins
    a sink finds that out, and at once whether the sink can be read and written at all.
    """
    path = f"{_DUEBY}/{_PROBE}{secrets.token_hex(8)}"
    try:
        store.exists(path)
    except Unavailable as error:
        raise Invalid(SINK_FIELD, f"{store.uri} can't be read: {error}") from error
    store.create(path, b"probe")
    try:
        # Twice, since a sweep of another process may take the object for one that was left, once.
        if store.create(path, b"probe") and store.create(path, b"probe"):
            raise Invalid(SINK_FIELD, f"{store.uri} lets a second writer replace an object. {CREATE_ONLY_ADVICE}")
    finally:
        _delete_probe(store, path)


def _delete_probe(store: Store, path: str) -> None:
    try:
        store.delete(path)
    except Invalid as error:  # who may write need not be allowed to delete
        log.info("%s; it may stay there", error)


def require_sink_manifest(store: Store, wanted: SinkManifest, *, is_overwriting: bool = False) -> SinkManifest:
    """Create the sink's manifest, or accept an equivalent one; return it. Raise Invalid if the sink is another job's.

    A job that overwrites may meet what a worker of the job before has written after the sink was emptied. By their
    names such parts are none of this job's.
    """
    generation = wanted.grid.generation
    path = path_in(generation, SINK_MANIFEST)
    existing = read_sink_manifest(store, generation)
    if existing is None:
        _require_no_parts(store, wanted, is_overwriting=is_overwriting)
        was_written = store.was_written
        if store.create(path, encode_sink_manifest(wanted)):
            if not was_written:
                # There was no index step: this worker begins the sink.
                require_create_only(store)
            return wanted
        existing = read_sink_manifest(store, generation)
    if existing is None:
        raise Transient(f"{store.uri}: {path} existed a moment ago and is gone; is another job emptying the sink?")
    require_same_job(existing, wanted.components, sink=store.uri)
    _require_same_grid(store, existing, wanted)
    return existing


def _require_no_parts(store: Store, wanted: SinkManifest, *, is_overwriting: bool) -> None:
    """Raise Invalid if the sink, which has no manifest, holds parts that might be taken for those of `wanted`."""
    grid = wanted.grid

    def others(names: Iterator[str]) -> list[str]:
        # Those of earlier generations are known by their manifests.
        return [name for name in names if is_part_name(name) and generation_in(name) >= grid.generation]

    parts = store.read_names(others)
    if is_overwriting and grid.mark and not parts_among(parts, grid):
        return
    # Another worker may have created the manifest and committed a part between the two reads.
    if parts and read_sink_manifest(store, grid.generation) is None:
        raise Invalid(SINK_FIELD, f"{store.uri} holds parts but no {SINK_MANIFEST}, so their job is unknown; {ADVICE}")


def _require_same_grid(store: Store, existing: SinkManifest, wanted: SinkManifest) -> None:
    """Raise if the sink's results are cut into other parts: a job's first plan fixes the grid."""
    if existing.images != wanted.images:
        raise Invalid(
            SINK_FIELD, f"{store.uri} was begun with images {existing.images}, not {wanted.images}. To go on, {ADVICE}"
        )
    if existing.part_size != wanted.part_size:
        size = counted(existing.part_size, "image")
        raise OtherGrid(
            f"{store.uri} was begun in parts of {size}, not of {wanted.part_size}; run the job again, and it goes on "
            "with those",
            part_size=existing.part_size,
            parts_there=parts_there(store, existing),
        )


def parts_there(store: Store, manifest: SinkManifest) -> Parts:
    return _parts_of_grid(store, manifest.grid)


def _parts_of_grid(store: Store, grid: Grid) -> Parts:
    return store.read_names(lambda names: parts_among(names, grid))


def sweep_sink(store: Store) -> None:
    """Delete what killed writers have left among the rows, and among what is kept beside them."""
    store.sweep()
    # Not below the whole sink, in which a user may keep other things.
    store.sweep(_DUEBY, is_deep=True)
    delete_answers(store)
    for name in store.list_names(_DUEBY):
        if name.startswith(_PROBE):
            _delete_probe(store, f"{_DUEBY}/{name}")


class KnownParts:
    """The parts of the grid that are known to be in the sink, and those that this worker has begun.

    Parts are only ever added, so knowledge stays true. It is a byte for each part, of which there may be millions.
    Thread-safe.
    """

    def __init__(self, store: Store, grid: Grid, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.grid = grid
        self._store = store
        self._clock = clock
        self._states = bytearray(grid.parts)
        self._in_sink = 0
        self._watched_enough = threading.Event()
        self._changed = threading.Condition()
        self._next_listing_s = clock()

    def refresh(self) -> None:
        """List the sink, unless it was listed only a moment ago."""
        started_s = self._clock()
        if started_s < self._next_listing_s:
            return
        self._note(_parts_of_grid(self._store, self.grid))
        ended_s = self._clock()
        self._next_listing_s = ended_s + max(_MIN_LISTING_INTERVAL_S, (ended_s - started_s) / _LISTING_SHARE)

    def check(self, part: int) -> bool:
        """Return whether the part is in the sink now, at the cost of one request if that is not known."""
        return part in self or self._look(part)

    def begin(self, part: int) -> None:
        """Note that this worker has begun a part that isn't known to be in the sink."""
        with self._changed:
            self._states[part] = max(self._states[part], _BEGUN)

    def watch(self) -> None:
        """Check what this worker has begun and misses, every second until the sink is full or `stop_watching`."""
        pause_s = _MIN_WATCH_INTERVAL_S
        while not (self._watched_enough.is_set() or self.is_complete):
            with self._changed:
                self._changed.wait(pause_s)
            started_s = self._clock()
            for part in self._in_state(_BEGUN):
                try:
                    self._look(part, cancelled=self._watched_enough)
                except Transient:
                    if self._watched_enough.is_set():
                        return
                    raise
            pause_s = max(_MIN_WATCH_INTERVAL_S, (self._clock() - started_s) / _LISTING_SHARE)

    def stop_watching(self) -> None:
        """End `watch`, in whatever thread it runs."""
        self._watched_enough.set()
        with self._changed:
            self._changed.notify_all()

    def wait_for(self, parts: Collection[int], *, limit_s: float) -> None:
        """Return when all of `parts` are known to be in the sink, or when the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: all(part in self for part in parts), limit_s)

    def add(self, *parts: int) -> None:
        """Note that these parts are in the sink."""
        self._note(parts_of(parts))

    def _note(self, parts: Parts) -> None:
        with self._changed:
            for first, end in parts.runs:
                self._in_sink += end - first - self._states.count(_IN_SINK, first, end)
                self._states[first:end] = bytes([_IN_SINK]) * (end - first)
            self._changed.notify_all()

    def runs(self) -> tuple[Run, ...]:
        """Return the parts in the sink as runs, each as its first part and the one after its last."""
        self.refresh()
        return self._in_state(_IN_SINK).runs

    def missing(self) -> Parts:
        """Return the parts that are not known to be in the sink, and that this worker has not begun."""
        return self._in_state(_MISSING)

    def _in_state(self, state: int) -> Parts:
        with self._changed:
            return marked_parts(self._states, state)

    def _look(self, part: int, *, cancelled: threading.Event | None = None) -> bool:
        """Ask the store for the part. Raise Transient if it doesn't answer and it is cancelled."""
        is_there = self._store.exists(part_name(self.grid, part), cancelled=cancelled)
        if is_there:
            self.add(part)
        return is_there

    def __contains__(self, part: int) -> bool:
        return self._states[part] == _IN_SINK

    @property
    def is_complete(self) -> bool:
        return self._in_sink == self.grid.parts
