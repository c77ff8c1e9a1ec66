"""The objective of least cost: against every choice of devices and sizes on small pools; its ties and its edges."""

import re
from collections.abc import Iterator
from itertools import combinations_with_replacement, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_api.errors import Invalid
from dueby_planner.deadline_classes import judge, make_plan
from dueby_planner.model.capacity import DeviceChoice, PoolGroup, capacity
from dueby_planner.model.cost import HOUR_US, Price, Tariff, micro_units
from dueby_planner.model.offers import RATE_PARTS, offers_of
from dueby_planner.model.plan import Infeasible, Plan
from dueby_planner.model.problem import Problem
from support.examples import examples
from support.planner import choice, group, planned, problem, store_feed
from support.priced import CHOICES, asked, small_problems, tariff

# ---- brute force


def crews(problem: Problem) -> Iterator[list[tuple[PoolGroup, DeviceChoice]]]:
    """Yield every choice of devices, each with a size of its own."""
    able = [
        [combinations_with_replacement(group.choices, count) for count in range(group.count + 1)]
        for group in problem.groups
    ]
    for counted in product(*([sizes for by_count in counts for sizes in by_count] for counts in able)):
        crew = [(group, size) for group, sizes in zip(problem.groups, counted, strict=True) for size in sizes]
        if 1 <= len(crew) <= problem.most:
            yield crew


def least_cost(problem: Problem) -> int | None:
    """Return the least charge of any devices that the rule accepts, whenever all of them end; None if none are."""
    best = None
    for crew in crews(problem):
        able = [
            (
                capacity(
                    size, time_us=problem.time_us, available_us=g.available_us, max_iterations=problem.max_iterations
                ),
                1,
            )
            for g, size in crew
        ]
        if not all(images for images, _ in able) or not problem.rule.accepts(sorted(able, reverse=True), len(crew)):
            continue
        end_us = next(
            (end for end in range(problem.time_us + 1) if done_by(problem, crew, end) >= problem.images), None
        )
        if end_us is None:
            continue
        charge = 0
        for g, _ in crew:
            price = problem.tariff.price_of(g.device_class) if problem.tariff else None
            assert price is not None
            charge += price.charge(max(0, end_us - g.available_us))
        best = charge if best is None else min(best, charge)
    return best


