"""The check outside the search: whatever a calendar does wrong, it is found."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dueby_api.inference_job import DeadlineClass
from dueby_planner.model.verify import WrongPlan
from dueby_planner.schedule.calendar import Calendar
from dueby_planner.schedule.calendar_job import Placement
from dueby_planner.schedule.free_devices import idle_pool
from dueby_planner.schedule.reservation import Lane, Window
from dueby_planner.schedule.verify import verify_calendar
from support.calendar import CHOICE, again, calendar_job, online, planned, steps

Break = Callable[[Placement], Placement]


def calendar() -> Calendar:
    """Two jobs, each on one of two devices, and one that is refused by a cut."""
    return planned(*(calendar_job(name, images=90, time=100) for name in ("a", "b", "c")))


def lane(change: Callable[[Lane], Lane]) -> Break:
    return lambda found: replace(found, reservation=tuple(map(change, found.reservation)))


def window(**changes: Any) -> Break:
    return lane(lambda found: replace(found, windows=tuple(each._replace(**changes) for each in found.windows)))


BREAKS: dict[str, tuple[str, Break]] = {
    "more devices than there are": ("has 2 x a, and 3 are held", lane(lambda found: replace(found, count=2))),
    "a late end": ("is Hard and ends after its deadline", window(to_us=109)),
    "too few images": ("does not do its images", window(to_us=90, images=80)),
    "more images than fit": ("does 90 images, and 91 are planned", window(images=91)),
    "a start in the past": ("begins in the past", window(from_us=-1)),
    "a size that nobody measured": ("that was not measured", window(choice=replace(CHOICE, latency_us=9))),
    "devices without windows": ("devices without windows", lane(lambda found: replace(found, windows=()))),
    "windows of one device at once": (
        "windows overlap",
        lane(lambda found: replace(found, windows=(*found.windows, Window(50, 60, CHOICE, 0)))),
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_it_notices(name: str) -> None:
    sentence, change = BREAKS[name]
    right = calendar()
    verify_calendar(right)
    first, *others = right.placements
    with pytest.raises(WrongPlan, match=sentence):
        verify_calendar(replace(right, placements=(change(first), *others)))


def test_it_notices_more_devices_than_the_job_may_have() -> None:
    right = planned(calendar_job("a", images=180, time=100))
    limited = replace(right.placements[0], job=calendar_job("a", images=180, time=100, max_gpus=1))
    with pytest.raises(WrongPlan, match="has 2 devices, and may have 1"):
        verify_calendar(replace(right, placements=(limited,)))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [({"available_us": 10**6}, "leaves enough"), ({"available_us": 100}, "200 us of devices are there, not 100")],
)
def test_it_notices_a_cut_that_is_none(changes: dict[str, Any], sentence: str) -> None:
    right = calendar()
    assert right.cut is not None
    with pytest.raises(WrongPlan, match=sentence):
        verify_calendar(replace(right, cut=replace(right.cut, **changes)))


def moved(right: Calendar, name: str, **changes: Any) -> Calendar:
    """Return the calendar with changes to what is said of one job."""
    return replace(
        right, placements=tuple(replace(one, **changes) if one.job.name == name else one for one in right.placements)
    )


def test_it_notices_a_table_on_which_the_job_does_not_fit() -> None:
    idle = idle_pool({"a": 2})
    pool = replace(idle, free={**idle.free, "BestEffort": {"a": steps((0, 1))}})
    right = online(pool, calendar_job("a", images=180, time=100))
    assert right.placements[0].beside == "Relaxed"
    with pytest.raises(WrongPlan, match="beside BestEffort jobs has 1 x a, and 2 are held at 0 us"):
        verify_calendar(moved(right, "a", beside="BestEffort"))


def test_it_notices_jobs_that_fit_each_on_its_table_and_not_together() -> None:
    idle = idle_pool({"a": 2})
    pool = replace(idle, free={**idle.free, "BestEffort": {"a": steps((0, 1))}})
    right = online(pool, *(calendar_job(name, images=90, time=100) for name in ("a", "b")))
    assert [found.beside for found in right.placements] == ["BestEffort", "Relaxed"]
    with pytest.raises(WrongPlan, match="beside Hard jobs has 1 x a, and 2 are held at 0 us"):
        verify_calendar(replace(right, pool=replace(pool, free=idle_pool({"a": 1}).free)))


@pytest.mark.parametrize(
    ("beside", "there", "sentence"),
    [("Hard", 0, "Hard jobs as expected has 0 x a"), ("Soft", 1, "Soft jobs as expected has 1 x a")],
)
def test_it_notices_what_was_kept_and_is_not_there(beside: DeadlineClass, there: int, sentence: str) -> None:
    jobs = [
        calendar_job("hard", images=90, time=100),
        calendar_job("soft", images=90, time=100, deadline_class="Soft"),
    ]
    idle = idle_pool({"a": 2})
    right = online(idle, *again(online(idle, *jobs)))
    assert all(found.kept for found in right.placements)
    pool = replace(idle, expected={**idle.expected, beside: {"a": steps((0, there))}})
    with pytest.raises(WrongPlan, match=sentence):
        verify_calendar(replace(right, pool=pool))
