"""Which parts a worker knows to be in the sink, and how it comes to know of those of others."""

import threading
import time
from pathlib import Path

import pytest

from dueby_api.grid import Grid
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
    assert known_parts.missing() == {0, 3, 4, 5, 6, 7, 8, 9}
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


def test_watching_ends_when_every_part_is_there(store: Store) -> None:
    known_parts = KnownParts(store, GRID)
    known_parts.add(*range(9))
    put_parts(store, 9)
    known_parts.watch({9})
    assert known_parts.is_complete


def test_watching_ends_when_it_is_told_to(store: Store) -> None:
    known_parts = KnownParts(store, GRID)
    known_parts.stop_watching()
    known_parts.watch({9})
    assert not known_parts.is_complete


def test_watching_ends_when_it_is_told_to_although_the_store_is_away(tmp_path: Path) -> None:
    waits = StoreWaits("sink")
    store = open_store(str(tmp_path / "sink"), retry=RetryPolicy(first_pause_s=60, total_s=600, waits=waits))
    store.create("x", b"")
    (tmp_path / "sink").rename(tmp_path / "elsewhere")
    known_parts = KnownParts(store, GRID)
    watching = threading.Thread(target=known_parts.watch, args=({9},), daemon=True)
    watching.start()
    wait_for(lambda: waits.longest(now_s=time.monotonic()) is not None, "a store that is waited for")
    known_parts.stop_watching()
    watching.join(30)
    assert not watching.is_alive()
