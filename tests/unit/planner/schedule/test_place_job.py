"""Jobs whose workers can't be stopped: each device is theirs until they are done."""

from dataclasses import replace
from typing import Any

import pytest

from dueby_api.inference_job import DeadlineClass
from dueby_api.status import MAX_WINDOWS
from dueby_planner.model.verify import WrongPlan
from dueby_planner.schedule.calendar import make_calendar
from dueby_planner.schedule.calendar_job import CalendarJob
from dueby_planner.schedule.free_devices import CLASSES, CalendarPool, idle_pool
from dueby_planner.schedule.reservation import devices_at_most, windows_stored
from dueby_planner.schedule.verify import verify_calendar
from support.calendar import actions, again, calendar_job, online, placement, steps, windows


def staying(name: str, *, images: int, time: int, **changes: Any) -> CalendarJob:
    """Return a job on up to two devices whose workers can't be stopped."""
    return replace(calendar_job(name, images=images, time=time, **changes), stays=True)


def one_device(*free: tuple[int, int]) -> CalendarPool:
    """Return a device that is free at these times."""
    table = {beside: {"a": steps(*free)} for beside in CLASSES}
    return replace(idle_pool({"a": 1}), free=table, expected=table)


def test_a_job_that_cannot_be_stopped_begins_when_nobody_comes_for_its_device_any_more() -> None:
    pool = one_device((0, 1), (60, 0), (100, 1))
    assert windows(online(pool, staying("job", images=150, time=260)), "job") == [(100, 260, 1)]
    too_early = staying("job", images=150, time=250)
    assert actions(online(pool, too_early)) == {"job": "Hold"}
    assert actions(online(pool, replace(too_early, stays=False))) == {"job": "Start"}


MANY = 400


def coming_free(apart_us: int) -> CalendarPool:
    """Return devices that come free one after the other."""
    table = {beside: {"a": steps(*((apart_us * number, number) for number in range(MANY + 1)))} for beside in CLASSES}
    return replace(idle_pool({"a": MANY}), free=table, expected=table)


def large(time_us: int, deadline_class: DeadlineClass = "Hard") -> CalendarJob:
    """Return a job that all of the devices together do in 2.5 s."""
    return calendar_job("job", images=10**9, time=time_us, deadline_class=deadline_class, devices={"a": MANY})


def test_a_job_has_no_more_windows_than_its_status_can_keep() -> None:
    pool = coming_free(3_000)
    calendar = online(pool, large(3_800_000))
    found = placement(calendar, "job")
    assert found.action == "Reserve"
    assert windows_stored(found.reservation) <= MAX_WINDOWS < devices_at_most(found.reservation)
    assert placement(online(pool, *again(calendar)), "job").kept


@pytest.mark.parametrize(("kind", "action"), [("Hard", "Hold"), ("Soft", "Reserve")])
def test_one_that_would_need_more_is_promised_nothing(kind: DeadlineClass, action: str) -> None:
    # Each device is needed from the moment on at which it comes free.
    assert actions(online(coming_free(1_000), large(3_450_000, kind))) == {"job": action}


@pytest.mark.parametrize(("gap", "is_placed"), [(130, True), (129, False)])
def test_it_begins_before_others_if_it_is_done_by_then(gap: int, is_placed: bool) -> None:
    calendar = online(one_device((0, 1), (gap, 0), (290, 1)), staying("job", images=120, time=300))
    assert bool(placement(calendar, "job").reservation) == is_placed


def test_the_device_that_could_be_given_back_is_its_own_until_the_end_too() -> None:
    pool, job = idle_pool({"a": 2}), staying("job", images=140, time=100)
    assert windows(online(pool, replace(job, stays=False)), "job") == [(0, 60, 1), (0, 100, 1)]
    calendar = online(pool, job, calendar_job("other", images=10, time=200))
    assert windows(calendar, "job") == [(0, 100, 1), (0, 100, 1)]
    assert windows(calendar, "other") == [(100, 120, 1)]


def test_a_late_one_ends_before_somebody_comes_if_it_can() -> None:
    job = staying("job", images=120, time=50, deadline_class="Soft")
    assert windows(online(one_device((0, 1), (140, 0), (150, 1)), job), "job") == [(0, 130, 1)]
    assert windows(online(one_device((0, 1), (120, 0), (150, 1)), job), "job") == [(150, 280, 1)]


def test_a_best_effort_one_does_not_begin_on_a_device_that_is_reserved_before_its_end() -> None:
    hard = calendar_job("hard", images=90, time=220, devices={"a": 1})
    stored = again(online(one_device((0, 0), (120, 1)), hard))
    long, short = (staying("job", images=images, time=50, deadline_class="BestEffort") for images in (120, 90))
    pool = one_device((0, 1))
    assert actions(online(pool, *stored, long)) == {"hard": "Reserve", "job": "Wait"}
    assert actions(online(pool, *stored, short)) == {"hard": "Reserve", "job": "Start"}


@pytest.mark.parametrize(
    ("free", "earliest_us"),
    [
        pytest.param([(0, 1), (140, 0), (150, 1)], 130, id="before somebody comes"),
        pytest.param([(0, 1), (140, 0)], 130, id="before the device is gone permanently"),
        pytest.param([(0, 1), (120, 0), (150, 1)], 280, id="after somebody has left"),
        pytest.param([(0, 1), (120, 0)], None, id="never"),
    ],
)
def test_the_earliest_deadline_is_the_one_by_which_it_has_a_place(
    free: list[tuple[int, int]], earliest_us: int | None
) -> None:
    pool, job = one_device(*free), staying("job", images=120, time=50)
    assert online(pool, job).advice("job").earliest_us == earliest_us
    if earliest_us is not None:
        for time_us in (earliest_us - 1, earliest_us):
            later = replace(job, problem=replace(job.problem, time_us=time_us))
            assert bool(placement(online(pool, later), "job").reservation) == (time_us == earliest_us)


def test_windows_that_end_one_after_the_other_are_not_kept() -> None:
    job = replace(staying("job", images=140, time=100), stays=False)
    stored = [replace(each, stays=True) for each in again(online(idle_pool({"a": 2}), job))]
    assert not placement(online(idle_pool({"a": 2}), *stored), "job").kept


def test_the_check_notices_a_job_that_would_have_to_be_stopped() -> None:
    job = replace(staying("job", images=140, time=100), stays=False)
    right = make_calendar([job], idle_pool({"a": 2}))
    (found,) = right.placements
    wrong = replace(right, placements=(replace(found, job=replace(job, stays=True)),))
    with pytest.raises(WrongPlan, match="job would have to be stopped before it is done"):
        verify_calendar(wrong)
