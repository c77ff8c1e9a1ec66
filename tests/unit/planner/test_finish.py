"""What a worker can still do, and when workers together are done: by time, and by the mini-batches they may run."""

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_planner.replan import OngoingWorker, finish_us
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
    assert finish is not None
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
