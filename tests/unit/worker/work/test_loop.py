"""A worker's loop on a real folder with numbered images: one row per image, mini-batches as planned, tails."""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from dueby_api.errors import Invalid, Transient
from dueby_api.grid import Grid, Share
from dueby_planner.model.shares import cut_shares
from dueby_worker.images.picture import ImageOutcome
from dueby_worker.images.runs import Taken
from dueby_worker.models.columns import Columns
from dueby_worker.models.preprocessing import Pixels
from dueby_worker.output.part_names import part_name
from dueby_worker.output.parts import OpenPart
from dueby_worker.output.rows import Origin, decode_rows
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store
from dueby_worker.telemetry.progress import ProgressTracker
from dueby_worker.work.feed import Drained, Feed, MiniBatch
from dueby_worker.work.loop import InferenceLoop
from dueby_worker.work.order import Item
from support.worker import COLUMNS, Album, NumberEngine, WorkerUnderTest, rows_in, run_together


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "sink"))


def require_each_image_once(store: Store, images: int) -> None:
    """Every image has one row, and the row is that image's."""
    rows = rows_in(store)
    index = np.concatenate([np.arange(part.first, part.first + len(part.uris)) for part in rows])
    np.testing.assert_array_equal(index, np.arange(images))
    for part in rows:
        for position, uri in enumerate(part.uris):
            number = part.first + position
            assert uri.endswith(f"{number:06d}.jpg")
            assert position in part.errors or part.columns["classes"][position, 0] == number % 1000


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize(
    ("images", "part_size", "batch"),
    [
        pytest.param(1, 1, 1, id="one image"),
        pytest.param(40, 8, 8, id="a mini-batch a part"),
        pytest.param(40, 8, 3, id="mini-batches across the borders of parts"),
        pytest.param(40, 3, 8, id="parts smaller than a mini-batch"),
        pytest.param(41, 8, 8, id="a shorter last part"),
        pytest.param(5, 8, 16, id="less than a part and than a mini-batch"),
    ],
)
def test_each_image_has_one_row(store: Store, images: int, part_size: int, batch: int, depth: int) -> None:
    grid = Grid(images=images, part_size=part_size)
    worker = WorkerUnderTest(store=store, grid=grid, shares=cut_shares(grid.parts, [1]), batch=batch, depth=depth)
    progress = worker.run()
    require_each_image_once(store, images)
    assert len(worker.engine.batches) == -(-images // batch)
    assert (progress.images_done, progress.parts_committed) == (images, grid.parts)
    assert worker.engine.most_in_flight <= depth


def test_only_the_last_mini_batch_of_a_share_is_padded(store: Store) -> None:
    worker = WorkerUnderTest(store=store, grid=Grid(images=30, part_size=5), shares=(Share(first=0, end=6),), batch=8)
    worker.run()
    numbers = [
        [int.from_bytes(picture.tobytes()[:4], "little") for picture in batch] for batch in worker.engine.batches
    ]
    assert [number for batch in numbers for number in batch][:30] == list(range(30))
    assert len(numbers) == 4


def test_parts_that_are_there_are_skipped_and_left_as_they_are(store: Store) -> None:
    grid = Grid(images=40, part_size=8)
    WorkerUnderTest(store=store, grid=grid, shares=cut_shares(5, [1])).run()
    before = {name: store.read(name) for name in store.list_names()}
    for part in (0, 3):
        store.delete(part_name(grid, part))
    worker = WorkerUnderTest(store=store, grid=grid, shares=cut_shares(5, [1]), batch=8)
    progress = worker.run()
    assert len(worker.engine.batches) == 2
    assert progress.parts_committed == 2
    assert {name: store.read(name) for name in store.list_names()} == before


def test_a_worker_with_nothing_to_do_ends_at_once(store: Store) -> None:
    grid = Grid(images=40, part_size=8)
    for _ in range(2):
        worker = WorkerUnderTest(store=store, grid=grid, shares=cut_shares(5, [1]))
        worker.run()
    assert worker.engine.batches == []


def test_a_worker_takes_over_the_shares_of_those_who_never_came(store: Store) -> None:
    grid = Grid(images=100, part_size=7)
    worker = WorkerUnderTest(store=store, grid=grid, shares=cut_shares(grid.parts, [1, 2, 1]), place=1, batch=9)
    progress = worker.run()
    require_each_image_once(store, 100)
    assert progress.state == "tails"
    assert progress.images_done == 100


def test_workers_that_run_together_do_each_part_once_between_them(store: Store) -> None:
    grid = Grid(images=600, part_size=10)
    shares = cut_shares(grid.parts, [3, 1, 1])
    workers = [WorkerUnderTest(store=store, grid=grid, shares=shares, place=place, batch=7) for place in range(3)]
    run_together(workers)
    require_each_image_once(store, 600)
    assert sum(worker.progress.parts_committed for worker in workers) == grid.parts
    assert sum(worker.progress.images_done for worker in workers) == 600


def test_an_image_that_can_not_be_read_is_a_row_with_an_error(store: Store) -> None:
    grid = Grid(images=20, part_size=8)
    album = Album(unreadable=frozenset({0, 7, 19}))
    progress = WorkerUnderTest(store=store, grid=grid, shares=cut_shares(3, [1]), album=album).run()
    require_each_image_once(store, 20)
    errors = {part.first + position: text for part in rows_in(store) for position, text in part.errors.items()}
    assert errors == {0: "0 is damaged", 7: "7 is damaged", 19: "19 is damaged"}
    assert progress.images_failed == 3


def test_an_image_of_a_faulty_file_has_a_result_and_a_warning(store: Store) -> None:
    album = Album(unreadable=frozenset({3}), faulty=frozenset({2, 9, 19}))
    grid = Grid(images=20, part_size=8)
    progress = WorkerUnderTest(store=store, grid=grid, shares=cut_shares(3, [1]), album=album).run()
    require_each_image_once(store, 20)
    warnings = {part.first + position: text for part in rows_in(store) for position, text in part.warnings.items()}
    assert warnings == {2: "2 is padded", 9: "9 is padded", 19: "19 is padded"}
    assert progress.images_failed == 1


def test_rows_with_errors_are_done_over_when_asked_and_the_others_stay(store: Store) -> None:
    grid = Grid(images=32, part_size=8)
    shares = cut_shares(4, [1])
    album = Album(unreadable=frozenset({1, 9, 10, 30}))
    WorkerUnderTest(store=store, grid=grid, shares=shares, album=album).run()
    worker = WorkerUnderTest(
        store=store,
        grid=grid,
        shares=shares,
        album=Album(unreadable=frozenset({9})),
        retry_failed=True,
        origin=Origin(engine="openvino", precision="fp32", device_class="cpu-1", fingerprint="f00"),
    )
    progress = worker.run()
    require_each_image_once(store, 32)
    assert len(worker.engine.batches) == 1
    assert (progress.images_done, progress.images_failed) == (4, 1)
    assert [part.errors for part in rows_in(store)] == [{}, {1: "9 is damaged"}, {}, {}]
    engines = [decode_rows(store.read(part_name(grid, part)))[1].engine for part in range(4)]
    assert engines == ["eager+openvino", "eager+openvino", "eager", "eager+openvino"]


def test_memory_ahead_of_the_model_is_bounded(store: Store) -> None:
    taken = 0

    class Counting(Album):
        def find(self, items: Iterable[tuple[int, str]]) -> Iterator[list[Taken]]:
            def count() -> Iterator[tuple[int, str]]:
                nonlocal taken
                for item in items:
                    taken += 1
                    yield item

            return super().find(count())

    ahead: list[int] = []

    class Watching(NumberEngine):
        def collect(self) -> Columns:
            ahead.append(taken - len(self.batches) * self.batch)
            return super().collect()

    worker = WorkerUnderTest(
        store=store, grid=Grid(images=4000, part_size=100), shares=cut_shares(40, [1]), album=Counting(), batch=4
    )
    worker.engine = Watching(batch=4)
    worker.run()
    assert max(ahead) <= 4 * 4  # in the model, ready, being filled, and the next image at hand


def test_a_store_that_stays_away_ends_the_worker_and_is_no_image_s_error(store: Store) -> None:
    class Away(Album):
        def read(self, images: Sequence[Taken], slots: Pixels) -> Future[Mapping[int, ImageOutcome]]:
            if images[0][0] == 0:
                return super().read(images, slots)
            task: Future[Mapping[int, ImageOutcome]] = Future()
            task.set_exception(Transient("s3://photos can't be reached"))
            return task

    worker = WorkerUnderTest(store=store, grid=Grid(images=40, part_size=8), shares=cut_shares(5, [1]), album=Away())
    with pytest.raises(Transient, match="can't be reached"):
        worker.run()
    assert rows_in(store) == []


@pytest.mark.parametrize("images", [pytest.param(4, id="at its end"), pytest.param(40_000, id="on its way")])
def test_a_sink_that_can_not_be_written_ends_the_worker(tmp_path: Path, images: int) -> None:
    (tmp_path / "file").write_text("no folder")
    grid = Grid(images=images, part_size=8)
    worker = WorkerUnderTest(
        store=open_store(str(tmp_path / "file" / "sink")), grid=grid, shares=cut_shares(grid.parts, [1])
    )
    with pytest.raises(Invalid, match="sink"):
        worker.run()
    assert len(worker.engine.batches) < 1000


def test_a_part_that_somebody_else_committed_meanwhile_is_not_computed_to_the_end(store: Store) -> None:
    grid = Grid(images=1000, part_size=500)
    shares = (Share(first=0, end=0), Share(first=0, end=2))
    worker = WorkerUnderTest(store=store, grid=grid, shares=shares, place=0, batch=10)

    class Overtaken(NumberEngine):
        def collect(self) -> Columns:
            if len(self.batches) == 5:
                worker.known_parts.add(0, 1)
            return super().collect()

    worker.engine = Overtaken(batch=10)
    progress = worker.run()
    assert len(worker.engine.batches) < 15
    assert (progress.images_done, progress.parts_committed, progress.parts_doubled) == (0, 0, 1)


def test_many_workers_in_any_order_leave_each_image_once(store: Store) -> None:
    chance = random.Random(4)
    grid = Grid(images=2000, part_size=16)
    shares = cut_shares(grid.parts, [chance.randint(1, 5) for _ in range(6)])
    workers = [
        WorkerUnderTest(
            store=store, grid=grid, shares=shares, place=place, batch=chance.randint(1, 40), depth=1 + place % 2
        )
        for place in chance.sample(range(6), 4)
    ]
    run_together(workers)
    require_each_image_once(store, 2000)


@dataclass
class Ticks:
    """A clock that goes on by so much when it is told to, and not otherwise."""

    now_ns: int = 1

    def __call__(self) -> int:
        return self.now_ns


def test_the_share_of_time_in_which_images_are_waited_for_is_told_from_the_models() -> None:
    clock, progress = Ticks(), ProgressTracker(worker="w0", share=Share(first=0, end=1))

    class SlowEngine(NumberEngine):
        def collect(self) -> Columns:
            clock.now_ns += 1_000_000
            return super().collect()

    class SlowFeed(Feed):
        def __iter__(self) -> Iterator[MiniBatch | Drained]:
            for number in range(5):
                # The first one is warm-up, whose wait is none of the share.
                clock.now_ns += 3_000_000 if number else 900_000_000
                part = OpenPart(number, first=number, uris=[str(number)], columns=COLUMNS)
                batch = MiniBatch(pixels=engine.buffer())
                batch.add(Item(part=part, position=0, index=number, uri=str(number)))
                batch.note(0, ImageOutcome(error="none"))
                yield batch

    engine = SlowEngine(batch=1)
    loop = InferenceLoop(
        engine=engine,
        feed=SlowFeed(),
        progress=progress,
        commit=lambda part: None,
        is_in_sink=lambda part: False,
        clock_ns=clock,
    )
    loop.run()
    assert progress.report().input_wait == 0.75
    assert progress.report().mean_step_us == 4000
