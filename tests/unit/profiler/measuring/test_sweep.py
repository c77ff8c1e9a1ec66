"""How mini-batch sizes grow and where they end, and the largest that memory allows."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_profiler.analysis.memory import fitting_size, largest, usable_mib
from dueby_profiler.measuring.sweep import SweepEnd, next_size, warmup_sizes

Latency = Callable[[int], float]


def grow(latency: Latency, *, max_fitting: int | None = None, point_s: float = 1e9) -> tuple[list[int], SweepEnd]:
    """Return the sizes that are measured on a device with this latency (us), and why there are no more."""
    seen = {1: latency(1)}
    while isinstance(size := next_size(seen, max_fitting=max_fitting, point_s=point_s), int):
        seen[size] = latency(size)
    return list(seen), size


@pytest.mark.parametrize(
    ("latency", "sizes", "end"),
    [
        pytest.param(
            lambda b: 10_000 * b, [1, 2, 4, 8], SweepEnd.FLAT, id="a core: flat from the first, yet measured up to 8"
        ),
        pytest.param(lambda b: 2000 + 10_000 * b, [1, 2, 4, 8, 16, 32], SweepEnd.FLAT, id="a core with a fixed cost"),
        pytest.param(
            lambda b: max(10_000, 150 * b),
            [1, 2, 4, 8, 16, 32, 64, 128, 256, 512],
            SweepEnd.FLAT,
            id="a GPU: launch-bound up to 66 images, and two doublings after the last that gains",
        ),
        pytest.param(
            lambda b: 10_000 * b * (1.0 if b < 8 else 1.5),
            [1, 2, 4, 8],
            SweepEnd.FLAT,
            id="slower from 8 on: no knee to wait for",
        ),
        pytest.param(lambda b: 1.0, [2**i for i in range(17)], SweepEnd.LARGEST, id="a latency that never grows"),
    ],
)
def test_sizes_double_while_it_pays(latency: Latency, sizes: list[int], end: SweepEnd) -> None:
    assert grow(latency) == (sizes, end)


def gpu_sizes(
    latency: Latency, *, max_fitting: int | None = None, overhead_s: float = 0.0
) -> tuple[list[int], SweepEnd]:
    """Return the same on a GPU, with a minute for each size."""
    seen = {1: latency(1)}
    while True:
        size = next_size(seen, max_fitting=max_fitting, point_s=60.0, overhead_s=overhead_s, gpu=True)
        if isinstance(size, SweepEnd):
            return list(seen), size
        seen[size] = latency(size)


def test_a_gpu_leaps_over_the_sizes_that_are_bound_by_launches() -> None:
    assert gpu_sizes(lambda b: max(10_000, 150 * b)) == ([1, 8, 32, 64, 128, 256, 512], SweepEnd.FLAT)


def test_a_size_that_a_leap_would_have_left_out_is_tried_where_the_leap_does_not_fit() -> None:
    assert gpu_sizes(lambda b: 10_000.0, max_fitting=20) == ([1, 8, 16], SweepEnd.MEMORY)


def test_building_an_engine_is_part_of_the_time_that_a_size_takes() -> None:
    assert gpu_sizes(lambda b: 10_000.0, overhead_s=61.0) == ([1], SweepEnd.TIME)


def test_one_lucky_doubling_does_not_end_the_growth() -> None:
    rates = {1: 100.0, 2: 104.0, 4: 108.0, 8: 107.0, 16: 130.0, 32: 130.0, 64: 130.0}
    sizes, end = grow(lambda b: b * 1e6 / rates[b])
    assert (sizes, end) == ([1, 2, 4, 8, 16, 32, 64], SweepEnd.FLAT)


def test_a_size_that_would_not_fit_is_not_tried() -> None:
    assert grow(lambda b: 100.0, max_fitting=50) == ([1, 2, 4, 8, 16, 32], SweepEnd.MEMORY)


def test_a_size_that_would_outlast_its_time_is_not_tried() -> None:
    sizes, end = grow(lambda b: 1e6 * b**0.9, point_s=20)
    assert (sizes, end) == ([1, 2], SweepEnd.TIME)


@given(st.lists(st.integers(0, 12), min_size=1, max_size=13, unique=True))
def test_the_largest_size_always_has_a_warm_up(powers: list[int]) -> None:
    sizes = [2**power for power in powers]
    chosen = warmup_sizes(sizes)
    assert chosen[0] == max(sizes)
    assert set(chosen) <= set(sizes)
    assert len(chosen) == min(3, len(sizes))


def test_warm_ups_are_taken_at_both_ends_and_in_the_middle() -> None:
    assert warmup_sizes([1, 2, 4, 8, 16]) == [16, 1, 4]


@given(st.integers(50, 2000), st.integers(2, 40), st.sets(st.sampled_from([1, 2, 4, 8, 16, 32]), min_size=2))
def test_memory_that_grows_by_the_image_ends_where_the_line_says(base: int, per_image: int, sizes: set[int]) -> None:
    peaks = {size: base + per_image * size for size in sizes}
    limit = base + per_image * 1000 + per_image // 2
    assert fitting_size(peaks, limit) == 1000


def test_a_first_process_that_took_more_to_start_doesnt_promise_larger_mini_batches() -> None:
    honest = fitting_size({4: 571, 8: 595}, 11_000)
    assert fitting_size({1: 591, 4: 571, 8: 595}, 11_000) == honest == 8 + (11_000 - 595) // 6


def each(peaks: dict[int, int]) -> dict[int, list[int]]:
    """Peaks of one process each."""
    return {size: [peak] for size, peak in peaks.items()}


@pytest.mark.parametrize(
    "peaks",
    [
        pytest.param({}, id="nothing measured"),
        pytest.param({8: 500}, id="one size"),
        pytest.param({1: 500, 8: 500}, id="no growth"),
        pytest.param({1: 510, 8: 500}, id="noise that shrinks"),
    ],
)
def test_memory_without_a_slope_says_nothing_about_mb(peaks: dict[int, int]) -> None:
    assert fitting_size(peaks, 10_000) is None
    found = largest([1, 8], (each(peaks), 10_000), failed=None)
    assert (found.mini_batch_size, found.extrapolated) == (8, False)


def test_a_larger_mb_than_was_measured_is_marked() -> None:
    found = largest([1, 2, 4], (each({1: 110, 4: 140}), 1100), failed=None)
    assert (found.mini_batch_size, found.extrapolated) == (100, True)


def test_mb_fits_the_hosts_memory_as_well_as_the_gpus() -> None:
    gpu, host = (each({1: 110, 4: 140}), 1100), (each({1: 2020, 4: 2080}), 3000)
    assert largest([1, 2, 4], gpu, host, failed=None).mini_batch_size == 50
    assert largest([1, 2, 4], gpu, ({}, 3000), failed=None).mini_batch_size == 100


def test_mb_is_never_below_what_was_measured() -> None:
    found = largest([1, 2, 64], (each({1: 110, 64: 740}), 500), failed=None)
    assert (found.mini_batch_size, found.extrapolated) == (64, False)


def test_mb_is_what_was_measured_where_the_next_size_was_killed() -> None:
    found = largest([1, 2, 4], (each({1: 110, 4: 140}), 1100), failed=8)
    assert (found.mini_batch_size, found.extrapolated) == (4, False)


def test_slices_share_the_memory() -> None:
    assert usable_mib(10_000, 1) == 9000
    assert usable_mib(10_000, 4) == 2250
