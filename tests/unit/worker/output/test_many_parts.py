"""What a sink of many parts takes of a process that lists it: some bytes a part, and no name for longer than a page."""

import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from dueby_api.grid import Grid
from dueby_api.parts import all_parts
from dueby_api.step_messages import FinishResult
from dueby_worker.output.part_names import part_name
from dueby_worker.output.sink import KnownParts
from dueby_worker.steps.finish_step import tell_parts
from dueby_worker.storage.local_store import LocalStore
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store
from dueby_worker.system.temporary_files import PREFIX
from support.index import HURRIED

# 7 and it have no common factor.
PARTS = 10_000
GRID = Grid(images=64 * PARTS - 1, part_size=64, mark="0123abcd", generation=2, first_image=640)
# With 100 million images in parts of 64, this is 12 MiB; the names of the parts would be 150.
MOST_BYTES = 8 * PARTS


class FullSink(LocalStore):
    """A folder that is said to hold all parts, in no order."""

    def _list(self, folder: str) -> Iterator[tuple[str, bool]]:
        return ((part_name(GRID, part), False) for part in (7 * place % PARTS for place in range(PARTS)))


def list_as_worker(sink: Store) -> bool:
    known_parts = KnownParts(sink, GRID)
    known_parts.refresh()
    return known_parts.is_complete


def list_as_finish_step(sink: Store) -> bool:
    return sink.read_names(partial(tell_parts, grid=GRID, earlier=())) == (all_parts(PARTS), [])


@pytest.mark.parametrize("is_full", [list_as_worker, list_as_finish_step])
def test_a_full_sink_is_listed_in_some_bytes_a_part(tmp_path: Path, is_full: Callable[[Store], bool]) -> None:
    sink = FullSink(tmp_path.as_uri(), field="spec.sink", retry=HURRIED)
    tracemalloc.start()
    try:
        assert is_full(sink)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MOST_BYTES


def test_a_sink_is_swept_without_holding_what_is_in_it(tmp_path: Path) -> None:
    for name in map(str, range(1000)):
        (tmp_path / name).touch()
    (tmp_path / f"{PREFIX}left").touch()
    sink = open_store(str(tmp_path))
    tracemalloc.start()
    try:
        assert sink.sweep() == 1
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # An entry of the folder takes some 200 bytes.
    assert peak < 50 * 1000


def test_a_part_of_no_generation_is_told_from_those_of_all_of_them() -> None:
    first = Grid(images=640, part_size=64, mark="0123abcd")
    earlier = FinishResult(rows=640, errors=0, images=640, parts=10, part_size=64, mark="0123abcd")
    others = [part_name(first, 9), "part-000000000640-000000000703.parquet", "notes.txt"]
    parts, foreign = tell_parts(iter([part_name(GRID, 1), *others, part_name(GRID, 0)]), grid=GRID, earlier=[earlier])
    assert parts.runs == ((0, 2),)
    assert foreign == ["part-000000000640-000000000703.parquet"]
