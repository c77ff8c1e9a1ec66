"""What a worker can still do, and when workers together are done: by time, and by the mini-batches they may run."""

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_planner.model.problem import NEVER_US
from dueby_planner.schedule.lag import OngoingWorker, finish_by_parts_us, finish_us
from support.planner import WORKERS, worker

TIME_US = 1_000


@pytest.mark.parametrize(
    ("time", "images"),
    [
        pytest.param(39, 0, id="before the end of its mini-batch"),
        pytest.param(40, 16, id="at its end"),
        pytest.param(139, 16, id="just before the next"),
        pytest.param(140, 32, id="with the next"),
        pytest.param(-1, 0, id="after the deadline"),
    ],
)
def test_a_worker_does_the_rest_of_its_mini_batch_and_whole_ones_after_it(time: int, images: int) -> None:
    assert worker(size=16, step=100, rest=40).images_within(time) == images


@pytest.mark.parametrize(
    ("iterations_left", "images"),
    [
        pytest.param(None, 1_000, id="no limit"),
        pytest.param(101, 1_000, id="one more than there is time for"),
        pytest.param(100, 1_000, id="as many as there is time for"),
        pytest.param(99, 990, id="one less"),
        pytest.param(1, 10, id="only the one that is running"),
        pytest.param(0, 0, id="none"),
        pytest.param(-3, 0, id="less than none, after an edit"),
    ],
)
def test_a_worker_does_no_more_mini_batches_than_it_may_still_run(iterations_left: int | None, images: int) -> None:
    assert worker(iterations_left=iterations_left).images_within(TIME_US) == images


def images_by_hand(ongoing: OngoingWorker, time_us: int) -> int:
    """Return what the worker does in the time, one mini-batch after another."""
    ends_us, images, run = ongoing.rest_us, 0, 0
    while ends_us <= time_us and (ongoing.iterations_left is None or run < ongoing.iterations_left):
        images += ongoing.mini_batch_size
        run += 1
        ends_us += ongoing.latency_us
    return images


@given(WORKERS, st.integers(-10, 1_000))
def test_what_a_worker_still_does_is_its_mini_batches_counted_one_by_one(
    ongoing: list[OngoingWorker], time_us: int
) -> None:
    assert [w.images_within(time_us) for w in ongoing] == [images_by_hand(w, time_us) for w in ongoing]


@given(WORKERS, st.integers(1, 300))
def test_the_finish_is_the_first_moment_at_which_nothing_is_left_or_never(
    ongoing: list[OngoingWorker], left: int
) -> None:
    ends = sorted(
        (w.rest_us + run * w.latency_us, w.mini_batch_size)
        for w in ongoing
        for run in range(left if w.iterations_left is None else w.iterations_left)
    )
    done = accumulate(images for _, images in ends)
    finished = (time_us for (time_us, _), images in zip(ends, done, strict=True) if images >= left)
    assert finish_us(ongoing, left) == next(finished, None)


@given(
    st.lists(
        st.builds(worker, size=st.integers(1, 1024), step=st.integers(1, 10**9), rest=st.integers(0, 10**12)),
        min_size=1,
        max_size=20,
    ),
    st.integers(1, 10**12),
)
def test_the_finish_of_a_large_job_is_the_first_moment_at_which_nothing_is_left(
    ongoing: list[OngoingWorker], left: int
) -> None:
    def images_by(time_us: int) -> int:
        return sum(each.images_within(time_us) for each in ongoing)

    finish = finish_us(ongoing, left)
    if finish is None:
        assert images_by(NEVER_US) < left
    else:
        assert images_by(finish) >= left > images_by(finish - 1)


def test_with_nothing_left_it_is_finished_and_without_workers_it_never_is() -> None:
    assert finish_us([], 0) == 0
    assert finish_us([], 1) is None


@pytest.mark.parametrize(
    ("limits", "left", "finish"),
    [
        pytest.param((3, 3), 60, 30, id="just enough together"),
        pytest.param((3, 3), 61, None, id="an image too few together"),
        pytest.param((3, None), 61, 40, id="one without a limit does the rest"),
        pytest.param((0, 0), 0, 0, id="nothing left to do"),
    ],
)
def test_workers_that_may_run_too_few_mini_batches_never_finish(
    limits: tuple[int | None, ...], left: int, finish: int | None
) -> None:
    assert finish_us([worker(iterations_left=limit) for limit in limits], left) == finish


def test_what_no_worker_does_in_thirty_thousand_years_is_never_done() -> None:
    assert finish_us([worker(size=1, step=10**15)], 10**6) is None


# ---- by whole parts


@pytest.mark.parametrize(
    ("workers", "opened", "parts", "finish"),
    [
        pytest.param((worker(), worker()), (0, 0), 3, 200, id="one of three parts is left for one of two"),
        pytest.param((worker(), worker()), (30, 0), 3, 200, id="who is done with its open part at 30 takes another"),
        pytest.param((worker(), worker()), (80, 0), 3, 200, id="at 80, too; the other one takes two"),
        pytest.param((worker(), worker()), (30, 100), 0, 100, id="only what is open"),
        pytest.param((worker(), worker(step=30)), (0, 0), 2, 280, id="a slow one that has begun a part ends it"),
        pytest.param((worker(), worker(rest=500)), (0, 0), 2, 200, id="one that starts late takes none"),
        pytest.param((worker(), worker(iterations_left=9)), (0, 0), 2, 200, id="one that can't end a part takes none"),
        pytest.param((worker(iterations_left=19),), (0,), 2, None, id="nobody may run enough"),
        pytest.param((), (), 1, None, id="nobody is there"),
        pytest.param((), (), 0, 0, id="nothing is left"),
        pytest.param((worker(size=30),), (0,), 2, 80, id="a part has whole mini-batches"),
    ],
)
def test_who_is_done_first_takes_the_next_part(
    workers: tuple[OngoingWorker, ...], opened: tuple[int, ...], parts: int, finish: int | None
) -> None:
    assert finish_by_parts_us(workers, opened, parts=parts, part_size=100) == finish


@given(WORKERS, st.integers(0, 40), st.integers(1, 50), st.data())
def test_by_whole_parts_it_is_never_done_before_it_could_be_image_by_image(
    ongoing: list[OngoingWorker], parts: int, part_size: int, data: st.DataObject
) -> None:
    opened = [data.draw(st.integers(0, min(part_size, each.images_within(10**9)))) for each in ongoing]
    finish = finish_by_parts_us(ongoing, opened, parts=parts, part_size=part_size)
    fluid = finish_us(ongoing, sum(opened) + parts * part_size)
    if finish is not None:
        assert fluid is not None
        assert finish >= fluid
