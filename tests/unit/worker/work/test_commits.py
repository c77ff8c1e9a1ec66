"""When a worker looks whose sink it is before it writes a part."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dueby_api.errors import Invalid
from dueby_api.grid import Grid, Share
from dueby_worker.models.columns import empty_columns
from dueby_worker.output.parts import OpenPart
from dueby_worker.output.rows import Rows
from dueby_worker.output.sink import KnownParts
from dueby_worker.output.sink_manifest import SINK_MANIFEST, encode_sink_manifest
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store
from dueby_worker.telemetry.progress import ProgressTracker
from dueby_worker.work.commits import Commits
from support.processes import wait_for
from support.worker import COLUMNS, COMPONENTS, LABELS, ORIGIN, a_manifest, rows_in

GRID = Grid(images=60, part_size=20)
OWN = a_manifest(images=60, part_size=20)


class Clock:
    """Time that goes on when it is told to."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A sink that this job has begun."""
    store = open_store(str(tmp_path / "sink"))
    store.create(SINK_MANIFEST, encode_sink_manifest(OWN))
    return store


def commits_to(store: Store, clock: Callable[[], float]) -> Commits:
    return Commits(
        store=store,
        known_parts=KnownParts(store, GRID),
        labels=LABELS,
        origin=replace(ORIGIN, fingerprint=OWN.fingerprint),
        progress=ProgressTracker(worker="w0", share=Share(first=0, end=3)),
        on_failure=lambda error: None,
        clock=clock,
    )


def complete(part: OpenPart) -> OpenPart:
    waiting = np.array(part.waiting_positions())
    part.put(waiting, empty_columns(COLUMNS, len(waiting)))
    return part


def a_part(number: int) -> OpenPart:
    return complete(OpenPart(number, first=20 * number, uris=["x"] * 20, columns=COLUMNS))


def empty(store: Store) -> None:
    for name in store.list_names():
        store.delete(name)
    store.delete(SINK_MANIFEST)


def cut_otherwise(store: Store) -> None:
    store.replace(SINK_MANIFEST, encode_sink_manifest(OWN.replace(part_size=30)))


def give_away(store: Store) -> None:
    others = a_manifest(images=60, part_size=20, components=COMPONENTS.replace(weights="o" * 64))
    store.replace(SINK_MANIFEST, encode_sink_manifest(others))


@pytest.mark.parametrize("change", [empty, cut_otherwise, give_away])
def test_a_worker_that_was_stopped_while_the_sink_was_given_away_writes_nothing(
    store: Store, change: Callable[[Store], None]
) -> None:
    clock = Clock()
    commits = commits_to(store, clock)
    commits.put(a_part(0))
    wait_for(lambda: rows_in(store), "the first part is written")
    change(store)
    left = store.list_names()
    clock.now_s += 60
    commits.put(a_part(1))
    with pytest.raises(Invalid, match="was emptied, or is another job's now"):
        commits.close()
    assert store.list_names() == left


def test_a_worker_that_has_just_looked_does_not_look_again(store: Store) -> None:
    clock = Clock()
    commits = commits_to(store, clock)
    commits.put(a_part(0))
    wait_for(lambda: rows_in(store), "the first part is written")
    store.delete(SINK_MANIFEST)
    clock.now_s += 1
    commits.put(a_part(1))
    commits.close()
    assert len(rows_in(store)) == 2


def test_a_part_is_never_replaced_without_a_look(store: Store) -> None:
    clock = Clock()
    commits = commits_to(store, clock)
    commits.put(a_part(0))
    wait_for(lambda: rows_in(store), "the first part is written")
    give_away(store)
    before = store.read(store.list_names()[0])
    rows = Rows(first=0, uris=["x"] * 20, columns=empty_columns(COLUMNS, 20), errors={3: "It is truncated."})
    commits.put(complete(OpenPart.retry(0, rows, engine="eager", columns=COLUMNS)))
    with pytest.raises(Invalid, match="was emptied, or is another job's now"):
        commits.close()
    assert store.read(store.list_names()[0]) == before
