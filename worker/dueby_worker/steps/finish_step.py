"""The finish step: check that every part is there and is this job's, count its rows, write `_SUCCESS`.

A job is complete when its parts say so, not when its workers do. The names of the parts show that 0..N-1 is covered
once, because the grid is fixed. Of a sink that was added to, only the newest generation is counted: those before it
were when they were finished. The footers give rows, errors, warnings and the fingerprint of what made them. A worker
of an older job may outlive an Overwrite; what it leaves has other names, and is deleted. So may this step: it looks
whether the sink is the one that it has counted before it says so, and after.
"""

import io
import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import islice

from dueby_api.errors import Invalid, Transient
from dueby_api.grid import Grid
from dueby_api.parts import Parts, all_parts, marked_parts
from dueby_api.step_config import FinishConfig
from dueby_api.step_messages import MAX_FINISHERS, FinishResult
from dueby_api.words import counted
from dueby_worker.output.damaged_parts import read_end_of_part, require_own_rows
from dueby_worker.output.part_names import is_part_name, part_name, part_of
from dueby_worker.output.rows import PartFooter, read_footer
from dueby_worker.output.sink import sweep_sink
from dueby_worker.output.sink_manifest import ADVICE, SINK_FIELD, SINK_MANIFEST, SinkManifest, read_newest_manifest
from dueby_worker.output.success import (
    SUCCESS,
    earlier_generations,
    encode_success,
    grid_of,
    is_of,
    read_success,
    success_of,
)
from dueby_worker.storage.retry import DEFAULT_RETRY
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store
from dueby_worker.telemetry.serve import serve_waits

# Parts that are read at the same time, and those that are given to the readers at once.
_READERS, _AT_ONCE = 16, 4096
# How many parts a message lists.
_SHOWN = 3
log = logging.getLogger(__name__)


def finish_sink(config: FinishConfig) -> FinishResult:
    """Finish the sink of the configuration; while it can't be used, say so to whoever asks."""
    waits, _ = serve_waits(config)
    store = open_store(config.sink.uri, retry=replace(DEFAULT_RETRY, waits=waits))
    return finish(store, is_overwriting=config.sink.if_exists == "Overwrite", uid=config.uid)


def finish(store: Store, *, is_overwriting: bool = False, uid: str | None = None) -> FinishResult:
    """Write `_SUCCESS` and return what it holds. Raise Transient while parts are missing, Invalid if some are wrong.

    Parts of other jobs are deleted if the job overwrites them anyhow. `uid` is that of the InferenceJob.
    """
    store.remember_written()  # the workers have
    manifest = read_newest_manifest(store)
    if manifest is None:
        raise Invalid(SINK_FIELD, f"{store.uri} has no {SINK_MANIFEST}; no worker has run into it yet")
    grid, earlier = manifest.grid, earlier_generations(store, manifest.grid.generation)
    parts, foreign = store.read_names(partial(tell_parts, grid=grid, earlier=earlier))
    _require_every_part(parts, grid, sink=store.uri)
    _remove_foreign_parts(store, foreign, is_overwriting=is_overwriting)
    rows = errors = warnings = replaced = 0
    for part, footer in enumerate(_read_footers(store, grid)):
        require_own_rows(
            store, part, manifest=manifest, first=footer.first, rows=footer.rows, by=footer.origin.fingerprint
        )
        rows += footer.rows
        errors += footer.errors
        warnings += footer.warnings
        replaced += footer.replaced
    result = FinishResult(
        job=manifest.job,
        images=manifest.images,
        parts=grid.parts,
        rows=rows,
        errors=errors,
        warnings=warnings,
        replaced=replaced,
        fingerprint=manifest.fingerprint,
        part_size=grid.part_size,
        mark=grid.mark,
        generation=grid.generation,
        first_image=grid.first_image,
        finished_unix_micros=time.time_ns() // 1000,
        uids=_finishers(store, manifest, uid),
    )
    _put_success(store, encode_success(success_of(result, earlier)), manifest)
    sweep_sink(store)
    return result


def _finishers(store: Store, manifest: SinkManifest, uid: str | None) -> tuple[str, ...]:
    """Return who has found these rows complete: those that `_SUCCESS` names already, and this job."""
    before = read_success(store)
    uids = before.uids if before is not None and is_of(before, manifest) else ()
    return tuple(dict.fromkeys([*uids, *([uid] if uid else ())]))[-MAX_FINISHERS:]


def _put_success(store: Store, data: bytes, manifest: SinkManifest) -> None:
    """Write `_SUCCESS`; take it back if the sink is another job's by then."""

    def look() -> None:
        if read_newest_manifest(store) != manifest:
            raise Transient(f"{store.uri} was emptied, or begun by another job, while its rows were counted")

    store.replace(SUCCESS, data, before=look)
    try:
        look()
    except Transient:
        if store.read(SUCCESS) == data:
            store.delete(SUCCESS)
        raise


def tell_parts(names: Iterator[str], *, grid: Grid, earlier: Sequence[FinishResult]) -> tuple[Parts, list[str]]:
    """Return the parts of the grid among a sink's names, and the names of parts that no generation has."""
    marks, foreign = bytearray(grid.parts), list[str]()
    others = [grid_of(result) for result in earlier if result.part_size]
    for name in names:
        if (part := part_of(name, grid)) is not None:
            marks[part] = 1
        elif is_part_name(name) and all(part_of(name, other) is None for other in others):
            foreign.append(name)
    return marked_parts(marks, 1), foreign


def _require_every_part(parts: Parts, grid: Grid, *, sink: str) -> None:
    if missing := all_parts(grid.parts) - parts:
        shown = ", ".join(part_name(grid, part) for part in islice(missing, _SHOWN))
        raise Transient(f"{sink} still lacks {len(missing):,} of {counted(grid.parts, 'part')} ({shown}, ...)")


def _remove_foreign_parts(store: Store, foreign: Sequence[str], *, is_overwriting: bool) -> None:
    """Delete parts that readers of the folder would take for this job's, or raise Invalid."""
    if foreign and not is_overwriting:
        shown = ", ".join(foreign[:_SHOWN])
        raise Invalid(SINK_FIELD, f"{store.uri} also holds {shown}, which are not parts of this job; {ADVICE}")
    for name in foreign:
        log.warning("%s is deleted: another job's worker has written it after the sink was emptied", name)
        store.delete(name)


def _read_footers(store: Store, grid: Grid) -> Iterator[PartFooter]:
    """Yield the footer of every part, in order. Raise Invalid if one is damaged."""
    with ThreadPoolExecutor(_READERS) as threads:
        # A pool takes all that it is given at once, and there may be millions of parts.
        for first in range(0, grid.parts, _AT_ONCE):
            names = (part_name(grid, part) for part in range(first, min(first + _AT_ONCE, grid.parts)))
            yield from threads.map(lambda name: read_end_of_part(store, name, _footer_of), names)


def _footer_of(data: bytes) -> PartFooter:
    return read_footer(io.BytesIO(data))
