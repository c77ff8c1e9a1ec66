"""Relaxed and BestEffort jobs: beside whom they run, and when a Relaxed job can't wait any longer."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dueby_api.inference_job import DeadlineClass
from dueby_planner.schedule.calendar_job import CalendarJob, Placement
from dueby_planner.schedule.free_devices import CLASSES, CalendarPool, idle_pool
from dueby_planner.schedule.place import suffices
from dueby_planner.schedule.place_job import earliest_us
from dueby_planner.schedule.reservation import devices_at_most, ends_us
from support.calendar import actions, always, calendar_job, changes, online, placement, steps, windows

GIVES_WAY: dict[DeadlineClass, tuple[DeadlineClass, ...]] = {
    "Soft": ("Hard",),
    "Relaxed": ("Hard", "Soft"),
    "BestEffort": ("Hard", "Soft", "Relaxed"),
}


@given(images=st.integers(1, 10**9), time=st.integers(-5, 10**9), taken=st.lists(st.integers(0, 10**9), max_size=5))
def test_a_late_job_has_the_fewest_devices_that_end_little_later_than_all_would(
    images: int, time: int, taken: list[int]
) -> None:
    # Each comes free at its own time.
    free = {"a": changes([0, *sorted(set(taken))], range(1, 2 + len(set(taken))))}
    tables = dict.fromkeys(CLASSES, free)
    pool = CalendarPool(whole=always({"a": 6}), free=tables, expected=tables)
    late = calendar_job("late", images=images, time=time, deadline_class="Soft", devices={"a": 6})
    found = placement(online(pool, late), "late")
    assume(not found.is_in_time)
    soonest_us = earliest_us(late.problem, free)
    assert soonest_us is not None
    assert soonest_us <= ends_us(found.reservation) <= soonest_us * 1.1
    devices = devices_at_most(found.reservation)
    if devices > 1:
        fewer = replace(late.problem, max_gpus=devices - 1)
        assert not suffices(fewer, free, int(soonest_us * 1.09))


def busy(by: DeadlineClass) -> CalendarPool:
    """One device with a worker of the class, for 300 us."""
    free = {
        beside: {"a": steps((0, 1)) if beside in GIVES_WAY[by] else steps((0, 0), (300, 1))}
        for beside in idle_pool({}).free
    }
    return CalendarPool(whole=always({"a": 1}), free=free, expected=free)


def job(deadline_class: DeadlineClass, *, time: int) -> CalendarJob:
    """Ninety images, which take 100 us; 40 us are two starts."""
    return calendar_job("job", images=90, time=time, deadline_class=deadline_class, devices={"a": 1})


def placed(pool: CalendarPool, asked: CalendarJob) -> Placement:
    return placement(online(pool, asked), "job")


@pytest.mark.parametrize(("time", "is_urgent"), [(140, False), (139, True), (100, True), (99, True), (-1, True)])
def test_a_relaxed_job_is_urgent_if_it_can_not_wait_for_two_starts(time: int, is_urgent: bool) -> None:
    found = placed(idle_pool({"a": 1}), job("Relaxed", time=time))
    assert (found.is_urgent, found.is_in_time) == (is_urgent, time >= 100)
    assert found.action == ("Start" if time >= 100 else "StartLate")


def test_a_relaxed_job_that_is_late_anyway_makes_no_other_one_late() -> None:
    first, second = (replace(job("Relaxed", time=time), name=name) for name, time in (("first", 50), ("second", 110)))
    calendar = online(idle_pool({"a": 1}), first, second)
    assert actions(calendar) == {"first": "StartLate", "second": "Start"}
    assert windows(calendar, "first") == [(100, 200, 1)]


@pytest.mark.parametrize(
    ("by", "time", "expected"),
    [
        pytest.param("BestEffort", 200, ("Start", "Relaxed", False), id="BestEffort workers give way"),
        pytest.param("BestEffort", 500, ("Reserve", "BestEffort", False), id="but only if they must"),
        pytest.param("Relaxed", 200, ("Start", "Soft", True), id="Relaxed ones give way to an urgent one"),
        pytest.param("Relaxed", 440, ("Reserve", "BestEffort", False), id="and not to one that can wait"),
        pytest.param("Soft", 200, ("StartLate", "Soft", True), id="Soft ones don't"),
    ],
)
def test_who_gives_way_to_a_relaxed_job(by: DeadlineClass, time: int, expected: tuple[str, str, bool]) -> None:
    found = placed(busy(by), job("Relaxed", time=time))
    assert (found.action, found.beside, found.is_urgent) == expected


@pytest.mark.parametrize("by", GIVES_WAY)
def test_nobody_gives_way_to_a_best_effort_job(by: DeadlineClass) -> None:
    assert placed(busy(by), job("BestEffort", time=10**6)).action == "Wait"
