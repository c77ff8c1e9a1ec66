"""`_SUCCESS`: every part is in the sink, and these are the parts.

It lists them by what their names follow from: the number of images, the size of a part, and the mark. A worker that was
cut off for long may add a file when a sink is finished, which a reader of the whole folder takes for rows; so whoever
reads a sink goes by this list. Where the sink was added to, it says so for each generation.
"""

import json
from collections.abc import Iterable, Sequence

from dueby_api.errors import Invalid
from dueby_api.grid import Grid
from dueby_api.schema import decode, validate
from dueby_api.step_messages import FinishResult
from dueby_worker.output.part_names import is_part_name, part_name, parts_among
from dueby_worker.output.sink_manifest import SinkManifest, read_newest_manifest
from dueby_worker.storage.generations import path_in
from dueby_worker.storage.store import NotFound, Store

SUCCESS = "_SUCCESS"
# What `_SUCCESS` said of the sink up to a generation, when the next one was begun.
_EARLIER = "_dueby/success.json"


class Success(FinishResult, frozen=True, kw_only=True):
    """The content of `_SUCCESS`: the newest generation, and those before it."""

    earlier: tuple[FinishResult, ...] = ()
    """Those before it, in their order."""

    @property
    def generations(self) -> tuple[FinishResult, ...]:
        newest = self.document()
        newest.pop("earlier")
        return *self.earlier, validate(FinishResult, newest)


def success_of(newest: FinishResult, earlier: Sequence[FinishResult]) -> Success:
    """Return the content of `_SUCCESS`."""
    return validate(Success, {**newest.document(), "earlier": [result.document() for result in earlier]})


def encode_success(result: FinishResult) -> bytes:
    """Return the file's content."""
    return json.dumps(result.document()).encode()


def read_success(store: Store, path: str = SUCCESS) -> Success | None:
    """Return what `_SUCCESS` holds; None if there is none, or one that another program wrote."""
    try:
        return decode(Success, store.read(path))
    except (NotFound, Invalid):
        return None


def set_aside(store: Store, success: Success) -> None:
    """Take `_SUCCESS` away, since images without a row are about to be added, and keep what it says."""
    store.replace(path_in(success.generation, _EARLIER), encode_success(success))
    store.delete(SUCCESS)


def is_of(success: FinishResult, manifest: SinkManifest) -> bool:
    """Return whether `_SUCCESS` is about the rows of this manifest, and not about those of a job before it."""
    return success.fingerprint == manifest.fingerprint and grid_of(success) == manifest.grid


def names_in(generations: Iterable[FinishResult]) -> list[str]:
    """Return the names of the parts of these generations; none of one that a DueBy wrote that listed none."""
    grids = [grid_of(result) for result in generations if result.part_size]
    return [part_name(grid, part) for grid in grids for part in range(grid.parts)]


def grid_of(result: FinishResult) -> Grid:
    """Return how the rows of a finished generation are cut into parts."""
    return Grid(
        images=result.images,
        part_size=result.part_size,
        mark=result.mark,
        generation=result.generation,
        first_image=result.first_image,
    )


def names_of_rows(store: Store) -> Sequence[str]:
    """Return the names of the files that hold the sink's rows so far, by `_SUCCESS` once there is one."""
    manifest, success = read_newest_manifest(store), read_success(store)
    if success and (manifest is None or is_of(success, manifest)) and (listed := names_in(success.generations)):
        return listed
    if manifest is None:  # somebody has copied the parts alone
        return [name for name in store.list_names() if is_part_name(name)]
    grid = manifest.grid
    current = [part_name(grid, part) for part in store.read_names(lambda names: parts_among(names, grid))]
    return [*names_in(earlier_generations(store, grid.generation)), *current]


def earlier_generations(store: Store, generation: int) -> tuple[FinishResult, ...]:
    """Return the generations before this one, which were finished when it was begun."""
    if generation == 1:
        return ()
    path = path_in(generation - 1, _EARLIER)
    if (earlier := read_success(store, path)) is None:
        raise Invalid(store.field, f"{store.uri_of(path)}, which says what the sink held before, is gone or damaged")
    return earlier.generations


def known_generations(store: Store) -> tuple[FinishResult, ...]:
    """Return the finished generations of a sink that was added to; none if it was not."""
    manifest, success = read_newest_manifest(store), read_success(store)
    if manifest is None or manifest.grid.generation == 1:
        return ()
    if success is not None and is_of(success, manifest):
        return success.generations
    return earlier_generations(store, manifest.grid.generation)
