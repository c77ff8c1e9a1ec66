"""What a job can pay for of what it may use, and of what begins now."""

import pytest

from dueby_api.plan import CostByCause
from dueby_api.prices import Money
from dueby_planner.model.cost import HOUR_US, CostLimit, Price, Tariff
from dueby_planner.schedule.calendar_job import CalendarJob
from dueby_planner.schedule.request import Refuse, Start, WorkDecision
from dueby_planner.schedule.within_cost import affords_start, within_cost
from support.operator import model, plan_status
from support.planner import choice, group, problem

SECOND = 1_000_000
# In a second after its first, a fast device does 100 images and a slow one 10; both start in ten.
FAST = group(choice(10, SECOND // 10, 10 * SECOND), name="fast", count=4)
SLOW = group(choice(10, SECOND, 10 * SECOND), name="slow", count=40)
TARIFF = Tariff(
    currency="USD",
    prices={"fast": Price(hourly=30 * HOUR_US, unit_us=1), "slow": Price(hourly=HOUR_US, unit_us=1)},
)


def limit_of(max_cost: int) -> CostLimit:
    """Return a limit of so many units."""
    return CostLimit(most=Money(max_cost * SECOND, "USD"))


# One fast device does it for about 750 units; eight slow ones for about 230.
@pytest.mark.parametrize(
    ("max_cost", "goes_on", "counts"),
    [
        pytest.param(1_000, False, (4, 40), id="all devices, if the fewest are within the limit"),
        pytest.param(500, False, (0, 8), id="those of its cheapest plan, if only that is"),
        pytest.param(200, False, None, id="refused, if that costs too much, too"),
        pytest.param(200, True, (4, 40), id="one that goes on isn't refused"),
    ],
)
def test_a_new_job_is_placed_on_what_it_can_pay_for(
    max_cost: int, goes_on: bool, counts: tuple[int, int] | None
) -> None:
    limit = limit_of(max_cost)
    asked = problem(FAST, SLOW, images=1_500, time=30 * SECOND, tariff=TARIFF, cost_limit=limit)
    wanted = CalendarJob(name="job", deadline_class="Hard", problem=asked, goes_on=goes_on)
    place = within_cost(wanted, model(tariff=TARIFF, max_cost=limit), str)
    if counts is None:
        assert isinstance(place, Refuse)
    else:
        assert isinstance(place, CalendarJob)
        assert tuple(group.count for group in place.problem.pool.groups) == counts


@pytest.mark.parametrize(
    ("total", "max_cost", "revision", "is_affordable"),
    [
        pytest.param(10.0, 10, 0, True, id="no more than the limit"),
        pytest.param(10.1, 10, 0, False, id="more than the limit"),
        pytest.param(None, 10, 0, False, id="no price is known"),
        pytest.param(10.1, None, 0, True, id="no limit"),
        pytest.param(10.1, 10, 1, True, id="a job that has started was judged with its workers"),
    ],
)
def test_windows_begin_only_if_a_new_job_can_pay_for_them(
    total: float | None, max_cost: int | None, revision: int, is_affordable: bool
) -> None:
    cost = total and CostByCause(currency="USD", total=total, start_up=0, work=total, waiting=0, idle=0, rounding=0)
    windows = plan_status("2026-12-02T12:00:00Z", cost=cost)
    start = Start(assignments=(), part_size=16, reason="Started", by_windows=windows)
    job = model(revision=revision, max_cost=None if max_cost is None else limit_of(max_cost))
    assert affords_start(job, WorkDecision(action=start)) == is_affordable
