"""A job's limit of money: the plan that keeps to it, the refusal with what would do, and what can't be judged."""

from dataclasses import replace
from typing import Any

import pytest

from dueby_api.errors import Invalid
from dueby_api.inference_job import DeadlineClass
from dueby_api.prices import Money
from dueby_planner.answer import alternatives_sentence
from dueby_planner.deadline_classes import Verdict, judge
from dueby_planner.model.cost import HOUR_US, CostLimit, Price, Tariff
from dueby_planner.model.max_cost import OverCost
from dueby_planner.model.problem import Problem
from support.planner import choice, group, problem

SECOND = 1_000_000
# A price of a millionth in each microsecond.
COIN = HOUR_US
# In a second after its first, a fast device does 100 images and a slow one 10; both start in ten.
FAST = group(choice(10, SECOND // 10, 10 * SECOND), name="fast", count=4)
SLOW = group(choice(10, SECOND, 10 * SECOND), name="slow", count=40)
PRICES = Tariff(
    currency="USD",
    prices={"fast": Price(hourly=30 * COIN, unit_us=1), "slow": Price(hourly=COIN, unit_us=1)},
)


def asked(max_cost: int | None, *, time_s: int = 30, spent: int = 0, **changes: Any) -> Problem:
    """Return a problem of 1,500 images that may cost so many units."""
    limit = None if max_cost is None else CostLimit(most=Money(max_cost * SECOND, "USD"), spent=spent * SECOND)
    fields: dict[str, Any] = {"images": 1_500, "time": time_s * SECOND, "tariff": PRICES, "cost_limit": limit} | changes
    return problem(FAST, SLOW, **fields)


def classes(verdict: Verdict) -> set[str]:
    """Return the classes of a verdict's plan."""
    return {planned.device_class for planned in verdict.plan.groups} if verdict.plan else set()


def over(verdict: Verdict) -> OverCost:
    """Return why a verdict is a refusal for money."""
    assert verdict.action == "Refuse"
    assert verdict.plan is None
    assert isinstance(verdict.infeasible, OverCost)
    return verdict.infeasible


# One fast device does it within 25 s, for about 750 units; eight slow ones within 30 s, for about 230.
@pytest.mark.parametrize(
    ("max_cost", "planned", "warnings"),
    [
        pytest.param(None, {"fast"}, 0, id="without a limit: the fewest devices"),
        pytest.param(1_000, {"fast"}, 0, id="within the limit: the fewest devices"),
        pytest.param(500, {"slow"}, 1, id="over it: the cheapest, with a word on it"),
    ],
)
def test_the_fewest_devices_give_way_to_the_cheapest_if_they_cost_too_much(
    max_cost: int | None, planned: set[str], warnings: int
) -> None:
    verdict = judge(asked(max_cost), "Hard")
    assert verdict.action == "Start"
    assert classes(verdict) == planned
    assert verdict.plan
    replaced = [said for said in verdict.plan.warnings if "more than spec.maxCost allows" in said]
    assert len(replaced) == warnings


@pytest.mark.parametrize("deadline_class", ["Hard", "Soft", "Relaxed", "BestEffort"])
def test_every_class_is_refused_if_even_the_cheapest_devices_cost_too_much(deadline_class: DeadlineClass) -> None:
    least = judge(asked(500), "Hard").plan
    assert least
    assert least.cost
    refused = over(judge(asked(200), deadline_class))
    assert refused.least == refused.bound == least.cost.total
    assert not refused.is_late


def test_what_is_said_to_be_affordable_is_and_a_little_less_is_not() -> None:
    refused = over(judge(asked(200), "Hard"))
    later_us, fewer = refused.alternatives.earliest_us, refused.alternatives.largest_images
    assert later_us is not None
    assert judge(replace(asked(200), time_us=later_us), "Hard").action == "Start"
    assert judge(replace(asked(200), time_us=later_us - SECOND), "Hard").action == "Refuse"
    assert judge(asked(200, images=fewer), "Hard").action == "Start"
    assert judge(asked(200, images=fewer + 1), "Hard").action == "Refuse"
    sufficient = CostLimit(most=Money(refused.least, "USD"))
    assert judge(replace(asked(200), cost_limit=sufficient), "Hard").action == "Start"


def test_below_the_least_cost_of_all_no_deadline_is_affordable() -> None:
    refused = over(judge(asked(100), "Hard"))
    assert refused.alternatives.earliest_us is None
    assert "no later deadline is affordable" in alternatives_sentence(refused)


def test_what_is_spent_counts() -> None:
    assert judge(asked(1_000, spent=300), "Hard").action == "Start"
    refused = over(judge(asked(1_000, spent=900), "Hard"))
    assert "of which 900.00 USD are spent" in alternatives_sentence(refused)
    enough = (refused.least + 900 * SECOND) / SECOND
    assert f"raise spec.maxCost to {enough:.2f} USD" in alternatives_sentence(refused)


@pytest.mark.parametrize(
    ("max_cost", "action"),
    [
        pytest.param(10_000, "StartLate", id="within the limit it starts late"),
        pytest.param(900, "Refuse", id="over it, nothing starts"),
    ],
)
def test_a_job_that_cannot_be_in_time_starts_late_only_within_its_limit(max_cost: int, action: str) -> None:
    assert judge(asked(10_000, time_s=11), "Hard").action == "Refuse"
    verdict = judge(asked(max_cost, time_s=11), "Soft")
    assert verdict.action == action
    if action == "Refuse":
        refused = over(verdict)
        assert refused.is_late
        assert alternatives_sentence(refused).startswith("The deadline can't be met. The cheapest devices that end as")


def test_a_late_plan_over_its_limit_gives_way_to_a_cheaper_one_that_ends_by_then() -> None:
    # Two of either class end at the same time.
    dear, cheap = (group(choice(10, SECOND, 10 * SECOND), name=name, count=2) for name in ("fast", "slow"))
    late = problem(
        dear, cheap, images=20, time=SECOND, tariff=PRICES, cost_limit=CostLimit(most=Money(100 * SECOND, "USD"))
    )
    verdict = judge(late, "Soft")
    assert verdict.action == "StartLate"
    assert classes(verdict) == {"slow"}
    assert verdict.plan
    assert not verdict.plan.is_in_time


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param({"tariff": None}, "needs prices", id="no prices"),
        pytest.param(
            {"tariff": replace(PRICES, currency="EUR")}, "is in USD, and the prices are in EUR", id="another currency"
        ),
        pytest.param(
            {"tariff": Tariff(currency="USD", prices={"slow": Price(hourly=1)})},
            "fast has none",
            id="a class without one",
        ),
    ],
)
def test_what_cannot_be_judged_is_refused_with_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Invalid, match=sentence) as error:
        judge(asked(500, **changes), "Soft")
    assert error.value.field == "spec.maxCost"
