"""Quotas: what some jobs may hold together, whichever devices they hold."""

from collections import Counter, defaultdict
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_planner.model.verify import WrongPlan
from dueby_planner.schedule.calendar import Calendar, make_calendar
from dueby_planner.schedule.calendar_job import CalendarJob
from dueby_planner.schedule.free_devices import CLASSES, CalendarPool, idle_pool
from dueby_planner.schedule.place_job import within_limits
from dueby_planner.schedule.verify import verify_calendar
from support.calendar import actions, again, calendar_job, online, placement, quota_sets, steps, windows

FOUR = {"a": 4}


def bound(name: str, *, images: int, time: int, cost: int = 1, **changes: Any) -> CalendarJob:
    """Return a job on up to four devices, each of which costs so many units of the quota `q`."""
    job = calendar_job(name, images=images, time=time, devices=FOUR, **changes)
    return replace(job, limits={"q": {"a": cost}})


def with_quota(units: int) -> CalendarPool:
    """Return four idle devices, and so many units of the quota `q`."""
    return idle_pool({**FOUR, "q": units})


def held(calendar: Calendar, quota: str) -> dict[int, int]:
    """Return how many units of the quota new reservations hold, by the times at which that changes."""
    changes: defaultdict[int, int] = defaultdict(int)
    for found in calendar.placements:
        for lane in found.reservation:
            units = found.job.limits.get(quota, {}).get(lane.group, 0) * lane.count
            for window in lane.windows:
                changes[window.from_us] += units
                changes[window.to_us] -= units
    there, total = {}, 0
    for at_us in sorted(changes):
        total += changes[at_us]
        there[at_us] = total
    return there


@given(quota_sets())
def test_no_quota_is_ever_exceeded(drawn: tuple[list[CalendarJob], CalendarPool]) -> None:
    jobs, pool = drawn
    calendar = make_calendar(jobs, pool)
    verify_calendar(calendar)
    verify_calendar(make_calendar(again(calendar), pool))
    # Counted once more here, where nothing gives way and nothing was there before.
    counts = {name: there[0].free for name, there in pool.whole.items()}
    new = make_calendar([replace(job, stored=()) for job in jobs], idle_pool(counts))
    verify_calendar(new)
    for quota in {quota for job in jobs for quota in job.limits}:
        assert max(held(new, quota).values(), default=0) <= pool.whole[quota][0].free


@given(quota_sets())
def test_a_quota_with_room_for_every_device_changes_nothing(drawn: tuple[list[CalendarJob], CalendarPool]) -> None:
    jobs, pool = drawn
    free = [replace(job, limits={}) for job in jobs]
    most = sum(there[0].free for there in pool.whole.values())
    tables = {beside: {**pool.free[beside], "q": steps((0, most))} for beside in CLASSES}
    expected = {beside: {**pool.expected[beside], "q": steps((0, most))} for beside in CLASSES}
    bound_all = [replace(job, limits={"q": {"a": 1, "b": 1}}) for job in free]
    calendar = make_calendar(bound_all, replace(pool, free=tables, expected=expected))
    assert [found.reservation for found in calendar.placements] == [
        found.reservation for found in make_calendar(free, pool).placements
    ]


@given(images=st.integers(1, 400), time=st.integers(1, 300), units=st.integers(0, 9), cost=st.integers(1, 3))
def test_a_job_is_promised_exactly_if_it_fits_alone_into_its_quota(
    images: int, time: int, units: int, cost: int
) -> None:
    job = bound("job", images=images, time=time, cost=cost)
    fewest = job.problem.fewest()
    fits = fewest is not None and fewest * cost <= units
    calendar = online(with_quota(units), job)
    assert bool(placement(calendar, "job").reservation) == fits


@given(images=st.integers(1, 400), time=st.integers(1, 300), units=st.integers(0, 9), more=st.integers(1, 4))
def test_a_larger_quota_refuses_no_job_that_is_alone(images: int, time: int, units: int, more: int) -> None:
    job = bound("job", images=images, time=time, cost=2)
    small, large = online(with_quota(units), job), online(with_quota(units + more), job)
    assert bool(placement(small, "job").reservation) <= bool(placement(large, "job").reservation)


def test_two_jobs_that_fit_into_their_quota_one_after_the_other_are_both_promised() -> None:
    first, second = bound("first", images=90, time=100), bound("second", images=90, time=200)
    calendar = online(with_quota(1), second, first)
    assert actions(calendar) == {"first": "Start", "second": "Reserve"}
    assert windows(calendar, "second") == [(100, 200, 1)]
    assert actions(online(with_quota(2), second, first)) == {"first": "Start", "second": "Start"}


def test_a_job_outside_of_the_quota_has_what_the_quota_leaves_idle() -> None:
    inside = bound("inside", images=90, time=100)
    outside = calendar_job("outside", images=270, time=100, devices=FOUR)
    calendar = online(with_quota(1), inside, outside)
    assert actions(calendar) == {"inside": "Start", "outside": "Start"}
    assert sum(count for *_, count in windows(calendar, "outside")) == 3


def test_what_others_use_of_the_quota_is_waited_for() -> None:
    idle = with_quota(2)
    tables = {beside: {"a": steps((0, 4)), "q": steps((0, 0), (50, 2))} for beside in CLASSES}
    calendar = online(replace(idle, free=tables, expected=tables), bound("job", images=90, time=150))
    assert windows(calendar, "job") == [(50, 150, 1)]


def test_a_quota_of_several_classes_goes_to_those_that_do_most_for_it() -> None:
    job = calendar_job("job", images=90, time=100, devices={"a": 3, "b": 3})
    job = replace(job, limits={"cores": {"a": 4, "b": 1}})
    free = {"a": steps((0, 3)), "b": steps((0, 2)), "cores": steps((0, 9), (50, 1))}
    assert within_limits(job, free) == {"a": steps((0, 1), (50, 0)), "b": steps((0, 2), (50, 1))}


def test_what_was_reserved_is_kept_while_the_quota_is_there_as_expected() -> None:
    job = bound("job", images=180, time=100)
    stored = again(online(with_quota(2), job))
    assert placement(online(with_quota(2), *stored), "job").kept
    assert not placement(online(with_quota(1), *stored), "job").kept


def test_the_check_notices_a_quota_that_is_exceeded() -> None:
    right = online(with_quota(2), bound("one", images=90, time=100), bound("two", images=90, time=100))
    assert Counter(actions(right).values()) == {"Start": 2}
    with pytest.raises(WrongPlan, match="has 1 x q, and 2 are held at 0 us"):
        verify_calendar(replace(right, pool=with_quota(1)))


def test_a_job_is_not_told_to_add_devices_to_a_quota() -> None:
    first, second = bound("first", images=90, time=100), bound("second", images=90, time=150)
    advice = online(with_quota(1), first, second).advice("second")
    assert (advice.earliest_us, advice.more_devices) == (200, {})
