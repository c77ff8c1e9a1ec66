"""What the calendar's tests are made of: small jobs on one or two classes, and strategies that draw sets of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from dueby_api.inference_job import DeadlineClass
from dueby_planner.calendar.calendar import Calendar, Placement, make_calendar
from dueby_planner.calendar.jobs import CalendarJob
from dueby_planner.calendar.verify import verify_calendar
from dueby_planner.model.capacity import DeviceChoice
from support.planner import choice, group, problem

# A step of 10 images takes 10 us, after a start of 20 us with the first 10 of them.
CHOICE = choice(10, 10, 20)


def calendar_job(
    name: str,
    *,
    images: int,
    time: int,
    deadline_class: DeadlineClass = "Hard",
    devices: Mapping[str, int] | None = None,
    choices: Sequence[DeviceChoice] = (CHOICE,),
    **changes: Any,
) -> CalendarJob:
    """Return a job in the study's exact mode; without `devices` there are two of the class `a`."""
    groups = [group(*choices, name=kind, count=count) for kind, count in (devices or {"a": 2}).items()]
    asked = problem(*groups, images=images, time=time, **changes)
    return CalendarJob(name=name, deadline_class=deadline_class, problem=asked)


def planned(*jobs: CalendarJob) -> Calendar:
    """Return the calendar of the jobs on the devices that the first may use, verified."""
    pool = {found.device_class: found.count for found in jobs[0].problem.groups}
    calendar = make_calendar(jobs, pool)
    verify_calendar(calendar)
    return calendar


def actions(calendar: Calendar) -> dict[str, str]:
    """Return what is done with each job."""
    return {found.job.name: found.action for found in calendar.placements}


def windows(calendar: Calendar, name: str) -> list[tuple[int, int, int]]:
    """Return from when to when the job holds how many devices."""
    return sorted(
        (window.from_us, window.to_us, lane.count)
        for lane in placement(calendar, name).reservation
        for window in lane.windows
    )


def placement(calendar: Calendar, name: str) -> Placement:
    """Return what is done with the job."""
    return next(found for found in calendar.placements if found.job.name == name)


_CHOICES = st.lists(
    st.builds(choice, st.integers(1, 8), st.integers(1, 40), st.integers(0, 60)),
    min_size=1,
    max_size=3,
    unique_by=lambda found: found.mini_batch_size,
).map(lambda found: tuple(sorted(found, key=lambda each: each.mini_batch_size)))
_POOLS = st.fixed_dictionaries({"a": st.integers(1, 4)}, optional={"b": st.integers(1, 3)})
_CLASSES: st.SearchStrategy[DeadlineClass] = st.sampled_from(["Hard", "Hard", "Soft", "Relaxed", "BestEffort"])


@st.composite
def job_sets(draw: st.DrawFn) -> list[CalendarJob]:
    """Draw up to six jobs; the first may use every class."""
    pool = draw(_POOLS)
    jobs = []
    for number in range(draw(st.integers(1, 6))):
        usable = pool if number == 0 or draw(st.booleans()) else {"a": pool["a"]}
        groups = [group(*draw(_CHOICES), name=name, count=count) for name, count in usable.items()]
        asked = problem(
            *groups,
            images=draw(st.integers(1, 200)),
            time=draw(st.integers(1, 600)),
            run=draw(st.sampled_from([0.0, 0.02])),
            node=draw(st.sampled_from([0.0, 0.03])),
            confidence=draw(st.sampled_from([0.5, 0.9])),
            max_gpus=draw(st.sampled_from([None, None, 1, 2])),
            max_iterations=draw(st.sampled_from([None, None, 10])),
            reserve=draw(st.sampled_from([0, 0, 1])),
        )
        jobs.append(CalendarJob(name=f"job-{number}", deadline_class=draw(_CLASSES), problem=asked))
    return jobs
