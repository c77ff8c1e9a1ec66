"""L between measured sizes: each kind finds what it is made for, the best is chosen, none says less than measured."""

from collections.abc import Callable
from itertools import pairwise
from math import ceil
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_api.gpu_profile import FitKind
from dueby_planner.profiles.fits import Fit, Point, fit_latency, left_out_error
from dueby_planner.small_samples import widening

DOUBLED = (1, 2, 4, 8, 16, 32, 64)
# EfficientNet-B0 on an A100 with mixed precision, from the throughput that NVIDIA publishes: flat, then proportional.
A100_US = (9500, 9400, 9700, 10000, 10100, 11000, 10100, 13700, 25000)


def measured(latency_us: Callable[[int], float]) -> tuple[Point, ...]:
    return tuple((size, round(latency_us(size))) for size in DOUBLED)


def best(points: tuple[Point, ...]) -> Fit:
    fit = fit_latency(points)
    assert fit
    return fit


POINTS = st.lists(
    st.tuples(st.integers(1, 300), st.integers(1, 10**7)), min_size=3, max_size=9, unique_by=lambda point: point[0]
).map(lambda points: tuple(sorted(points)))
KINDS = st.sampled_from(get_args(FitKind))


@pytest.mark.parametrize(
    ("kind", "latency_us"),
    [
        pytest.param("hinge", lambda b: max(9_000, 700 * b), id="launches decide up to a knee"),
        pytest.param("affine", lambda b: 20_000 + 5_000 * b, id="a fixed cost and one an image"),
        pytest.param("spline", lambda b: 3_000 * b**0.7, id="a power between the two"),
    ],
)
def test_a_device_that_follows_a_kind_is_fitted_by_it(kind: FitKind, latency_us: Callable[[int], float]) -> None:
    fit = best(measured(latency_us))
    assert fit.kind == kind
    assert fit.error == 0.01, "no fit is surer than the points"
    for size in range(1, 65):
        assert fit.expected_us(size) == pytest.approx(latency_us(size), rel=0.01)


def test_a_published_gpu_is_fitted_within_its_own_bends() -> None:
    fit = best(tuple((2**i, us) for i, us in enumerate(A100_US)))
    assert fit.error < 0.2
    assert 10_100 <= fit.expected_us(48) <= 11_000
    assert 13_700 <= fit.expected_us(192) <= 25_000


def test_of_the_kinds_the_one_is_chosen_that_comes_nearest_to_sizes_that_it_has_not_seen() -> None:
    points = tuple((2**i, us) for i, us in enumerate(A100_US))
    assert best(points).error == min(left_out_error(points, kind) for kind in get_args(FitKind))


def test_an_error_that_one_size_shows_is_taken_wider() -> None:
    bent = ((1, 1000), (2, 1900), (4, 4000))  # a line through the outer two is at 2000 in the middle
    assert left_out_error(bent, "affine") == pytest.approx(widening(1) * 100 / 1900, abs=1e-4)


@pytest.mark.parametrize("points", [(), ((8, 10),), ((8, 10), (16, 20))], ids=["none", "one", "two"])
def test_fewer_than_three_sizes_can_not_tell_how_far_off_a_fit_is(points: tuple[Point, ...]) -> None:
    assert fit_latency(points) is None


def test_what_a_profile_names_is_taken_as_it_is() -> None:
    fit = fit_latency(measured(lambda b: max(9_000, 700 * b)), kind="affine", error=0.3)
    assert fit
    assert (fit.kind, fit.error) == ("affine", 0.3)


@pytest.mark.parametrize("size", [0, 65, 10**6])
def test_a_size_beyond_the_measured_ones_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=rf"^mini-batch size {size} is outside of the measured sizes 1 to 64$"):
        best(measured(lambda b: 5_000 * b)).expected_us(size)


def planned_us(fit: Fit, size: int, z: float) -> int:
    """Return L with the error's margin at the normal quantile z, as capacities count it."""
    return fit.expected_us(size) + ceil(z * fit.error_us(size))


@given(POINTS, KINDS, st.floats(0, 4))
def test_at_a_measured_size_no_less_is_planned_than_was_measured(
    points: tuple[Point, ...], kind: FitKind, z: float
) -> None:
    fit = fit_latency(points, kind=kind)
    assert fit
    for size, us in points:
        assert planned_us(fit, size, z) >= fit.expected_us(size) >= us


@given(POINTS, KINDS, st.floats(0, 4))
def test_more_images_never_take_less_time(points: tuple[Point, ...], kind: FitKind, z: float) -> None:
    fit = fit_latency(points, kind=kind)
    assert fit
    sizes = range(points[0][0], points[-1][0] + 1)
    assert all(fit.expected_us(less) <= fit.expected_us(more) for less, more in pairwise(sizes))
    assert all(planned_us(fit, less, z) <= planned_us(fit, more, z) for less, more in pairwise(sizes))


@given(POINTS, KINDS)
def test_the_curve_itself_never_falls(points: tuple[Point, ...], kind: FitKind) -> None:
    fit = fit_latency(points, kind=kind)
    assert fit
    values = [fit.curve(size) for size in range(points[0][0], points[-1][0] + 1)]
    assert all(after >= before * (1 - 1e-9) - 1e-6 for before, after in pairwise(values))


@given(POINTS)
def test_the_error_is_one_that_a_profile_may_hold(points: tuple[Point, ...]) -> None:
    assert 0.01 <= best(points).error < 1
