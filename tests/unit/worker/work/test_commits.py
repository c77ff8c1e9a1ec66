"""When a worker looks whose sink it is before it writes a part."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dueby_api.errors import Invalid, Transient
from dueby_api.grid import Grid, Share
from dueby_worker.models.columns import empty_columns
from dueby_worker.output.part_names import part_name
from dueby_worker.output.parts import OpenPart
from dueby_worker.output.rows import Rows
from dueby_worker.output.sink import KnownParts
from dueby_worker.output.sink_manifest import SINK_MANIFEST, encode_sink_manifest
from dueby_worker.storage.local_store import LocalStore
from dueby_worker.storage.retry import RetryPolicy
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


def commits_to(store: Store, clock: Callable[[], float], *, grid: Grid = GRID) -> Commits:
    return Commits(
        store=store,
        known_parts=KnownParts(store, grid),
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


@pytest.mark.parametrize("change", [empty, cut_otherwise, give_away])
def test_what_a_worker_has_written_since_it_looked_is_taken_back_in_another_job_s_sink(
    store: Store, change: Callable[[Store], None]
) -> None:
    commits = commits_to(store, Clock())
    commits.put(a_part(0))
    wait_for(lambda: rows_in(store), "the first part is written")
    change(store)
    before = store.list_names()
    commits.put(a_part(1))
    with pytest.raises(Invalid, match="was emptied, or is another job's now"):
        commits.close()
    assert store.list_names() == before


class FaultyStore(LocalStore):
    """A store that does not answer the first attempts to create a part, whether or not it writes it."""

    def __init__(self, uri: str, *, clock: Clock, fault: Callable[[], None], writes: bool) -> None:
        super().__init__(uri, field="sink", retry=RetryPolicy(first_pause_s=0.01, max_pause_s=0.01))
        self.clock = clock
        self.fault = fault
        self.writes = writes
        self.attempts = 0

    def _create(self, path: str, data: bytes) -> bool:
        if not path.startswith("part-"):
            return super()._create(path, data)
        self.attempts += 1
        if self.attempts > 2:
            return super()._create(path, data)
        if self.writes:
            super()._create(path, data)
        if self.attempts == 2:
            self.fault()
        self.clock.now_s += 60
        raise Transient("the answer is lost")


@pytest.mark.parametrize("uid", ["u-1", None], ids=["in a cluster", "without one"])
@pytest.mark.parametrize("writes", [True, False], ids=["written", "not written"])
def test_a_worker_that_is_cut_off_while_it_writes_looks_again_before_each_attempt(
    tmp_path: Path, uid: str | None, writes: bool
) -> None:
    """Another job overwrites the sink in parts of 30 meanwhile, and finishes it: it would have rows twice."""
    own, others = a_manifest(images=60, part_size=20, uid=uid), a_manifest(images=60, part_size=30, uid="u-2")
    clock, uri = Clock(), str(tmp_path / "sink")
    plain = open_store(uri)
    plain.create(SINK_MANIFEST, encode_sink_manifest(own))

    def overwrite() -> None:
        if not writes or uid is None:
            empty(plain)
        plain.replace(SINK_MANIFEST, encode_sink_manifest(others))
        for part in (0, 1):
            plain.create(part_name(others.grid, part), b"rows")

    store = FaultyStore(uri, clock=clock, fault=overwrite, writes=writes)
    commits = commits_to(store, clock, grid=own.grid)
    commits.put(a_part(0))
    with pytest.raises(Invalid, match="was emptied, or is another job's now"):
        commits.close()
    assert store.attempts == 2
    assert plain.list_names() == [part_name(others.grid, part) for part in (0, 1)]


def test_a_part_whose_answer_was_lost_counts_once(tmp_path: Path) -> None:
    clock, uri = Clock(), str(tmp_path / "sink")
    plain = open_store(uri)
    plain.create(SINK_MANIFEST, encode_sink_manifest(OWN))
    commits = commits_to(FaultyStore(uri, clock=clock, fault=lambda: None, writes=True), clock)
    commits.put(a_part(0))
    commits.close()
    assert len(rows_in(plain)) == 1


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
