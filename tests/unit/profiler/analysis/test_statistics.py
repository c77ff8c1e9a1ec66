"""What a handful of measurements says: quantiles, how well a mean is known, and the spread between processes."""

from math import inf, isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_profiler.analysis.statistics import (
    is_known,
    neighbour_correlation,
    pooled_spread,
    quantile,
    relative_error,
    spread_error,
)

times = st.lists(st.integers(1, 10**9), min_size=1, max_size=60)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        pytest.param([7], 0.95, 7, id="of one value, that value"),
        pytest.param([3, 1, 2], 0.5, 2, id="the median of three"),
        pytest.param([1, 2], 0.5, 1, id="of two, the lower one is half of them"),
        pytest.param([5, 1, 4, 2, 3], 0.95, 5, id="the p95 of five is the largest seen"),
        pytest.param(range(1, 101), 0.95, 95, id="the p95 of a hundred"),
        pytest.param(range(1, 101), 1.0, 100, id="all of them"),
    ],
)
def test_a_quantile_is_a_value_that_was_seen(values: list[int], share: float, expected: int) -> None:
    assert quantile(values, share) == expected


@given(times, st.floats(0.01, 1.0))
def test_a_quantile_has_its_share_of_the_values_at_or_below_it(values: list[int], share: float) -> None:
    found = quantile(values, share)
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6
    assert sum(value < found for value in values) < share * len(values)


def test_a_mean_is_not_known_from_too_few_values_however_equal() -> None:
    assert relative_error([100] * 4) == inf
    assert relative_error([100] * 5) == 0


def test_a_mean_of_noisy_steps_becomes_known_with_their_number() -> None:
    noisy = [90, 110]
    assert not is_known(noisy * 10)
    assert is_known(noisy * 60)


def test_steps_that_are_like_their_neighbours_need_more_of_them() -> None:
    alternating, drifting = [90, 110] * 50, [90] * 50 + [110] * 50
    assert neighbour_correlation(drifting) > 0.9
    assert relative_error(drifting) > 4 * relative_error(alternating)


def test_steps_that_alternate_are_not_taken_for_better_than_independent_ones() -> None:
    values = [90, 110] * 50
    assert isclose(relative_error(values), 1.96 * 10.05 / 10 / 100, rel_tol=1e-3)


@given(times.filter(lambda values: len(values) >= 5), st.integers(2, 1000))
def test_the_unit_of_time_does_not_change_how_well_a_mean_is_known(values: list[int], factor: int) -> None:
    assert isclose(relative_error(values), relative_error([factor * value for value in values]), abs_tol=1e-6)


def test_the_spread_is_that_of_processes_around_each_sizes_own_mean() -> None:
    assert pooled_spread({1: [100.0, 100.0], 8: [800.0, 800.0]}) == 0
    assert isclose(pooled_spread({1: [95.0, 105.0]}) or 0, 0.05 * 2**0.5)


def test_sizes_pool_their_degrees_of_freedom() -> None:
    one = pooled_spread({1: [95.0, 100.0, 105.0]})
    assert one is not None
    assert isclose(pooled_spread({1: [95.0, 100.0, 105.0], 8: [950.0, 1000.0, 1050.0]}) or 0, one)


@pytest.mark.parametrize(("samples", "error"), [(2, 0.707), (5, 0.354), (9, 0.25)])
def test_the_spread_of_more_samples_is_known_better(samples: int, error: float) -> None:
    assert spread_error(samples) == pytest.approx(error, abs=1e-3)


def test_there_is_no_spread_where_every_size_was_measured_once() -> None:
    assert pooled_spread({1: [10.0], 2: [20.0]}) is None
    assert pooled_spread({}) is None
