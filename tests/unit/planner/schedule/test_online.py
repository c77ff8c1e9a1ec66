"""The calendar beside running workers and beside what was given before, on drawn pools."""

from dataclasses import replace

from hypothesis import assume, given, note
from hypothesis import strategies as st

from dueby_planner.schedule.calendar import Calendar
from dueby_planner.schedule.calendar_job import CalendarJob
from dueby_planner.schedule.free_devices import CLASSES, CalendarPool, Free, Step
from support.calendar import actions, again, devices_held, online, online_sets, placement

Online = tuple[list[CalendarJob], CalendarPool]


@given(online_sets())
def test_every_calendar_fits_where_it_was_placed(drawn: Online) -> None:
    jobs, pool = drawn
    calendar = online(pool, *jobs)
    for found in calendar.placements:
        if found.kept:
            assert found.job.stored
            assert found.job.deadline_class in ("Hard", "Soft")
            assert found.is_in_time
        if found.job.deadline_class == "BestEffort":
            assert found.beside == "BestEffort"
        if found.reservation and found.job.deadline_class == "Hard":
            assert found.is_in_time


@given(online_sets())
def test_a_planner_that_starts_again_makes_the_same_calendar(drawn: Online) -> None:
    jobs, pool = drawn
    first = online(pool, *jobs)
    second = online(pool, *again(first))
    note(f"{actions(first)} {actions(second)}")
    # All Hard jobs are placed again once in a pass, so one that waits may have its turn in the next, and move others.
    if any(actions(first)[job.name] == "Hold" != actions(second)[job.name] for job in jobs):
        for job in jobs:
            if job.deadline_class == "Hard" and placement(first, job.name).reservation:
                assert placement(second, job.name).reservation
        return
    assert actions(second) == actions(first)
    for job in jobs:
        # Which windows are of one device is not stored.
        assert devices_held(second, job.name) == devices_held(first, job.name)
    assert second.left == first.left


def more_of(pool: CalendarPool, name: str) -> CalendarPool:
    """Return the pool with another device that is idle."""

    def more(free: Free) -> Free:
        return {**free, name: tuple(Step(step.from_us, step.to_us, step.free + 1) for step in free[name])}

    return replace(
        pool,
        whole=more(pool.whole),
        free={beside: more(pool.free[beside]) for beside in CLASSES},
        expected={beside: more(pool.expected[beside]) for beside in CLASSES},
    )


def refused(calendar: Calendar, name: str) -> bool:
    return placement(calendar, name).action == "Refuse"


@given(online_sets(), st.integers(1, 200))
def test_no_new_job_is_refused_because_there_is_more(drawn: Online, later_us: int) -> None:
    """Neither another device nor a later deadline makes a job impossible beside the same promises."""
    jobs, pool = drawn
    first = online(pool, *jobs)
    promised = [job for job, found in zip(again(first), first.placements, strict=True) if found.reservation]
    new = replace(jobs[0], name="new", deadline_class="Hard", stored=())
    assume(not refused(online(pool, *promised, new), "new"))
    later = replace(new, problem=replace(new.problem, time_us=new.problem.time_us + later_us))
    assert not refused(online(pool, *promised, later), "new")
    for number, found in enumerate(new.problem.pool.groups):
        groups = [*new.problem.pool.groups]
        groups[number] = replace(found, count=found.count + 1)
        problem = replace(new.problem, pool=replace(new.problem.pool, groups=tuple(groups)))
        more = more_of(pool, found.device_class)
        assert not refused(online(more, *promised, replace(new, problem=problem)), "new")
