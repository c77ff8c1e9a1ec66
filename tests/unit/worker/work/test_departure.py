"""A worker that is told to stop: when it finishes its open part first, when it drops it, and how long it takes."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from dueby_api.errors import Invalid
from dueby_api.grid import Grid, Share
from dueby_worker.models.columns import Columns, empty_columns
from dueby_worker.output.parts import OpenPart
from dueby_worker.output.sink import KnownParts
from dueby_worker.output.sink_manifest import SINK_MANIFEST, Components, encode_sink_manifest
from dueby_worker.steps.worker_run import Departure
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store
from dueby_worker.telemetry.progress import ProgressTracker
from dueby_worker.work.commits import Commits
from dueby_worker.work.feed import Feed
from dueby_worker.work.loop import InferenceLoop
from support.processes import wait_for
from support.worker import (
    COLUMNS,
    COMPONENTS,
    LABELS,
    ORIGIN,
    NumberEngine,
    WorkerUnderTest,
    a_manifest,
    rows_in,
    uri_of,
)

GRACE_S = 30.0
BATCH = 4
GRID = Grid(images=60, part_size=20)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A sink that this job has begun."""
    store = open_store(str(tmp_path / "sink"))
    begin(store, COMPONENTS)
    return store


def begin(store: Store, components: Components, *, part_size: int = GRID.part_size) -> None:
    manifest = a_manifest(images=GRID.images, part_size=part_size, components=components)
    store.replace(SINK_MANIFEST, encode_sink_manifest(manifest))


@dataclass(kw_only=True)
class GatedEngine(NumberEngine):
    """Ends a mini-batch only when it is allowed to."""

    permits: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def collect(self) -> Columns:
        self.permits.acquire()
        return super().collect()


@contextmanager
def running(
    store: Store, *, batches: int, depth: int = 1, grace_s: float = GRACE_S
) -> Iterator[tuple[WorkerUnderTest, GatedEngine]]:
    """A worker that has done so many mini-batches of 4 images, in parts of 20, and has the next in the model."""
    worker = WorkerUnderTest(
        store=store,
        grid=GRID,
        shares=(Share(first=0, end=3),),
        batch=BATCH,
        depth=depth,
        origin=replace(ORIGIN, fingerprint=COMPONENTS.fingerprint),
        grace_s=grace_s,
    )
    engine = worker.engine = GatedEngine(batch=BATCH, depth=depth)

    def waits() -> bool:
        seen = worker.progress.report()
        parts = batches * BATCH // GRID.part_size
        return (seen.batches, seen.parts_committed, worker.progress.in_flight) == (batches, parts, depth)

    with ThreadPoolExecutor(1) as threads:
        run = threads.submit(worker.run)
        try:
            engine.permits.release(batches)
            wait_for(waits, "a worker in the middle")
            yield worker, engine
        finally:
            engine.permits.release(1000)
        run.result()


def leave(worker: WorkerUnderTest) -> threading.Thread:
    assert worker.departure
    thread = threading.Thread(target=worker.departure.leave, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("depth", [1, 2])
def test_the_open_part_is_in_the_sink_when_the_worker_goes(store: Store, depth: int) -> None:
    with running(store, batches=7, depth=depth) as (worker, engine):
        leaving = leave(worker)
        wait_for(lambda: worker.progress.report().leaving, "it says so")
        assert [rows.first for rows in rows_in(store)] == [0]
        # Three complete the part; the next one stays in the model.
        engine.permits.release(3)
        leaving.join(timeout=60)
        assert not leaving.is_alive()
        assert [(rows.first, len(rows.uris)) for rows in rows_in(store)] == [(0, 20), (20, 20)]
        np.testing.assert_array_equal(rows_in(store)[1].columns["classes"][:, 0], np.arange(20, 40))


def test_the_part_in_the_model_is_open_before_its_first_row_is_there(store: Store) -> None:
    with running(store, batches=5) as (worker, engine):
        leaving = leave(worker)
        engine.permits.release(5)
        leaving.join(timeout=60)
        assert [rows.first for rows in rows_in(store)] == [0, 20]


def test_when_the_time_is_over_it_goes_in_any_case(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    # The part was expected in time: on a busy machine, the last mini-batch alone may have taken longer than this.
    monkeypatch.setattr(Departure, "_expected_s", lambda departure, part: 0.0)
    with running(store, batches=7, grace_s=0.1) as (worker, _):
        assert worker.departure
        worker.departure.leave()
        assert worker.progress.is_leaving
        assert [rows.first for rows in rows_in(store)] == [0]


def test_a_part_that_another_worker_finishes_meanwhile_is_not_waited_for(store: Store) -> None:
    with running(store, batches=7) as (worker, _):
        leaving = leave(worker)
        wait_for(lambda: worker.progress.is_leaving, "it says so")
        worker.known_parts.add(1)
        leaving.join(timeout=60)
        assert not leaving.is_alive()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda store: store.delete(SINK_MANIFEST), id="emptied"),
        pytest.param(lambda store: begin(store, COMPONENTS.replace(weights="o" * 64)), id="begun by another job"),
        pytest.param(lambda store: begin(store, COMPONENTS, part_size=10), id="begun in other parts"),
    ],
)
def test_nothing_is_written_to_a_sink_that_is_not_this_job_s_any_more(
    store: Store, change: Callable[[Store], None]
) -> None:
    def leave_meanwhile() -> None:
        with running(store, batches=7) as (worker, _):
            leave(worker)
            wait_for(lambda: worker.progress.is_leaving, "it says so")
            change(store)

    with pytest.raises(Invalid, match="was emptied, or is another job's now"):
        leave_meanwhile()
    assert [rows.first for rows in rows_in(store)] == [0]


