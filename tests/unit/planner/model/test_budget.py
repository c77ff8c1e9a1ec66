"""What is left of a budget beside other jobs, and when it is enough."""

import pytest

from dueby_api.prices import Money
from dueby_planner.model.budget import Account, Expense, Room, Use

SECOND = 1_000_000
HOUR = 3600 * SECOND
WINDOW = 10 * HOUR
NOW = 1_800_000_000 * SECOND


def used(money: int, *, hours: int = 0, ended_h: int) -> Expense:
    """Return what a job used that ended so many hours from now, or hours ago."""
    return Expense(Use(money * SECOND, hours * HOUR), NOW + ended_h * HOUR)


def account(*past: Expense, money: int | None = 100, hours: int | None = None, **current: Expense) -> Account:
    """Return a budget of 100 EUR, unless it is another one."""
    return Account(
        namespace="team",
        entry="*",
        window="10h",
        window_us=WINDOW,
        money=None if money is None else Money(money * SECOND, "EUR"),
        device_us=None if hours is None else hours * HOUR,
        past=past,
        current=current,
    )


@pytest.mark.parametrize(
    ("budget", "asked", "enough_h"),
    [
        pytest.param(account(), Use(100 * SECOND), 0, id="all of it, now"),
        pytest.param(account(), Use(100 * SECOND + 1), None, id="a millionth more, never"),
        pytest.param(account(used(60, ended_h=-1)), Use(40 * SECOND), 0, id="what the others leave, now"),
        pytest.param(account(used(60, ended_h=-1)), Use(41 * SECOND), 9, id="more, a window after the other's end"),
        pytest.param(
            account(used(30, ended_h=-7), used(30, ended_h=-4), used(30, ended_h=-1)),
            Use(60 * SECOND),
            6,
            id="as soon as enough of the others have left the window",
        ),
        pytest.param(account(slow=used(60, ended_h=2)), Use(60 * SECOND), 12, id="a running job's by its expected end"),
        pytest.param(account(own=used(90, ended_h=2)), Use(95 * SECOND), 0, id="beside what the job itself has"),
        pytest.param(account(), Use(None), None, id="nothing of unknown cost"),
        pytest.param(account(money=None, hours=5), Use(None, 5 * HOUR), 0, id="unless only device time counts"),
        pytest.param(account(used(0, hours=3, ended_h=-2), money=None, hours=5), Use(0, 3 * HOUR), 8, id="device time"),
        pytest.param(
            account(used(90, ended_h=-5), used(0, hours=3, ended_h=-2), hours=5),
            Use(50 * SECOND, 3 * HOUR),
            8,
            id="both have to be enough",
        ),
    ],
)
def test_when_a_budget_is_enough(budget: Account, asked: Use, enough_h: int | None) -> None:
    room = Room(account=budget, name="own", now_us=NOW)
    enough_us = room.enough_us(asked)
    assert enough_us == (enough_h if not enough_h else NOW + enough_h * HOUR)
    assert room.allows(asked) == (enough_h == 0)


def test_a_job_is_told_what_it_would_use_what_is_left_and_when_it_is_enough() -> None:
    budget = account(used(60, hours=4, ended_h=-1), hours=5)
    room = Room(account=budget, name="own", spent=Use(SECOND), now_us=NOW)
    assert room.sentence(Use(49 * SECOND, 2 * HOUR)) == (
        "The job is expected to cost 50.00 EUR; the budget of the namespace team (budgets.*.cost) is 100.00 EUR "
        "in 10h, of which 40.00 EUR are left. The job is expected to take 2.00 device-hours; the budget of the "
        "namespace team (budgets.*.deviceHours) is 5.00 device-hours in 10h, of which 1.00 device-hours are left. "
        "Enough of it is free at 17:00:00 UTC, if no other job takes it until then."
    )
    limit = room.cost_limit
    assert limit
    assert (limit.most, limit.spent, limit.origin) == (Money(40 * SECOND, "EUR"), SECOND, "budgets.*.cost")


def test_what_is_begun_is_counted_for_the_jobs_after_it() -> None:
    budget = account().with_expense("first", used(60, ended_h=1))
    assert not budget.allows("second", Use(41 * SECOND))
    assert budget.with_expense("first", used(50, ended_h=1)).allows("second", Use(41 * SECOND))
