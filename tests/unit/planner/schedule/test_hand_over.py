"""Running Hard jobs hand devices over to a new one, if they are in time all the same."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from dueby_planner.schedule.calendar import Calendar
from dueby_planner.schedule.calendar_job import CalendarJob
from dueby_planner.schedule.draft import HandingOver
from dueby_planner.schedule.free_devices import CalendarPool, FreeDevices
from dueby_planner.schedule.hand_over import RunningJob
from support.calendar import actions, always, calendar_job, devices_held, online, steps, windows
from support.handing_over import DEVICES, hard_job, pool_beside, running_job


def placed(new: CalendarJob, *running: RunningJob) -> Calendar:
    return online(pool_beside(*running), new, running=running)


def test_a_worker_of_the_later_job_is_stopped_and_what_it_would_have_done_is_placed() -> None:
    long = running_job("long", images=2000, time=1000, ends=[500] * 4)
    calendar = placed(hard_job("new", images=90, time=200), long)
    assert calendar.handing_over == {"long": ("w3",)}
    assert actions(calendar)["new"] == "Reserve"
    assert windows(calendar, "new") == [(5, 105, 1)]
    # Three go on until the deadline if they must; nothing of it is left to be placed.
    assert actions(calendar).keys() == {"new"}


def test_what_the_workers_that_stay_can_not_do_is_placed_by_the_deadline() -> None:
    long = running_job("long", images=2000, time=600, ends=[500] * 4)
    calendar = placed(hard_job("new", images=90, time=200), long)
    assert calendar.handing_over == {"long": ("w3",)}
    ((begins_us, ends_us, count),) = windows(calendar, "long")
    assert (begins_us >= 105, ends_us <= 600, count) == (True, True, 1)
    assert ends_us - begins_us >= 2000 - 3 * 600


def test_each_worker_that_stays_may_lose_a_part() -> None:
    """Three of them could do what is left and 3 % more. With large parts, a fourth one has to come back."""
    asked: dict[str, Any] = {"images": 2000, "time": 950, "ends": [500] * 4, "confidence": 0.9}
    small = placed(hard_job("new", images=90, time=200), running_job("long", **asked, part_size=10))
    large = placed(hard_job("new", images=90, time=200), running_job("long", **asked, part_size=300))
    assert small.handing_over == large.handing_over == {"long": ("w3",)}
    assert actions(small).keys() == {"new"}
    ((from_us, to_us, count),) = windows(large, "long")
    # The first 10 images are done in the 20 us of its start.
    assert (to_us - from_us - 10, count) == (2060 + 3 * 300 - 3 * 950 + 300, 1)


@pytest.mark.parametrize(("node", "is_sure"), [(0.0, True), (0.1, False)])
def test_what_its_confidence_asks_for_beyond_the_workers_that_stay_is_placed(node: float, is_sure: bool) -> None:
    # The worker that stays could do a twentieth more than what is left, if it is as fast as expected.
    pair = running_job("pair", images=950, time=1000, ends=[500] * 2, confidence=0.9, part_size=1, node=node)
    calendar = placed(hard_job("new", images=500, time=200), pair)
    assert calendar.handing_over == {"pair": ("w1",)}
    assert ("pair" not in actions(calendar)) is is_sure


def test_a_job_whose_parts_are_too_large_for_it_hands_nothing_over() -> None:
    long = running_job("long", images=2000, time=950, ends=[500] * 4, confidence=0.9, part_size=700)
    assert not placed(hard_job("new", images=90, time=200), long).handing_over


@pytest.mark.parametrize(
    ("needed", "count"),
    [(90, 1), (180, 1), (200, 2), (600, 4)],
)
def test_no_more_of_them_are_stopped_than_are_needed(needed: int, count: int) -> None:
    long = running_job("long", images=2000, time=2000, ends=[500] * 4)
    calendar = placed(hard_job("new", images=needed, time=200), long)
    assert len(calendar.handing_over["long"]) == count


@pytest.mark.parametrize(("time", "young", "does"), [(500, True, True), (300, True, False), (300, False, True)])
def test_who_has_just_started_is_stopped_only_if_to_start_again_takes_at_most_5_percent_of_its_time(
    time: int, young: bool, does: bool
) -> None:
    long = running_job("long", images=300, time=time, ends=[time] * 4, young=young)
    assert bool(placed(hard_job("new", images=40, time=100), long).handing_over) == does


def test_a_job_that_could_not_start_again_in_time_does_not_keep_others_from_being_stopped() -> None:
    short = running_job("short", images=150, time=150, ends=[150], young=True, max_gpus=1)
    long = running_job("long", images=1000, time=600, ends=[500] * 3, young=True)
    calendar = placed(hard_job("new", images=90, time=200), short, long)
    assert calendar.handing_over == {"long": ("w2",)}


def test_the_job_with_the_latest_deadline_is_the_first_to_hand_over() -> None:
    jobs = [running_job(name, images=900, time=time, ends=[500] * 2) for name, time in (("a", 1000), ("b", 2000))]
    assert placed(hard_job("new", images=90, time=200), *jobs).handing_over == {"b": ("w1",)}


def test_a_job_with_an_earlier_deadline_hands_over_what_it_needs_no_more() -> None:
    # Three of its workers do all of it by its deadline, a little later than four would.
    early = running_job("early", images=550, time=200, ends=[185] * 4)
    calendar = placed(hard_job("new", images=190, time=215), early)
    assert calendar.handing_over == {"early": ("w3",)}
    assert windows(calendar, "new") == [(5, 205, 1)]
    assert "early" not in actions(calendar)


@pytest.mark.parametrize(
    "running",
    [
        pytest.param(running_job("long", images=800, time=200, ends=[190] * 4), id="it needs all of them until then"),
        pytest.param(running_job("long", images=2000, time=505, ends=[500] * 4), id="it would be late"),
        pytest.param(running_job("long", images=2000, time=1000, ends=[500] * 4, gives_way=None), id="none can stop"),
        pytest.param(running_job("long", images=2000, time=1000, ends=[500] * 4, gives_way=195), id="none in time"),
    ],
)
def test_else_the_new_job_has_no_place_and_nothing_changes(running: RunningJob) -> None:
    calendar = placed(hard_job("new", images=600, time=200), running)
    assert not calendar.handing_over
    assert actions(calendar)["new"] in ("Hold", "Refuse")


def test_nobody_is_stopped_for_a_job_that_is_no_hard_one_or_has_a_place() -> None:
    long = running_job("long", images=1500, time=1000, ends=[500] * 3)
    assert not placed(hard_job("new", images=90, time=200), long).handing_over
    full = running_job("long", images=2000, time=1000, ends=[500] * 4)
    soft = calendar_job("new", images=90, time=200, deadline_class="Soft", devices={"a": DEVICES})
    assert not placed(soft, full).handing_over


OURS: Mapping[str, Mapping[str, int]] = {"ours": {"a": 2}}


def with_ours(pool: CalendarPool, units: FreeDevices) -> CalendarPool:
    """Return the pool with so much that is free of a quota."""
    tables = {beside: {**free, "ours": units} for beside, free in pool.free.items()}
    return replace(pool, whole=always({"a": DEVICES}), free=tables, expected=tables)


def test_for_want_of_a_quota_those_hand_over_who_have_some_of_it_and_what_they_do_later_is_within_it() -> None:
    ours, theirs = (running_job(name, images=500, time=time, ends=[500]) for name, time in (("b", 1000), ("c", 2000)))
    ours = replace(ours, job=replace(ours.job, limits=OURS))
    new = replace(hard_job("new", images=170, time=200), limits=OURS)
    pool = with_ours(pool_beside(ours, theirs), steps((0, 0), (500, 2)))
    calendar = online(pool, new, running=[ours, theirs])
    assert calendar.handing_over == {"b": ("w0",)}
    assert windows(calendar, "new") == [(5, 185, 1)]
    # Two devices are free all the time, but there is quota for one.
    ((begins_us, ends_us, count),) = windows(calendar, "b")
    assert (begins_us >= 185, ends_us <= 1000, count) == (True, True, 1)


@pytest.mark.parametrize(("images", "stays", "does"), [(2200, 1000, False), (1600, 500, True)])
def test_no_worker_stays_longer_on_a_device_that_a_job_without_an_image_to_spare_has_after_it(
    images: int, stays: int, does: bool
) -> None:
    long = running_job("long", images=images, time=1000, ends=[500] * 4, stays=stays)
    # Its quota is free when the devices are, and then it needs all of them until its deadline.
    squeezed = replace(hard_job("squeezed", images=1600, time=900), goes_on=True, least_images=1560, limits=OURS)
    pool = with_ours(pool_beside(long), steps((0, 0), (500, 8)))
    calendar = online(pool, squeezed, hard_job("new", images=90, time=200), running=[long])
    assert calendar.handing_over == ({"long": ("w3",)} if does else {})
    assert actions(calendar)["new"] == ("Reserve" if does else "Hold")
    assert devices_held(calendar, "squeezed") == {(500, 900): 4}


SECOND = 1_000_000


def test_where_many_jobs_have_no_place_each_has_its_turn_at_some_pass() -> None:
    """Of forty-one jobs, which are too many to look at all of them, one has a place."""

    def handing_over(passed_us: int) -> HandingOver:
        time_us = 500 * SECOND - passed_us
        long = running_job("long", images=5000 * SECOND, time=5000 * SECOND, ends=[2000 * SECOND] * DEVICES)
        reserved = [hard_job(f"reserved-{n}", images=SECOND, time=4000 * SECOND) for n in range(9)]
        hopeless = [hard_job(f"hopeless-{n}", images=DEVICES * 500 * SECOND, time=time_us) for n in range(40)]
        helped = hard_job("helped", images=90 * SECOND, time=time_us + 1)
        return online(pool_beside(long), *reserved, *hopeless, helped, running=[long]).handing_over

    found = [handing_over(5 * SECOND * number) for number in range(12)]
    assert {} in found
    assert {"long": ("w3",)} in found


def test_where_many_have_no_place_those_are_not_tried_for_which_there_is_no_device_time() -> None:
    long = running_job("long", images=3300, time=1000, ends=[500] * DEVICES)
    reserved = [hard_job(f"reserved-{n}", images=5, time=900) for n in range(20)]
    # They would be before it if as many as possible were tried.
    large = [hard_job(f"large-{n}", images=300, time=200) for n in range(12)]
    helped = hard_job("helped", images=90, time=210)
    calendar = online(pool_beside(long), *reserved, *large, helped, running=[long])
    assert calendar.handing_over == {"long": ("w3",)}
    assert actions(calendar)["helped"] == "Reserve"
