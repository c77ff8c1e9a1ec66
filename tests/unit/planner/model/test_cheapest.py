"""The objective of least cost: against every choice of devices and sizes on small pools; its ties and its edges."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations_with_replacement, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_api.errors import Invalid
from dueby_planner.deadline_classes import make_plan
from dueby_planner.model.capacity import DeviceChoice, PoolGroup, capacity
from dueby_planner.model.cost import HOUR_US, Price, Tariff, micro_units
from dueby_planner.model.offers import RATE_PARTS, offers_of
from dueby_planner.model.plan import Infeasible, Plan
from dueby_planner.model.problem import Problem
from support.examples import examples
from support.planner import choice, group, planned, problem, store_feed

COIN = HOUR_US
"""A price of a millionth in each microsecond."""


def tariff(**prices: Price | int) -> Tariff:
    """Return prices by class; a number is so many coins, paid to the microsecond."""
    by_class = {
        name: price if isinstance(price, Price) else Price(hourly=price * COIN, unit_us=1)
        for name, price in prices.items()
    }
    return Tariff(currency="USD", prices=by_class)


def asked(*groups: PoolGroup, prices: Tariff, **changes: object) -> Problem:
    """Return a problem of least cost."""
    return problem(*groups, tariff=prices, objective="MinCost", **changes)  # type: ignore[arg-type]


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


CHOICES = st.lists(
    st.builds(choice, batch=st.integers(1, 12), latency=st.integers(2, 12), warmup=st.integers(0, 15)),
    min_size=1,
    max_size=2,
    unique_by=lambda c: c.mini_batch_size,
)
PRICE = st.builds(
    Price,
    hourly=st.integers(1, 9).map(lambda coins: coins * COIN),
    unit_us=st.sampled_from([1, 1, 20]),
    least_us=st.sampled_from([0, 0, 30]),
)


@st.composite
def small_problems(draw: st.DrawFn) -> Problem:
    """Draw up to three classes of up to three devices, and images for some of them."""
    names = "abc"[: draw(st.integers(1, 3))]
    groups = [
        group(*draw(CHOICES), name=name, count=draw(st.integers(1, 3)), free=draw(st.sampled_from([0, 0, 7])))
        for name in names
    ]
    time = draw(st.integers(20, 60))
    bare = problem(*groups, images=1, time=time, confidence=draw(st.sampled_from([0.5, 0.95])), run=0.01, node=0.02)
    everything = sum(c.images * c.group.count for c in bare.capacities())
    images = max(1, everything * draw(st.integers(10, 100)) // 100)
    prices = Tariff(currency="USD", prices={name: draw(PRICE) for name in names})
    most = draw(st.sampled_from([None, None, 2, 4]))
    spreads = replace(bare.pool.spreads, start=draw(st.sampled_from([0.0, 2.5])))
    pool = replace(bare.pool, spreads=spreads)
    return replace(bare, pool=pool, images=images, tariff=prices, objective="MinCost", max_gpus=most)


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


def test_a_class_without_a_price_is_left_out() -> None:
    fast, slow = group(choice(10, 10, 10), name="fast", count=2), group(choice(5, 10, 10), name="slow", count=4)
    plan = planned(asked(fast, slow, images=100, time=100, prices=tariff(slow=3)))
    assert [(g.device_class, g.count) for g in plan.groups] == [("slow", 2)]


@pytest.mark.parametrize(
    ("prices", "sentence"),
    [
        pytest.param(None, "MinCost needs prices; give them with --prices FILE", id="no prices"),
        pytest.param(tariff(other=1), "MinCost needs a price of a class of the pool, and a have none", id="of others"),
    ],
)
def test_without_a_price_least_cost_is_refused_by_its_name(prices: Tariff | None, sentence: str) -> None:
    with pytest.raises(Invalid, match=sentence):
        make_plan(problem(group(choice(10, 10)), images=10, time=100, objective="MinCost", tariff=prices))


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
