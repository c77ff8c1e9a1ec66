"""The acceptance rule: exact against a decimal root, the first k of any pool, and the k largest as the best choice."""

from itertools import combinations
from statistics import NormalDist
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

import support.reference_planner as reference
from dueby_api.errors import Invalid
from dueby_planner.model.rule import EqualDevices, Rule, Spreads, quantile
from support.reference_planner import Kind, Question, Size

CONFIDENCES = [0.5, 0.6, 0.8, 0.95, 0.99, 0.999]


def rule(
    images: int, *, confidence: float = 0.95, run: float = 0.01, node: float = 0.02, start: float = 0.0, **changes: Any
) -> Rule:
    """Return a rule with the spreads of a usual profile."""
    return Rule(images=images, confidence=confidence, spreads=Spreads(run=run, node=node, start=start), **changes)


def is_accepted(asked: Rule, capacities: list[int]) -> bool:
    """Return the reference's answer: with decimals, device by device."""
    spreads = asked.spreads
    sizes = (Size(batch=1, latency=1, warmup=(0, 0)),)
    question = Question(
        kinds=(Kind(name="a", count=1, sizes=sizes, run=spreads.run, node=spreads.node),),
        images=asked.images,
        time=0,
        confidence=asked.confidence,
        reserve=asked.reserve,
        start_images=spreads.start,
    )
    return reference.is_accepted(question, capacities, asked.part_size)


def devices(runs: list[EqualDevices]) -> list[int]:
    """Return every device's capacity."""
    return [images for images, count in runs for _ in range(count)]


def descending(runs: list[EqualDevices]) -> list[EqualDevices]:
    """Return the devices in the order in which the planner passes them."""
    return sorted(runs, reverse=True)


RUNS = st.lists(st.tuples(st.integers(1, 200), st.integers(1, 12)), min_size=1, max_size=4).map(descending)
RULES = st.builds(
    rule,
    st.integers(1, 1_500),
    confidence=st.sampled_from(CONFIDENCES),
    run=st.sampled_from([0.0, 0.01, 0.05, 0.2]),
    node=st.sampled_from([0.0, 0.02, 0.1]),
    start=st.sampled_from([0.0, 0.3, 7.7, 60.0]),
    reserve=st.integers(0, 3),
    part_size=st.none() | st.integers(1, 40),
)


@given(RULES, RUNS, st.integers(0, 50))
@example(rule(1_000, confidence=0.999, run=0.2, node=0.1, part_size=40), [(45, 12), (39, 12)], 24)
def test_the_first_k_is_the_one_that_trying_each_finds(asked: Rule, runs: list[EqualDevices], most: int) -> None:
    everyone = devices(runs)
    tried = (k for k in range(1, min(most, len(everyone)) + 1) if is_accepted(asked, everyone[:k]))
    assert asked.fewest(runs, most) == next(tried, None)


@given(RULES, RUNS, st.integers(1, 50))
def test_a_number_of_devices_is_accepted_as_the_decimal_root_says(
    asked: Rule, runs: list[EqualDevices], count: int
) -> None:
    everyone = devices(runs)
    expected = count <= len(everyone) and is_accepted(asked, everyone[:count])
    assert asked.accepts(runs, count) == expected


@given(RULES, RUNS, st.data())
def test_the_k_largest_are_accepted_whenever_any_k_are(
    asked: Rule, runs: list[EqualDevices], data: st.DataObject
) -> None:
    everyone = devices(runs)[:8]
    k = data.draw(st.integers(1, len(everyone)))
    best = is_accepted(asked, everyone[:k])
    for chosen in combinations(everyone, k):
        assert best or not is_accepted(asked, list(chosen))


@given(RULES, RUNS)
def test_n_raised_by_the_margin_makes_the_plain_sum_decide_alike(asked: Rule, runs: list[EqualDevices]) -> None:
    k = asked.fewest(runs, len(devices(runs)))
    assume(k is not None)
    assert k is not None
    raised, everyone = asked.images + asked.margin(runs, k), devices(runs)
    assert sum(everyone[:k]) >= raised
    assert sum(everyone[: k - 1], start=0) < raised


@given(RUNS, st.integers(1, 1_500), st.sampled_from(CONFIDENCES[1:]), st.integers(0, 2), st.sampled_from([0.0, 9.0]))
def test_the_surplus_is_above_zero_where_the_rule_accepts(
    runs: list[EqualDevices], images: int, confidence: float, reserve: int, start: float
) -> None:
    asked = rule(images, confidence=confidence, reserve=reserve, start=start)
    everyone = devices(runs)
    assume(len(everyone) > reserve)
    surplus = asked.surplus(runs, quantile(confidence))
    assume(abs(surplus) > 1e-6)
    assert (surplus > 0) == is_accepted(asked, everyone)


@pytest.mark.parametrize(
    ("images", "capacity", "expected"),
    [pytest.param(100, 101, 0.0, id="enough"), pytest.param(100, 100, -1.0, id="the hand-over's loss is missing")],
)
def test_without_variance_there_is_no_margin(images: int, capacity: int, expected: float) -> None:
    assert rule(images, run=0, node=0).surplus([(capacity, 1)], 8.0) == expected


