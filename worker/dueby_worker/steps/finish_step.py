"""The finish step: sees that every part is there and is this job's, counts rows and errors, writes `_SUCCESS`.

A job is complete when its parts say so, not when its workers do. Names alone show that 0..N-1 is covered once, since
the grid is fixed; the footers tell rows and errors, and the fingerprint of what made them, which catches a worker of
an older job that outlived an Overwrite.
"""

import io
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dueby_api.errors import Invalid, Transient
from dueby_api.grid import Grid
from dueby_worker.output.parts import is_part_name, part_name, parts_among
from dueby_worker.output.rows import Count, count_rows
from dueby_worker.output.sink import SUCCESS, read_claim
from dueby_worker.output.sink_manifest import ADVICE, CLAIM, FIELD, Claim
from dueby_worker.storage.store import Store

_READERS = 16
_SHOWN = 3


def finish(store: Store) -> dict[str, Any]:
    """Write `_SUCCESS` and return what it holds; Transient while parts are missing, Invalid where some are wrong."""
    claim = read_claim(store)
    if claim is None:
        raise Invalid(FIELD, f"{store.uri} has no {CLAIM}; nothing has been run into it")
    grid = Grid(images=claim.images, part_size=claim.part_size)
    names = store.list_names()
    _require_every_part(names, grid, sink=store.uri)
    counts = _count(store, grid)
    _require_own_rows(counts, grid, claim, sink=store.uri)
    summary = {
        "job": claim.job,
        "images": claim.images,
        "parts": grid.parts,
        "rows": sum(count.rows for count in counts),
        "errors": sum(count.errors for count in counts),
        "fingerprint": claim.fingerprint,
    }
    store.replace(SUCCESS, json.dumps(summary).encode())
    store.sweep()
    return summary


def _require_every_part(names: Iterable[str], grid: Grid, *, sink: str) -> None:
    names = list(names)
    there = parts_among(names, grid)
    if missing := sorted(set(range(grid.parts)) - there):
        shown = ", ".join(part_name(grid, part) for part in missing[:_SHOWN])
        raise Transient(f"{sink}: {len(missing)} of {grid.parts} parts are missing yet ({shown}, ...)")
    own = {part_name(grid, part) for part in there}
    if foreign := sorted(name for name in names if is_part_name(name) and name not in own):
        raise Invalid(
            FIELD, f"{sink} also holds {', '.join(foreign[:_SHOWN])}, which are no parts of this job; {ADVICE}"
        )


def _count(store: Store, grid: Grid) -> list[Count]:
    """The footer of every part, in order."""
    with ThreadPoolExecutor(_READERS) as threads:
        names = (part_name(grid, part) for part in range(grid.parts))
        return list(threads.map(lambda name: count_rows(io.BytesIO(store.read(name))), names))


def _require_own_rows(counts: Iterable[Count], grid: Grid, claim: Claim, *, sink: str) -> None:
    for part, count in enumerate(counts):
        first, last = grid.bounds(part)
        wrong = None
        if count.origin.fingerprint != claim.fingerprint:
            wrong = "was made by another job"
        elif count.first is None or (count.first, count.first + count.rows - 1) != (first, last):
            found = f"{count.first} to {count.first + count.rows - 1}" if count.first is not None else "none"
            wrong = f"covers the images {found}, not {first} to {last}"
        if wrong:
            name = part_name(grid, part)
            raise Invalid(FIELD, f"{sink}/{name} {wrong}; delete that file and run this job again")