def begun_part(*, left: int) -> OpenPart:
    part = OpenPart(1, first=20, uris=[uri_of(index) for index in range(20, 40)], columns=COLUMNS)
    done = np.arange(20 - left)
    part.put(done, empty_columns(COLUMNS, len(done)))
    return part


@pytest.mark.parametrize(
    ("steps_s", "age_s", "commit_s", "left", "is_worth_it"),
    [
        pytest.param([5], 1, 0, 20, True, id="five mini-batches of 5 s"),
        pytest.param([7], 1, 0, 20, False, id="five of 7 s"),
        pytest.param([7], 1, 0, 16, True, id="four of 7 s"),
        pytest.param([7], 1, 0, 17, False, id="four and a padded one"),
        pytest.param([7], 1, 3, 16, False, id="a sink that takes 3 s besides"),
        pytest.param([], 1, 0, 4, False, id="no mini-batch has been timed"),
        pytest.param([1], 31, 0, 4, False, id="the mini-batch in the model takes longer than all that were timed"),
        pytest.param([], None, 3, 0, True, id="only the commit is missing"),
        pytest.param([], None, 31, 0, False, id="commits take too long"),
    ],
)
def test_it_finishes_a_part_that_can_be_expected_in_time(
    store: Store, steps_s: list[float], age_s: float | None, commit_s: float, left: int, is_worth_it: bool
) -> None:
    now_s = 1000.0
    progress = ProgressTracker(worker="w0", share=Share(first=0, end=3), clock=lambda: now_s)
    for step_s in (1, *steps_s):  # the first one is the warm-up
        progress.add_step(step_us=round(step_s * 1e6), model_us=0, images=BATCH)
    now_s += age_s or 0
    departure = departure_of(store, progress, begun_part(left=left))
    departure.commits.last_took_s = commit_s
    departure.leave()
    assert progress.is_leaving == is_worth_it


def test_nothing_is_waited_for_while_the_sink_does_not_answer(store: Store) -> None:
    progress = ProgressTracker(worker="w0", share=Share(first=0, end=3))
    for _ in range(2):
        progress.add_step(step_us=1, model_us=0, images=BATCH)
    progress.sink_waits.begin("call", at_s=0)
    progress.sink_waits.fail("call", OSError("no route"))
    departure_of(store, progress, begun_part(left=4)).leave()
    assert not progress.is_leaving


def departure_of(store: Store, progress: ProgressTracker, part: OpenPart) -> Departure:
    """How a worker leaves with this open part, which has come to be in the sink when it is waited for."""
    known_parts = KnownParts(store, GRID)
    known_parts.add(part.part)
    feed = Feed()
    commits = Commits(
        store=store, known_parts=known_parts, labels=LABELS, origin=ORIGIN, progress=progress, on_failure=feed.fail
    )
    loop = InferenceLoop(
        engine=NumberEngine(batch=BATCH),
        feed=feed,
        progress=progress,
        commit=commits.put,
        is_in_sink=known_parts.__contains__,
        open_part=part,
    )
    return Departure(
        grace_s=GRACE_S, mini_batch_size=BATCH, loop=loop, commits=commits, known_parts=known_parts, progress=progress
    )