@pytest.mark.parametrize(
    ("images", "devices", "loss"),
    [
        pytest.param(10**9, 12, 12 * 64, id="64 a device"),
        pytest.param(6_400, 1, 64, id="1 % of N and 64 a device"),
        pytest.param(6_399, 1, 63, id="1 % of N, rounded down"),
        pytest.param(6_399, 50, 63, id="1 % of N, however many they are"),
        pytest.param(6_399, 63, 63, id="1 % of N and an image a device"),
        pytest.param(6_399, 64, 64, id="an image a device"),
        pytest.param(1, 1, 1, id="one"),
    ],
)
def test_what_hand_overs_lose_is_bounded_while_there_is_no_part_size(images: int, devices: int, loss: int) -> None:
    assert rule(images).loss(devices) == loss
    assert rule(images, confidence=0.5).loss(devices) == 0
    assert rule(images, part_size=7).loss(devices) == 7 * devices


@given(st.integers(1, 30_000), st.integers(1, 400))
def test_the_first_device_s_loss_is_the_largest(images: int, devices: int) -> None:
    asked = rule(images)
    assert asked.loss(devices) <= asked.loss(devices + 1) <= asked.loss(devices) + asked.loss(1)


@given(st.integers(100, 30_000), st.lists(st.tuples(st.integers(1, 2_000), st.integers(1, 200)), max_size=4))
def test_the_search_goes_along_every_line_of_the_loss(images: int, runs: list[EqualDevices]) -> None:
    asked, ordered = rule(images), descending(runs)
    there = sum(count for _, count in runs)
    assert asked.fewest(ordered, there) == next((k for k in range(1, there + 1) if asked.accepts(ordered, k)), None)


def test_half_is_the_study_itself_and_anything_above_it_has_a_margin() -> None:
    exact = rule(1_000, confidence=0.5, run=0.5, node=0.9)
    assert exact.accepts([(250, 4)], 4)
    assert not exact.accepts([(250, 3), (249, 1)], 4)
    assert not rule(1_000, confidence=0.500001).accepts([(250, 4)], 4)
    assert quantile(0.5) == 0
    assert quantile(0.95) == NormalDist().inv_cdf(0.95)


def test_the_exact_mode_counts_whole_parts_once_there_is_a_grid() -> None:
    exact = rule(32, confidence=0.5, part_size=8)
    assert not exact.accepts([(15, 2), (8, 1)], 3), "one part of 8 fits each, though the sum is 38"
    assert exact.accepts([(16, 2)], 2)


@pytest.mark.parametrize(
    ("reserve", "fewest"),
    [pytest.param(0, 2, id="none"), pytest.param(1, 3, id="one"), pytest.param(2, None, id="two")],
)
def test_the_reserve_drops_the_largest_and_counts_within_the_most(reserve: int, fewest: int | None) -> None:
    asked = rule(150, confidence=0.5, reserve=reserve)
    assert asked.fewest([(100, 1), (80, 3)], 3) == fewest


def test_more_devices_may_only_add_losses() -> None:
    asked = rule(26, confidence=0.999, run=0.2, node=0.1, part_size=40)
    accepted = [k for k in range(1, 25) if is_accepted(asked, devices([(129, 1), (36, 23)])[:k])]
    assert accepted == list(range(1, len(accepted) + 1))
    assert 1 <= len(accepted) < 24
    assert asked.fewest([(129, 1), (36, 23)], 24) == 1


def test_a_spread_between_runs_is_one_of_times_and_so_relative_to_n() -> None:
    # Where everything takes 1 + z run times as long, as many images less are done: 1,329 / 1.329 = 1,000.
    asked = rule(1_000, run=0.2, node=0, part_size=1)
    assert asked.fewest([(1_329, 1)], 1) is None
    assert asked.fewest([(1_330, 1)], 1) == 1
    # However wide it is, there is a number of devices that is enough: (1,000 + 2,781 + 38) / 100 = 38.19.
    assert rule(1_000, confidence=0.999, run=0.9, node=0).fewest([(100, 99)], 99) == 39


def test_nodes_that_differ_too_much_for_a_confidence_are_refused_with_the_reason() -> None:
    with pytest.raises(
        Invalid, match=r"^spec\.confidence: 0\.999 is too high .* differ by 40%, .* 3\.09 times"
    ) as error:
        rule(1_000, confidence=0.999, run=0.2, node=0.4)
    assert error.value.field == "spec.confidence"


@given(st.integers(10**9, 10**12), st.integers(10**5, 10**9), st.integers(1, 4_096))
def test_the_edge_is_exact_however_large_the_numbers(images: int, capacity: int, count: int) -> None:
    asked = rule(images, run=0, node=0)
    enough = -(-images // (capacity - 64))
    assert asked.fewest([(capacity, count)], count) == (enough if enough <= count else None)
