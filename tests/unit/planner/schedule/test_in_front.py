"""Soft jobs in front of Hard ones that can wait: whose windows move, and that no promise is broken by it."""

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from dueby_api.inference_job import DeadlineClass
from dueby_planner.schedule.calendar_job import CalendarJob
from dueby_planner.schedule.draft import MAX_TRIED
from dueby_planner.schedule.free_devices import CalendarPool, idle_pool
from support.calendar import again, calendar_job, online, online_sets, placement, windows

ONE = {"a": 1}


def job(name: str, deadline_class: DeadlineClass = "Hard", *, time: int, images: int = 90) -> CalendarJob:
    """A job that by default takes 100 us of one device."""
    return calendar_job(name, images=images, time=time, deadline_class=deadline_class, devices=ONE)


@pytest.mark.parametrize(
    ("hard_by", "soft_by", "soft", "hard"),
    [
        pytest.param(1000, 100, (0, 100), (100, 200), id="a Hard job that can wait does"),
        pytest.param(200, 100, (0, 100), (100, 200), id="as long as it is in time"),
        pytest.param(199, 100, (100, 200), (0, 100), id="one that can't stays, and the Soft one is late"),
        pytest.param(1000, 10, (0, 100), (100, 200), id="it waits for a Soft job that is late anyway, too"),
        pytest.param(1000, 2000, (100, 200), (0, 100), id="and for none that is due later"),
    ],
)
def test_a_soft_job_and_what_was_promised_before(
    hard_by: int, soft_by: int, soft: tuple[int, int], hard: tuple[int, int]
) -> None:
    first = online(idle_pool(ONE), job("hard", time=hard_by))
    assert windows(first, "hard") == [(0, 100, 1)]
    calendar = online(idle_pool(ONE), *again(first), job("soft", "Soft", time=soft_by))
    assert windows(calendar, "soft") == [(*soft, 1)]
    assert windows(calendar, "hard") == [(*hard, 1)]
    assert placement(calendar, "hard").is_in_time


def test_of_two_hundred_promises_those_move_that_are_in_the_way() -> None:
    month = 200 * 100 * 4
    first = online(idle_pool(ONE), *(job(f"hard-{number:03}", time=month) for number in range(200)))
    calendar = online(idle_pool(ONE), *again(first), job("soft", "Soft", time=150))
    assert windows(calendar, "soft") == [(0, 100, 1)]
    assert sum(not found.kept for found in calendar.placements) == 2
    assert all(found.is_in_time for found in calendar.placements)


def test_a_late_soft_job_goes_in_front_of_those_that_can_wait_and_behind_those_that_cannot() -> None:
    first = online(idle_pool(ONE), job("now", time=100), job("later", time=1000), job("last", time=1100))
    assert [windows(first, name)[0][:2] for name in ("now", "later", "last")] == [(0, 100), (100, 200), (200, 300)]
    calendar = online(idle_pool(ONE), *again(first), job("soft", "Soft", time=50))
    assert windows(calendar, "soft") == [(100, 200, 1)]
    assert placement(calendar, "now").kept
    assert placement(calendar, "last").kept
    assert windows(calendar, "later") == [(300, 400, 1)]


def test_more_soft_jobs_than_are_tried_in_a_pass_have_their_turn_in_the_next() -> None:
    many = [job(f"soft-{number:02}", "Soft", time=2000) for number in range(2 * MAX_TRIED + 2)]
    # In time, and then as early as possible: so many are tried each time.
    first = online(idle_pool(ONE), *(job(f"hard-{number:02}", time=9000) for number in range(40)))
    second = online(idle_pool(ONE), *again(first), *many)
    third = online(idle_pool(ONE), *again(second))
    assert [found.is_in_time for found in second.placements].count(False) == 2
    assert all(found.is_in_time for found in third.placements)


@given(online_sets(), st.integers(1, 60), st.integers(1, 300))
def test_no_promise_is_broken_for_a_soft_job(
    drawn: tuple[list[CalendarJob], CalendarPool], by: int, images: int
) -> None:
    jobs, pool = drawn
    first = online(pool, *jobs)
    promised = [
        found.job.name for found in first.placements if found.job.deadline_class == "Hard" and found.reservation
    ]
    groups = {group.device_class: group.count for group in jobs[0].problem.groups}
    soft = calendar_job("soft", images=images, time=10 * by, deadline_class="Soft", devices=groups)
    second = online(pool, *again(first), soft)
    note(f"{promised}")
    assert all(placement(second, name).is_in_time for name in promised)
