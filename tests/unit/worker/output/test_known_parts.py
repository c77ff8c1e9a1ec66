"""Which parts a worker knows to be in the sink, and how it comes to know of those of others."""

import threading
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_api.grid import Grid
from dueby_api.parts import parts_of
from dueby_worker.output.part_names import part_name
from dueby_worker.output.sink import KnownParts
from dueby_worker.storage.retry import RetryPolicy
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store
from dueby_worker.telemetry.progress import StoreWaits
from support.processes import wait_for

GRID = Grid(images=100, part_size=10)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "sink"))


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def put_parts(store: Store, *parts: int) -> None:
    for part in parts:
        store.create(part_name(GRID, part), b"rows")


def test_the_sink_is_listed_when_asked_and_not_again_at_once(store: Store) -> None:
    clock = Clock()
    known_parts = KnownParts(store, GRID, clock=clock)
    put_parts(store, 1, 2)
    known_parts.refresh()
    assert set(known_parts.missing()) == {0, 3, 4, 5, 6, 7, 8, 9}
    put_parts(store, 3)
    known_parts.refresh()
    assert 3 not in known_parts
    clock.now_s += 2.1
    known_parts.refresh()
    assert 3 in known_parts


def test_checking_one_part_sees_it_at_once(store: Store) -> None:
    known_parts = KnownParts(store, GRID)
    assert not known_parts.check(4)
    put_parts(store, 4)
    assert known_parts.check(4)
    assert 4 in known_parts


@given(
    st.lists(st.tuples(st.sampled_from(("add", "begin", "put")), st.sets(st.integers(0, 9), max_size=4)), max_size=8)
)
def test_what_is_known_is_what_plain_sets_would_say(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, set[int]]]
) -> None:
    store, clock = open_store(str(tmp_path_factory.mktemp("sink"))), Clock()
    known_parts = KnownParts(store, GRID, clock=clock)
    put, in_sink, begun = set[int](), set[int](), set[int]()
    for step, parts in steps:
        match step:
            case "add":
                known_parts.add(*parts)
                in_sink |= parts
            case "begin":
                for part in parts:
                    known_parts.begin(part)
                begun |= parts
            case "put":
                put_parts(store, *parts)
                put |= parts
                clock.now_s += 1000
                known_parts.refresh()
                in_sink |= put
        assert {part for part in range(GRID.parts) if part in known_parts} == in_sink
        assert set(known_parts.missing()) == set(range(GRID.parts)) - in_sink - begun
        assert known_parts.runs() == parts_of(in_sink).runs
        assert known_parts.is_complete == (len(in_sink) == GRID.parts)


def test_what_is_known_of_a_hundred_million_images_in_parts_of_64_takes_few_mib(store: Store) -> None:
    tracemalloc.start()
    try:
        known_parts = KnownParts(store, Grid(images=100_000_000, part_size=64))
        known_parts.add(*range(0, known_parts.grid.parts, 500))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(known_parts.missing()) == known_parts.grid.parts - 3125
    assert held < 4 * 2**20


def test_watching_ends_when_every_part_is_there(store: Store) -> None:
    known_parts = KnownParts(store, GRID)
    known_parts.add(*range(9))
    known_parts.begin(9)
    put_parts(store, 9)
    known_parts.watch()
    assert known_parts.is_complete


def test_watching_ends_when_it_is_told_to(store: Store) -> None:
    known_parts = KnownParts(store, GRID)
    known_parts.begin(9)
    known_parts.stop_watching()
    known_parts.watch()
    assert not known_parts.is_complete


def test_watching_ends_when_it_is_told_to_although_the_store_is_away(tmp_path: Path) -> None:
    waits = StoreWaits("sink")
    store = open_store(str(tmp_path / "sink"), retry=RetryPolicy(first_pause_s=60, total_s=600, waits=waits))
    store.create("x", b"")
    (tmp_path / "sink").rename(tmp_path / "elsewhere")
    known_parts = KnownParts(store, GRID)
    known_parts.begin(9)
    watching = threading.Thread(target=known_parts.watch, daemon=True)
    watching.start()
    wait_for(lambda: waits.longest(now_s=time.monotonic()) is not None, "a store that is waited for")
    known_parts.stop_watching()
    watching.join(30)
    assert not watching.is_alive()
