"""What becomes of a job that its namespace's budget has too little left for."""

from collections.abc import Mapping
from typing import Any

import pytest

from dueby_api.conditions import Reason
from dueby_api.prices import Money
from dueby_api.status import WindowStatus
from dueby_api.units import format_exact_time
from dueby_planner.deadline_classes import Verdict
from dueby_planner.model.budget import Account, Expense, Use
from dueby_planner.model.cost import CostLimit
from dueby_planner.model.max_cost import OverCost
from dueby_planner.schedule.job import ScheduledJob
from dueby_planner.schedule.request import Refuse, Wait
from dueby_planner.schedule.within_budget import over_budget, told_of_budget, with_room
from support.operator import NOW, SECOND, model, spec
from support.planner import choice, group, problem

# 100 EUR, of which a job that ended just now has used 60.
ACCOUNTS = {
    "team": Account(
        namespace="team",
        entry="team",
        window="1h",
        window_us=3600 * SECOND,
        money=Money(100 * SECOND, "EUR"),
        past=(Expense(Use(60 * SECOND), NOW),),
    )
}


@pytest.mark.parametrize("deadline_class", ["Hard", "Soft", "Relaxed", "BestEffort"])
@pytest.mark.parametrize(
    ("asked", "facts", "refused"),
    [
        pytest.param(50, {}, ("Hard",), id="enough after a while: who can wait does"),
        pytest.param(101, {}, ("Hard", "Soft", "Relaxed", "BestEffort"), id="more than the whole"),
        pytest.param(101, {"had_workers": True}, (), id="a job that goes on is never refused"),
    ],
)
def test_who_is_refused_and_who_waits(
    asked: int, facts: Mapping[str, Any], refused: tuple[str, ...], deadline_class: str
) -> None:
    job = with_room(model(key=("team", "j"), spec=spec(deadlineClass=deadline_class), **facts), ACCOUNTS)
    assert job.room
    work = over_budget(job, job.room, Use(asked * SECOND))
    assert isinstance(work.action, Refuse if deadline_class in refused else Wait)
    if isinstance(work.action, Refuse):
        assert work.action.reason == Reason.OVER_BUDGET
    assert work.is_over_cost == isinstance(work.action, Wait)


def over(job: ScheduledJob, least: int) -> Refuse:
    """Return the refusal of a job whose cheapest plan costs so much, by the limit that is the narrower one."""
    assert job.cost_limit
    asked = problem(group(choice(16, SECOND)), images=100, time=20 * SECOND, cost_limit=job.cost_limit)
    least *= SECOND
    infeasible = OverCost(problem=asked, proof="", limit=job.cost_limit, least=least, bound=least)
    return Refuse(verdict=Verdict(action="Refuse", infeasible=infeasible))


@pytest.mark.parametrize(
    ("max_cost", "expected"),
    [
        pytest.param(None, "OverBudget", id="the budget's"),
        pytest.param(70, "OverBudget", id="the budget's, which is less than its own limit"),
        pytest.param(30, "OverMaxCost", id="its own, which is less than what the budget has left"),
    ],
)
def test_a_refusal_names_the_limit_that_is_less(max_cost: int | None, expected: str) -> None:
    limit = None if max_cost is None else CostLimit(most=Money(max_cost * SECOND, "EUR"))
    job = with_room(model(key=("team", "j"), spec=spec(deadlineClass="Hard"), max_cost=limit), ACCOUNTS)
    refuse = over(job, 50)
    work = told_of_budget(job, refuse)
    assert isinstance(work.action, Refuse)
    if expected == "OverMaxCost":
        assert work.action == refuse
    else:
        assert work.action.reason == Reason.OVER_BUDGET
        assert work.action.sentence.startswith("The cheapest devices that do 100 images in 20s")
        assert "of which 40.00 EUR are left. Enough of it is free at 23:13:22 UTC" in work.action.sentence


@pytest.mark.parametrize(
    ("facts", "is_judged"),
    [
        pytest.param({}, False, id="what is promised to a job is not judged again"),
        pytest.param({"news": "Edited"}, True, id="unless it was edited"),
        pytest.param({"revision": 1}, True, id="more workers of one that has begun are"),
        pytest.param({"key": ("other", "j"), "windows": ()}, False, id="another namespace's job"),
        pytest.param({"windows": ()}, True, id="a job to which nothing is promised"),
    ],
)
def test_whose_use_is_judged(facts: Mapping[str, Any], is_judged: bool) -> None:
    promised = WindowStatus(
        device_class="cpu-1",
        engine="eager",
        from_time=format_exact_time(NOW + 5 * SECOND),
        to_time=format_exact_time(NOW + 10 * SECOND),
        count=1,
        mini_batch_size=16,
        images=100,
    )
    job = model(**{"key": ("team", "j"), "windows": (promised,), **facts})
    assert (with_room(job, ACCOUNTS).room is not None) == is_judged
