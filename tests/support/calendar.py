"""What the calendar's tests are made of: small jobs on one or two classes, and strategies that draw sets of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from dueby_api.inference_job import DeadlineClass
from dueby_planner.model.capacity import DeviceChoice
from dueby_planner.model.problem import NEVER_US
from dueby_planner.schedule.calendar import Calendar, make_calendar
from dueby_planner.schedule.calendar_job import CalendarJob, Placement, StoredWindow
from dueby_planner.schedule.free_devices import (
    CLASSES,
    CalendarPool,
    Free,
    FreeDevices,
    Step,
    always_free,
    idle_pool,
)
from dueby_planner.schedule.hand_over import RunningJob
from dueby_planner.schedule.held_devices import HeldDevice
from dueby_planner.schedule.reservation import Reservation
from dueby_planner.schedule.verify import verify_calendar
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


def held_device(*, ends: int = 100, **changes: Any) -> HeldDevice:
    """Return what a worker of a Soft job has of the class `a`, until it ends."""
    usual = HeldDevice(
        key=("team", "job"),
        worker="w0",
        group="a",
        device_class="a",
        deadline_class="Soft",
        ends_us=ends,
        surely_ends_us=ends,
        done_us=ends,
        gives_way_us=10,
    )
    return replace(usual, **changes)


def planned(*jobs: CalendarJob) -> Calendar:
    """Return the calendar of the jobs on the devices that the first may use, verified."""
    pool = {found.device_class: found.count for found in jobs[0].problem.groups}
    calendar = make_calendar(jobs, idle_pool(pool))
    verify_calendar(calendar)
    return calendar


def online(pool: CalendarPool, *jobs: CalendarJob, running: Sequence[RunningJob] = ()) -> Calendar:
    """Return the calendar of the jobs on the pool, verified."""
    calendar = make_calendar(jobs, pool, running=running)
    verify_calendar(calendar)
    return calendar


def steps(*free: tuple[int, int]) -> FreeDevices:
    """Return free devices from pairs of a time and how many are free from then on."""
    ends = [at_us for at_us, _ in free[1:]] + [NEVER_US]
    return tuple(Step(at_us, to_us, count) for (at_us, count), to_us in zip(free, ends, strict=True))


def always(counts: Mapping[str, int]) -> Free:
    """Return so many devices of each name that are always there."""
    return {name: always_free(count) for name, count in counts.items()}


def changes(times: Sequence[int], free: Sequence[int]) -> FreeDevices:
    """Return free devices from times and how many are free from then on, with a step for each change only."""
    before = [None, *free]
    return steps(*((at_us, now) for at_us, now, then in zip(times, free, before, strict=False) if now != then))


def stored(reservation: Reservation) -> tuple[StoredWindow, ...]:
    """Return the reservation as it is stored."""
    return tuple(
        StoredWindow(
            devices=(lane.group,),
            count=lane.count,
            from_us=window.from_us,
            to_us=window.to_us,
            engine=window.choice.engine,
            mini_batch_size=window.choice.mini_batch_size,
        )
        for lane in reservation
        for window in lane.windows
    )


def again(calendar: Calendar) -> list[CalendarJob]:
    """Return the jobs with what the calendar gave them."""
    return [replace(found.job, stored=stored(found.reservation)) for found in calendar.placements]


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


def devices_held(calendar: Calendar, name: str) -> Counter[tuple[int, int]]:
    """Return how many devices the job holds from when to when, whichever of its windows are of one device."""
    counts: Counter[tuple[int, int]] = Counter()
    for from_us, to_us, count in windows(calendar, name):
        counts[from_us, to_us] += count
    return counts


def placement(calendar: Calendar, name: str) -> Placement:
    """Return what is done with the job."""
    return next(found for found in calendar.placements if found.job.name == name)


_CHOICES = st.lists(
    st.builds(choice, st.integers(1, 8), st.integers(1, 40), st.integers(0, 60)),
    min_size=1,
    max_size=3,
    unique_by=lambda found: found.mini_batch_size,
).map(lambda found: tuple(sorted(found, key=lambda each: each.mini_batch_size)))
_COUNTS = st.fixed_dictionaries({"a": st.integers(1, 4)}, optional={"b": st.integers(1, 3)})
_CLASSES: st.SearchStrategy[DeadlineClass] = st.sampled_from(["Hard", "Hard", "Soft", "Relaxed", "BestEffort"])


@st.composite
def job_sets(draw: st.DrawFn) -> list[CalendarJob]:
    """Draw up to six jobs; the first may use every class."""
    counts = draw(_COUNTS)
    return [
        draw(_jobs(number, counts if number == 0 or draw(st.booleans()) else {"a": counts["a"]}))
        for number in range(draw(st.integers(1, 6)))
    ]


@st.composite
def online_sets(draw: st.DrawFn) -> tuple[list[CalendarJob], CalendarPool]:
    """Draw up to six jobs, some with windows from before, and a pool on which others run."""
    counts = draw(_COUNTS)
    pool = draw(pools(counts))
    jobs = []
    for number in range(draw(st.integers(1, 6))):
        name = draw(st.sampled_from(sorted(counts)))
        job = draw(_jobs(number, {name: counts[name]} if draw(st.booleans()) else counts))
        jobs.append(replace(job, stored=tuple(draw(st.lists(_windows(job), max_size=2)))))
    return jobs, pool


@st.composite
def quota_sets(draw: st.DrawFn) -> tuple[list[CalendarJob], CalendarPool]:
    """Draw jobs and a pool with up to two quotas, and some of the jobs bound by them."""
    jobs, pool = draw(online_sets())
    units = {f"quota-{number}": draw(st.integers(0, 9)) for number in range(draw(st.integers(0, 2)))}
    limits = draw(pools(units))
    pool = replace(
        pool,
        whole={**pool.whole, **always(units)},
        free={beside: {**pool.free[beside], **limits.free[beside]} for beside in CLASSES},
        expected={beside: {**pool.expected[beside], **limits.expected[beside]} for beside in CLASSES},
    )
    costs = st.fixed_dictionaries({"a": st.integers(0, 3), "b": st.integers(1, 3)})
    bound = [
        replace(job, limits={name: draw(costs) for name in units if draw(st.booleans())}, stays=draw(st.booleans()))
        for job in jobs
    ]
    return bound, pool


@st.composite
def pools(draw: st.DrawFn, counts: Mapping[str, int]) -> CalendarPool:
    """Draw what is free for each class; without margins it is the same or more."""
    free: dict[DeadlineClass, Free] = {beside: {} for beside in CLASSES}
    expected = dict(free)
    for name, count in counts.items():
        times = [0, *sorted(draw(st.sets(st.integers(1, 400), max_size=3)))]
        drawn = [sorted(draw(st.tuples(*[st.integers(0, count)] * len(CLASSES)))) for _ in times]
        more = [draw(st.integers(0, 1)) for _ in times]
        for number, beside in enumerate(reversed(CLASSES)):
            there = [counts_then[number] for counts_then in drawn]
            sooner = [min(count, at_once + each) for at_once, each in zip(there, more, strict=True)]
            free[beside] = {**free[beside], name: changes(times, there)}
            expected[beside] = {**expected[beside], name: changes(times, sooner)}
    return CalendarPool(whole=always(counts), free=free, expected=expected)


@st.composite
def _jobs(draw: st.DrawFn, number: int, usable: Mapping[str, int]) -> CalendarJob:
    asked = problem(
        *(group(*draw(_CHOICES), name=name, count=count) for name, count in usable.items()),
        images=draw(st.integers(1, 200)),
        time=draw(st.integers(1, 600)),
        run=draw(st.sampled_from([0.0, 0.02])),
        node=draw(st.sampled_from([0.0, 0.03])),
        confidence=draw(st.sampled_from([0.5, 0.9])),
        max_gpus=draw(st.sampled_from([None, None, 1, 2])),
        max_iterations=draw(st.sampled_from([None, None, 10])),
        reserve=draw(st.sampled_from([0, 0, 1])),
    )
    return CalendarJob(name=f"job-{number}", deadline_class=draw(_CLASSES), problem=asked)


@st.composite
def _windows(draw: st.DrawFn, job: CalendarJob) -> StoredWindow:
    found = draw(st.sampled_from(job.problem.groups))
    from_us = draw(st.integers(-50, 200))
    return StoredWindow(
        devices=(found.device_class,),
        count=draw(st.integers(1, 2)),
        from_us=from_us,
        to_us=from_us + draw(st.integers(1, 400)),
        engine="cudagraph",
        mini_batch_size=draw(st.sampled_from(found.choices)).mini_batch_size,
    )
