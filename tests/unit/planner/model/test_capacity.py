"""What one device can do by a time: exact at every boundary, guarded below W, and best over all sizes."""

import math
import random
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_planner.model.capacity import (
    DeviceChoice,
    Margins,
    Provision,
    asked_for,
    at_confidence,
    best_capacities,
    capacity,
    time_near_us,
)
from dueby_planner.small_samples import Z95
from support.planner import choice, group


def counted_by_hand(*, batch: int, latency: int, start: int, time: int, most: int | None) -> int:
    """Return cap(b), one mini-batch after another."""
    finish, images, iterations = start, 0, 0
    while finish <= time and (most is None or iterations <= most):
        images += batch
        iterations += 1
        finish += latency
    return images


@given(
    batch=st.integers(1, 64),
    latency=st.integers(1, 20),
    start=st.integers(0, 60),
    free=st.integers(0, 30),
    time=st.integers(0, 200),
    most=st.none() | st.integers(0, 12),
)
def test_the_formula_counts_what_a_device_does(
    batch: int, latency: int, start: int, free: int, time: int, most: int | None
) -> None:
    size = choice(batch, latency, start)
    expected = counted_by_hand(batch=batch, latency=latency, start=free + start, time=time, most=most)
    assert capacity(size, time_us=time, available_us=free, max_iterations=most) == expected
    able = best_capacities([group(size, free=free)], time_us=time, max_iterations=most)
    assert [found.images for found in able] == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("time", "images"),
    [
        pytest.param(-1, 0, id="no time at all"),
        pytest.param(0, 0, id="at once"),
        pytest.param(1_000_000, 0, id="half of W, where the bare formula says -576"),
        pytest.param(1_999_999, 0, id="a microsecond below W"),
        pytest.param(2_000_000, 64, id="W exactly: the warm-up mini-batch counts"),
        pytest.param(2_099_999, 64, id="a microsecond before the second"),
        pytest.param(2_100_000, 128, id="the second, to the microsecond"),
    ],
)
def test_nothing_is_done_before_the_warm_up_ends(time: int, images: int) -> None:
    assert capacity(choice(64, 100_000, 2_000_000), time_us=time) == images


def test_no_boundary_loses_a_mini_batch_where_seconds_in_floats_lose_many() -> None:
    source, lost = random.Random(4), 0
    for _ in range(20_000):
        latency, warmup, iterations = source.randrange(1, 10**6), source.randrange(10**7), source.randrange(20_000)
        time = warmup + iterations * latency
        size = choice(1, latency, warmup)
        assert capacity(size, time_us=time) == iterations + 1
        assert capacity(size, time_us=time - 1) == iterations
        lost += math.floor((time / 1e6 - warmup / 1e6) / (latency / 1e6)) < iterations
    assert lost > 100, "floats lose no mini-batches here any more, so this test shows nothing"


def test_the_boundary_that_floats_get_wrong() -> None:
    size = choice(1, 456_105, 8_877_524)
    assert math.floor((5836.987214 - 8.877524) / 0.456105) == 12_777
    assert capacity(size, time_us=5_836_987_214) == 12_778 + 1


@pytest.mark.parametrize(
    ("time", "best"),
    [
        pytest.param(9, 16, id="the largest doesn't fit"),
        pytest.param(15, 64, id="one mini-batch of the largest"),
        pytest.param(27, 16, id="the largest wastes what is left"),
        pytest.param(28, 64, id="its second one fits"),
    ],
)
def test_the_best_size_is_not_the_largest_and_not_always_the_same(time: int, best: int) -> None:
    sizes = group(choice(16, 4, 5), choice(64, 13, 15))
    (found,) = best_capacities([sizes], time_us=time)
    assert found.choice.mini_batch_size == best


def test_of_equally_good_sizes_the_smallest_is_taken() -> None:
    (found,) = best_capacities([group(choice(8, 5), choice(16, 10), choice(32, 20))], time_us=39)
    assert (found.images, found.choice.mini_batch_size) == (64, 8)


