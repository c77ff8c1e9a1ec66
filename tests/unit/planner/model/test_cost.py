"""What a plan costs: every device a second of its own, against sums that are worked out plainly."""

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_planner.model.cost import HOUR_US, Price, Tariff, cost_of
from dueby_planner.model.input_cost import GPUStep
from dueby_planner.model.offers import all_at_once, cheapest_alone
from dueby_planner.model.plan import PlanGroup
from support.planner import choice, group, planned, problem

SECOND = 10**6
PRICES = st.builds(
    Price,
    hourly=st.integers(0, 10**8),
    unit_us=st.sampled_from([SECOND, 60 * SECOND, 3600 * SECOND]),
    least_us=st.sampled_from([0, SECOND // 2, 60 * SECOND, 3600 * SECOND]),
)
GROUPS = st.builds(
    lambda name, count, free, latency, warmup, iterations: PlanGroup(
        device_class=name,
        available_us=free,
        count=count,
        choice=choice(8, latency, warmup),
        iterations=iterations,
    ),
    name=st.sampled_from("ab"),
    count=st.integers(1, 9),
    free=st.integers(0, 10 * SECOND),
    latency=st.integers(1, 5 * SECOND),
    warmup=st.integers(0, 20 * SECOND),
    iterations=st.integers(0, 2_000),
)


@given(st.lists(GROUPS, min_size=1, max_size=4), PRICES, PRICES)
def test_the_cost_is_that_of_each_device_while_it_is_held(groups: list[PlanGroup], a: Price, b: Price) -> None:
    cost = cost_of(groups, Tariff(currency="USD", prices={"a": a, "b": b}))
    assert cost is not None
    end_us = max(g.available_us + g.choice.expected_start_us + g.iterations * g.choice.latency_us for g in groups)
    expected = Fraction(0)
    for member in groups:
        price = {"a": a, "b": b}[member.device_class]
        held = Fraction(end_us - member.available_us)
        paid = max(ceil(held / price.unit_us), ceil(Fraction(price.least_us, price.unit_us))) * price.unit_us
        expected += member.count * price.hourly * Fraction(paid, HOUR_US)
    assert cost.total == ceil(expected)
    assert sum(cost.causes.values()) == cost.total
    assert min(cost.causes.values()) >= 0


def test_each_cause_is_what_its_time_costs() -> None:
    # A coin a microsecond: 3 of 10 us to start and 7 steps of 10, of which the model takes 6; another ends at 60.
    coin = Price(hourly=HOUR_US, unit_us=100)
    waits = choice(8, 10, 10, beside=GPUStep(model_us=6, core_us=10))
    groups = [
        PlanGroup(device_class="a", available_us=0, count=3, choice=waits, iterations=7),
        PlanGroup(device_class="a", available_us=5, count=1, choice=choice(8, 9, 10), iterations=5),
    ]
    cost = cost_of(groups, Tariff(currency="EUR", prices={"a": coin}))
    assert cost is not None
    assert cost.causes == {
        "start_up": 3 * 10 + 10,
        "work": 3 * 7 * 6 + 5 * 9,
        "waiting": 3 * 7 * 4,
        "idle": 80 - (5 + 10 + 45),
        "rounding": 3 * 20 + 25,
    }
    assert cost.total == 4 * 100


@pytest.mark.parametrize(
    ("held_s", "billed_s"),
    [
        pytest.param(0, 60, id="the least"),
        pytest.param(61, 61, id="beyond the least"),
        pytest.param(61.5, 62, id="a second that is begun"),
    ],
)
def test_time_is_rounded_up_to_what_is_paid_for(held_s: float, billed_s: int) -> None:
    assert Price(hourly=1, least_us=60 * SECOND).billed_us(int(held_s * SECOND)) == billed_s * SECOND


def test_a_slow_node_costs_what_its_class_costs_and_another_class_nothing_that_is_known() -> None:
    tariff = Tariff(currency="USD", prices={"a": Price(hourly=7)})
    assert tariff.price_of("a@node-1") == Price(hourly=7)
    assert tariff.price_of("b") is None
    assert tariff.unpriced(["b", "a", "c", "b"]) == ("b", "c")
    asked = problem(group(choice(10, 10), name="b"), images=10, time=100, tariff=tariff)
    assert planned(asked).cost is None


def test_beside_a_plan_is_what_a_class_alone_and_all_devices_would_cost() -> None:
    # In 100 us one `a` does 100 images for 100 coins, one `b` 50 for 30.
    coin = HOUR_US
    tariff = Tariff(
        currency="USD", prices={"a": Price(hourly=coin, unit_us=1), "b": Price(hourly=3 * coin // 10, unit_us=1)}
    )
    groups = group(choice(10, 10, 10), name="a", count=2), group(choice(5, 10, 10), name="b", count=4)
    asked = problem(*groups, images=100, time=100, tariff=tariff)
    plan = planned(asked)
    assert plan.cost is not None
    assert (plan.gpus, plan.cost.total) == (1, 100)
    alone = cheapest_alone(asked)
    assert alone is not None
    assert (alone.device_class, alone.gpus, alone.cost.total) == ("b", 2, 60)
    whole = all_at_once(asked)
    assert whole is not None
    assert (whole.gpus, whole.end_us, whole.cost.total) == (6, 30, 2 * 30 + 4 * 9)
