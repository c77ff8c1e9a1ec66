"""The finish step: check that every part is there and is this job's, count its rows, write `_SUCCESS`.

A job is complete when its parts say so, not when its workers do. The names of the parts show that 0..N-1 is covered
once, because the grid is fixed. The footers give rows, errors, warnings and the fingerprint of what made them, which
exposes a worker of an older job that outlived an Overwrite.
"""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice

from dueby_api.errors import Invalid, Transient
from dueby_api.grid import Grid
from dueby_api.step_config import FinishConfig
from dueby_api.step_messages import FinishResult
from dueby_api.words import counted
from dueby_worker.output.damaged_parts import read_end_of_part, require_own_rows
from dueby_worker.output.part_names import is_part_name, part_name, parts_among
from dueby_worker.output.rows import PartFooter, read_footer
from dueby_worker.output.sink import SUCCESS, read_sink_manifest, sweep_sink
from dueby_worker.output.sink_manifest import ADVICE, SINK_FIELD, SINK_MANIFEST
from dueby_worker.storage.retry import DEFAULT_RETRY
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store
from dueby_worker.telemetry.serve import serve_waits

# Parts that are read at the same time.
_READERS = 16
# How many parts a message lists.
_SHOWN = 3


def finish_sink(config: FinishConfig) -> FinishResult:
    """Finish the sink of the configuration; while it can't be used, say so to whoever asks."""
    waits, _ = serve_waits(config)
    return finish(open_store(config.sink.uri, retry=replace(DEFAULT_RETRY, waits=waits)))


def finish(store: Store) -> FinishResult:
    """Write `_SUCCESS` and return what it holds. Raise Transient while parts are missing, Invalid if some are wrong."""
    store.remember_written()  # the workers have
    manifest = read_sink_manifest(store)
    if manifest is None:
        raise Invalid(SINK_FIELD, f"{store.uri} has no {SINK_MANIFEST}; no worker has run into it yet")
    grid = manifest.grid
    _require_every_part(store.list_names(), grid, sink=store.uri)
    footers = _read_footers(store, grid)
    for part, found in enumerate(footers):
        require_own_rows(
            store, part, manifest=manifest, first=found.first, rows=found.rows, by=found.origin.fingerprint
        )
    result = FinishResult(
        job=manifest.job,
        images=manifest.images,
        parts=grid.parts,
        rows=sum(footer.rows for footer in footers),
        errors=sum(footer.errors for footer in footers),
        warnings=sum(footer.warnings for footer in footers),
        fingerprint=manifest.fingerprint,
    )
    store.replace(SUCCESS, json.dumps(result.document()).encode())
    sweep_sink(store)
    return result


def _require_every_part(names: list[str], grid: Grid, *, sink: str) -> None:
    found = parts_among(names, grid)
    if missing := grid.parts - len(found):
        first = islice((part for part in range(grid.parts) if part not in found), _SHOWN)
        shown = ", ".join(part_name(grid, part) for part in first)
        raise Transient(f"{sink} still lacks {missing:,} of {counted(grid.parts, 'part')} ({shown}, ...)")
    # Readers of the folder would take the rows of foreign parts for this job's.
    own = {part_name(grid, part) for part in found}
    if foreign := sorted(name for name in names if is_part_name(name) and name not in own):
        raise Invalid(
            SINK_FIELD, f"{sink} also holds {', '.join(foreign[:_SHOWN])}, which are not parts of this job; {ADVICE}"
        )


def _read_footers(store: Store, grid: Grid) -> list[PartFooter]:
    """Return the footer of every part, in order. Raise Invalid if one is damaged."""
    with ThreadPoolExecutor(_READERS) as threads:
        names = (part_name(grid, part) for part in range(grid.parts))
        return list(threads.map(lambda name: read_end_of_part(store, name, _footer_of), names))


def _footer_of(data: bytes) -> PartFooter:
    return read_footer(io.BytesIO(data))