def test_equal_capacities_are_ordered_by_class_name() -> None:
    groups = [group(choice(4, 2), name=name) for name in ("b", "c", "a")]
    assert [found.group.device_class for found in best_capacities(groups, time_us=9)] == ["a", "b", "c"]


def test_classes_without_devices_and_those_that_come_too_late_are_left_out() -> None:
    groups = [group(choice(4, 2), name="none", count=0), group(choice(4, 2), name="late", free=10)]
    assert best_capacities(groups, time_us=9) == []
    assert [found.group.device_class for found in best_capacities(groups, time_us=10)] == ["late"]


@pytest.mark.parametrize(
    ("confidence", "start_us"),
    [
        pytest.param(0.5, 300, id="the study's exact mode: p50"),
        pytest.param(0.8, 300 + 103, id="between: 0.842 / 1.645 of 200 more"),
        pytest.param(0.95, 500, id="p95"),
        pytest.param(0.99, 300 + 283, id="beyond: 2.326 / 1.645 of 200 more"),
    ],
)
def test_a_start_is_planned_as_late_as_the_confidence_asks_for(confidence: float, start_us: int) -> None:
    (found,) = at_confidence([group(choice(4, 2, start_us=500, expected_start_us=300))], confidence, run=0.0)
    assert [size.start_us for size in found.choices] == [start_us]
    assert best_capacities([found], time_us=start_us)[0].images == 4
    assert best_capacities([found], time_us=start_us - 1) == []


@pytest.mark.parametrize(
    ("own_us", "start", "late_us"),
    [
        pytest.param(0, 100.0, 500, id="all of it in common"),
        pytest.param(300, 0.0, 500, id="a rule that takes nothing off"),
        pytest.param(300, 300 / 2 / Z95, 400, id="500 and of that 300 alone, which are 150 images"),
        pytest.param(300, 1e6, 400, id="a rule that takes off more"),
        pytest.param(500, 150.1 / Z95, 400, id="a rule that takes off a part"),
        pytest.param(500, 1e6, 0, id="nothing in common"),
    ],
)
def test_what_a_start_has_alone_is_left_to_the_rule_as_far_as_that_takes_it(
    own_us: int, start: float, late_us: int
) -> None:
    size = choice(4, 8, start_us=1_500, expected_start_us=1_000, own_start_us=own_us)
    (found,) = at_confidence([group(size)], 0.95, run=0.0, start=start)
    assert found.choices[0].late_us == pytest.approx(late_us, abs=1)
    assert found.choices[0].start_us == 1_500


def one_by_one(late_us: int, *, q: float) -> DeviceChoice:
    """Return mini-batches of one image and one microsecond, whose start and steps may be late."""
    (found,) = at_confidence(
        [group(choice(1, 1, start_us=late_us, expected_start_us=0, start_spread_us=late_us))], 0.95, run=q / Z95
    )
    return found.choices[0]


@pytest.mark.parametrize(
    ("late_us", "q", "steps"),
    [
        pytest.param(0, 0.2, 1_000, id="only steps are late: the rule takes that off"),
        pytest.param(300, 0.0, 700, id="only the start is late"),
        pytest.param(300, 0.2, 805, id="both: 671 and 20 % of it, which are 1,000 less the root of 300^2 + 134^2"),
        pytest.param(300, 2.0, 931, id="by far more the steps"),
        pytest.param(1_000, 0.2, 0, id="nothing but the start"),
    ],
)
def test_start_and_steps_are_late_by_the_root_of_their_squares(late_us: int, q: float, steps: int) -> None:
    assert capacity(one_by_one(late_us, q=q), time_us=1_000) == steps + 1


