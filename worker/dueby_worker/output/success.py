"""`_SUCCESS`: every part is in the sink, and these are the parts.

It lists them by what their names follow from: the number of images, the size of a part, and the mark. A worker that was
cut off for long may add a file when a sink is finished, which a reader of the whole folder takes for rows; so whoever
reads a sink goes by this list.
"""

import json
from collections.abc import Sequence

from dueby_api.errors import Invalid
from dueby_api.grid import Grid
from dueby_api.schema import decode
from dueby_api.step_messages import FinishResult
from dueby_worker.output.part_names import is_part_name, part_name, parts_among
from dueby_worker.output.sink_manifest import SinkManifest, read_sink_manifest
from dueby_worker.storage.store import NotFound, Store

SUCCESS = "_SUCCESS"


def encode_success(result: FinishResult) -> bytes:
    """Return the file's content."""
    return json.dumps(result.document()).encode()


def read_success(store: Store) -> FinishResult | None:
    """Return what `_SUCCESS` holds; None if there is none, or one that another program wrote."""
    try:
        return decode(FinishResult, store.read(SUCCESS))
    except (NotFound, Invalid):
        return None


def is_of(success: FinishResult, manifest: SinkManifest) -> bool:
    """Return whether `_SUCCESS` is about the rows of this manifest, and not about those of a job before it."""
    told = success.fingerprint, success.images, success.part_size, success.mark
    return told == (manifest.fingerprint, manifest.images, manifest.part_size, manifest.grid.mark)


def names_in(success: FinishResult) -> list[str]:
    """Return the names of the parts that `_SUCCESS` lists; none if a DueBy wrote it that listed none."""
    if not success.part_size:
        return []
    grid = Grid(images=success.images, part_size=success.part_size, mark=success.mark)
    return [part_name(grid, part) for part in range(grid.parts)]


def names_of_rows(store: Store) -> Sequence[str]:
    """Return the names of the files that hold the sink's rows so far, by `_SUCCESS` once there is one."""
    manifest, success = read_sink_manifest(store), read_success(store)
    if success and (manifest is None or is_of(success, manifest)) and (listed := names_in(success)):
        return listed
    names = store.list_names()
    if manifest is None:  # somebody has copied the parts alone
        return [name for name in names if is_part_name(name)]
    return [part_name(manifest.grid, part) for part in sorted(parts_among(names, manifest.grid))]