def done_by(problem: Problem, crew: list[tuple[PoolGroup, DeviceChoice]], end_us: int) -> int:
    """Return what devices are expected to have done by then."""
    done = 0
    for g, size in crew:
        left_us = end_us - g.available_us - size.expected_start_us
        if left_us >= 0:
            most = capacity(
                size, time_us=problem.time_us, available_us=g.available_us, max_iterations=problem.max_iterations
            )
            done += min(most, (left_us // size.latency_us + 1) * size.mini_batch_size)
    return done


@examples(300)
@given(small_problems())
def test_no_devices_cost_less_than_the_bound_and_the_plan_s_are_the_cheapest(small: Problem) -> None:
    answer, least = make_plan(small), least_cost(small)
    if isinstance(answer, Infeasible):
        assert least is None
        return
    assert isinstance(answer, Plan)
    assert answer.cost is not None
    assert answer.cost_bound is not None
    assert least is not None
    assert answer.cost_bound <= micro_units(least) <= answer.cost.total
    if answer.cost_bound == answer.cost.total:
        assert micro_units(least) == answer.cost.total


@given(CHOICES, st.integers(0, 60), st.integers(0, 60))
def test_sizes_that_are_left_out_do_no_more_than_those_that_are_kept(
    choices: list[DeviceChoice], one: int, other: int
) -> None:
    first, last = sorted((one, other))
    bare = asked(group(*choices), images=1, time=60, prices=tariff(a=1))
    for offer in offers_of(bare):
        kept = offer.between(first, last)
        for end in range(first, last + 1):
            assert kept.images_by(end) == offer.images_by(end)
            rate = offer.rate_by(end)
            if rate is not None:
                done = max(offer.images_by(at) * rate - offer.charge(at) * RATE_PARTS for at in range(end + 1))
                assert done <= 0, "no image is cheaper"


# ---- by hand


def test_the_cheaper_class_is_taken_though_it_needs_more_devices() -> None:
    fast, slow = group(choice(10, 10, 10), name="fast", count=2), group(choice(5, 10, 10), name="slow", count=4)
    plan = planned(asked(fast, slow, images=100, time=100, prices=tariff(fast=10, slow=3)))
    assert [(g.device_class, g.count) for g in plan.groups] == [("slow", 2)]
    assert plan.cost is not None
    assert plan.cost.total == plan.cost_bound == 600
    assert plan.lower_bound == 1, "one fast device would do it, for 1,000"
    assert plan.proof == "BranchAndBound+CBC"


def test_of_equal_cost_the_fewest_devices_are_taken() -> None:
    hour = Price(hourly=2, unit_us=HOUR_US), Price(hourly=1, unit_us=HOUR_US)
    fast, slow = group(choice(10, 10, 10), name="fast", count=2), group(choice(5, 10, 10), name="slow", count=4)
    plan = planned(asked(fast, slow, images=100, time=100, prices=tariff(fast=hour[0], slow=hour[1])))
    assert [(g.device_class, g.count) for g in plan.groups] == [("fast", 1)]
    assert plan.cost is not None
    assert plan.cost.total == plan.cost_bound == 2


def test_within_the_most_devices_the_cheaper_class_is_taken_as_far_as_it_does() -> None:
    fast, slow = group(choice(10, 10, 10), name="fast", count=4), group(choice(5, 10, 10), name="slow", count=9)
    plan = planned(asked(fast, slow, images=250, time=100, max_gpus=4, prices=tariff(fast=10, slow=3)))
    assert plan.gpus <= 4
    assert {g.device_class: g.count for g in plan.groups} == {"fast": 1, "slow": 3}


@pytest.mark.parametrize(
    ("prices", "sentence"),
    [
        pytest.param(
            None,
            "spec.objective: MinCost needs prices; give them with --prices FILE, in a cluster as prices in the chart's "
            "values",
            id="no prices",
        ),
        pytest.param(
            tariff(fast=1),
            "spec.objective: MinCost needs a price of every device class that the job may use, and slow has none; add "
            "its price (--prices FILE, in a cluster prices in the chart's values), or name other classes in "
            "spec.gpus.classes",
            id="of others",
        ),
        pytest.param(tariff(), "fast, slow have none; add their prices", id="of no class"),
    ],
)
def test_without_the_price_of_a_class_least_cost_is_refused_by_its_name(prices: Tariff | None, sentence: str) -> None:
    fast, slow = group(choice(10, 10), name="fast"), group(choice(10, 10), name="slow")
    with pytest.raises(Invalid, match=re.escape(sentence)):
        judge(problem(fast, slow, images=10, time=100, objective="MinCost", tariff=prices), "Hard")


def test_what_a_store_gives_all_devices_bounds_the_cheapest_ones_too() -> None:
    second = 10**6
    fast = group(choice(10, second // 10, second), name="fast", count=4)
    slow = group(choice(10, second // 4, second), name="slow", count=8)
    plan = planned(
        asked(fast, slow, images=1_000, time=20 * second, prices=tariff(fast=10, slow=3), feed=store_feed(100))
    )
    assert plan.rate <= 100 * 10**6
    assert plan.cost is not None
    assert plan.cost_bound is not None
    assert plan.cost_bound <= plan.cost.total
    assert plan.expected_finish_us >= 1_000 * second // 100


def test_a_reserve_is_paid_for_too() -> None:
    slow = group(choice(5, 10, 10), name="slow", count=3)
    plan = planned(asked(slow, images=100, time=100, reserve=1, prices=tariff(slow=3)))
    assert plan.gpus == 3
    assert plan.cost is not None
    assert plan.cost.total == plan.cost_bound == 3 * 3 * 70, "34 images each: 7 mini-batches"