@given(st.integers(1, 10**6), st.floats(0.001, 3), st.integers(0, 10**9))
def test_what_steps_get_beside_a_late_start_is_exact_and_rises_with_time(late: int, q: float, more: int) -> None:
    size, left = one_by_one(late, q=q), late + more
    steps = capacity(size, time_us=left) - 1
    assert more <= steps <= left
    assert capacity(size, time_us=left + 1) - 1 >= steps + 1
    counted = [Fraction(t) / (1 + Fraction(size.common_margin, 10**9)) for t in (steps, steps + 1)]
    ends = [(left - x, late**2 + (x * Fraction(size.common_margin, 10**9)) ** 2) for x in counted]
    assert [spare >= 0 and spare**2 >= margin for spare, margin in ends] == [True, False]


@given(
    start=st.integers(0, 500),
    spread=st.integers(0, 300),
    latency=st.integers(1, 50),
    error=st.integers(0, 20),
    z=st.floats(-8, 8),
    run=st.sampled_from([0.0, 0.01, 0.2]),
    own=st.sampled_from([0.0, 0.5, 1.0]),
    images=st.sampled_from([0.0, 3.3, 1e6]),
    time=st.integers(0, 3_000),
)
def test_margins_count_the_same_beside_a_choice_as_in_it(
    *, start: int, spread: int, latency: int, error: int, z: float, run: float, own: float, images: float, time: int
) -> None:
    size = choice(16, latency, start_us=start + spread, expected_start_us=start, latency_error_us=error)
    size = replace(size, own_start_us=int(own * spread))
    margins = Margins(z, run=run, start=images)
    assert capacity(size, time_us=time, margins=margins) == capacity(margins.apply(size), time_us=time)


@given(st.data())
def test_the_capacity_of_a_group_is_the_largest_of_its_sizes(data: st.DataObject) -> None:
    batches = data.draw(st.lists(st.integers(1, 64), min_size=1, max_size=5, unique=True).map(sorted))
    sizes = [choice(b, data.draw(st.integers(1, 30)), data.draw(st.integers(0, 60))) for b in batches]
    time = data.draw(st.integers(0, 200))
    able = best_capacities([group(*sizes)], time_us=time)
    most = max(capacity(size, time_us=time) for size in sizes)
    assert [found.images for found in able] == ([most] if most else [])
    for found in able:
        equally_good = [s.mini_batch_size for s in sizes if capacity(s, time_us=time) == most]
        assert found.choice.mini_batch_size == min(equally_good)


@given(
    sizes=st.dictionaries(st.integers(1, 64), st.tuples(st.integers(1, 10**6), st.integers(0, 10**8)), min_size=1),
    spread=st.integers(0, 10**8),
    run=st.sampled_from([0.0, 0.03]),
    confidence=st.sampled_from([0.5, 0.95]),
    images=st.integers(1, 10**6),
)
def test_the_time_near_which_so_many_images_are_done_is_within_microseconds(
    sizes: dict[int, tuple[int, int]], spread: int, run: float, confidence: float, images: int
) -> None:
    choices = [
        replace(choice(size, latency, start), start_spread_us=spread)
        for size, (latency, start) in sorted(sizes.items())
    ]
    (at,) = at_confidence([group(*choices)], confidence, run=run)
    near_us = time_near_us(at, images)

    def done(time_us: int) -> int:
        return max((found.images for found in best_capacities([at], time_us=time_us)), default=0)

    assert done(near_us - 5) < images <= done(near_us + 5)


@pytest.mark.parametrize(
    ("confidence", "start_us"),
    [
        pytest.param(0.5, 2_000 + 60_000, id="as expected"),
        pytest.param(0.95, 2_500 + 90_000, id="at p95"),
    ],
)
def test_a_device_that_has_to_be_asked_for_starts_later_by_the_margin_that_starts_have(
    confidence: float, start_us: int
) -> None:
    here = group(replace(choice(64, 100, 2_000), start_us=2_500, start_spread_us=500), free=0)
    asked = asked_for(here, Provision(expected_us=60_000, late_us=90_000))
    (found,) = at_confidence([asked], confidence, run=0.0)[0].choices
    assert (found.expected_start_us, found.start_us) == (62_000, start_us)
    assert asked_for(here, None) is here
