"""The order in which a worker goes through the images, and how gpus.maxIterations (M of the study) ends it."""

from collections.abc import Collection, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_api.grid import Grid, Share
from dueby_worker.output.part_names import part_name
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store
from dueby_worker.work.order import BatchBudget
from support.worker import WorkerUnderTest

PARTS = Grid(images=80, part_size=10)
# The worker's own share, and another worker's.
SHARES = (Share(first=0, end=2), Share(first=2, end=8))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "sink"))


def a_worker(store: Store, *, max_iterations: int | None, grid: Grid = PARTS, batch: int = 10) -> WorkerUnderTest:
    return WorkerUnderTest(store=store, grid=grid, shares=SHARES, batch=batch, max_iterations=max_iterations)


def taken_parts(worker: WorkerUnderTest) -> list[list[int]]:
    """The parts of each stretch in the order in which they are begun."""
    stretches = worker.order().stretches(retry_failed=False)
    return [list(dict.fromkeys(item.part.part for item in stretch)) for stretch in stretches]


def put_parts(store: Store, parts: Collection[int]) -> None:
    for part in parts:
        store.create(part_name(PARTS, part), b"rows")


# Which parts a worker takes


@pytest.mark.parametrize(
    ("max_iterations", "batch", "expected"),
    [
        pytest.param(None, 10, [[0, 1], [7, 6, 5, 4, 3, 2]], id="without a limit everything that is missing"),
        pytest.param(7, 10, [[0, 1], [7, 6, 5, 4, 3, 2]], id="everything too if it just fits"),
        pytest.param(4, 10, [[0, 1], [7, 6, 5]], id="only as many parts as mini-batches are left"),
        pytest.param(1, 10, [[0, 1], []], id="its own share and nothing else if that is all that fits"),
        pytest.param(0, 10, [[0, 1], []], id="its own share even if that takes more"),
        pytest.param(2, 20, [[0, 1], [7, 6, 5, 4]], id="two parts to a mini-batch"),
        pytest.param(3, 4, [[0, 1], []], id="no part that would only fit in part"),
        pytest.param(7, 4, [[0, 1], [7]], id="a part of three mini-batches that fit"),
        pytest.param(8, 4, [[0, 1], [7]], id="no second part of five mini-batches together, of which four fit"),
        pytest.param(9, 4, [[0, 1], [7, 6]], id="a second part that shares a mini-batch with the first"),
    ],
)
def test_a_worker_takes(store: Store, max_iterations: int | None, batch: int, expected: list[list[int]]) -> None:
    assert taken_parts(a_worker(store, max_iterations=max_iterations, batch=batch)) == expected


def test_parts_of_its_share_that_are_there_cost_nothing(store: Store) -> None:
    put_parts(store, {0, 1})
    assert taken_parts(a_worker(store, max_iterations=1)) == [[], [7, 6]]


def test_the_smaller_last_part_is_taken_where_no_other_fits(store: Store) -> None:
    grid = Grid(images=75, part_size=10)
    assert taken_parts(a_worker(store, max_iterations=5, grid=grid, batch=5)) == [[0, 1], [7]]


def test_mini_batches_that_were_not_run_after_all_are_free_again(store: Store) -> None:
    worker = a_worker(store, max_iterations=2)
    assert worker.budget.fits(30)
    assert not worker.budget.fits(31)
    worker.budget.give_back()
    assert worker.budget.fits(40)
    assert not worker.budget.fits(41)


@given(
    batch=st.integers(1, 20),
    limit=st.integers(1, 50),
    stretches=st.lists(st.lists(st.integers(1, 40), max_size=6), max_size=3),
)
def test_the_budget_counts_the_mini_batches_that_images_are_filled_into(
    batch: int, limit: int, stretches: Sequence[Sequence[int]]
) -> None:
    budget = BatchBudget(mini_batch_size=batch, limit=limit)
    filled = 0
    for parts in stretches:
        images = 0
        for part in parts:
            needed = filled + -(-(images + part) // batch)
            assert budget.fits(part) == (needed <= limit)
            for _ in range(part):
                budget.add_image()
            images += part
        budget.end_stretch()
        filled += -(-images // batch)


# What it runs


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize(
    ("max_iterations", "batches", "parts"),
    [
        pytest.param(None, 8, 8, id="without a limit"),
        pytest.param(7, 8, 8, id="M + 1 mini-batches are enough"),
        pytest.param(4, 5, 5, id="M + 1 mini-batches are not enough"),
        pytest.param(0, 2, 2, id="its own share takes one more"),
    ],
)
def test_a_worker_runs_at_most_m_plus_1_mini_batches_and_leaves_no_part_unfinished(
    store: Store, max_iterations: int | None, batches: int, parts: int, depth: int
) -> None:
    worker = a_worker(store, max_iterations=max_iterations)
    worker.depth = depth

    progress = worker.run()

    assert len(worker.engine.batches) == progress.steps.batches == batches
    assert progress.parts_committed == len(store.list_names()) == parts
    assert (progress.images_done, progress.images_classified) == (10 * parts, 10 * parts)
    assert worker.known_parts.is_complete == (parts == 8)


def test_what_one_worker_must_leave_the_next_one_finishes(store: Store) -> None:
    assert not _run(a_worker(store, max_iterations=4)).known_parts.is_complete
    assert _run(a_worker(store, max_iterations=4)).known_parts.is_complete


def _run(worker: WorkerUnderTest) -> WorkerUnderTest:
    worker.run()
    return worker
