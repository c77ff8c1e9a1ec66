"""Place a job of the calendar: within its quotas, and so that it needn't be stopped before it is done if it can't be.

Workers that can't be stopped keep their devices until their job is done, so such a job is placed on what is free from
some time until it ends, without a gap. When that is at the latest is tried: by its deadline, and by each time at which
something that is free for it is taken.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from dueby_planner.calendar.free_devices import lasting
from dueby_planner.calendar.jobs import CalendarJob
from dueby_planner.calendar.place import place, suffices
from dueby_planner.calendar.pool import Free
from dueby_planner.calendar.quotas import within_quotas
from dueby_planner.calendar.reservation import Reservation, Window, ends_us
from dueby_planner.model.capacity import capacity


def place_job(job: CalendarJob, free: Free, *, levelled: bool = False, soon: bool = False) -> Reservation | None:
    """Return what the job holds so that it is in time; None if that can't be. See place() for the rest."""
    time_us = job.problem.time_us
    found = (place_on(job, left, time_us, levelled=levelled, soon=soon) for left in free_for(job, free, time_us))
    return next(filter(None, found), None)


def place_on(
    job: CalendarJob, left: Free, until_us: int, *, levelled: bool = False, soon: bool = False
) -> Reservation | None:
    """Return what the job holds of what is free for it so that it is done by then; None if that can't be."""
    found = place(job.problem, left, until_us=until_us, levelled=levelled, soon=soon)
    return _to_its_end(job, found) if found and job.stays else found


def can_be_done(job: CalendarJob, free: Free, until_us: int) -> bool:
    """Return whether the job can be done by then on what is free."""
    return any(suffices(job.problem, left, until_us) for left in free_for(job, free, until_us))


def free_for(job: CalendarJob, free: Free, until_us: int) -> Iterator[Free]:
    """Yield what is free for the job; more than once if that depends on when it ends, the latest end first."""
    left = within_quotas(job, free)
    if not job.stays:
        yield left
        return
    names = {group.device_class for group in job.problem.groups}
    ends = {
        step.from_us
        for name in names
        for before, step in pairwise(left.get(name, ()))
        if step.free < before.free and step.from_us < until_us
    }
    for end_us in sorted({*ends, until_us}, reverse=True):
        yield {name: lasting(left[name], end_us) for name in names if name in left}


def ends_together(reservation: Reservation) -> bool:
    """Return whether each device is held for one window, until the same time."""
    return all(len(lane.windows) == 1 and lane.windows[0].to_us == ends_us(reservation) for lane in reservation)


def _to_its_end(job: CalendarJob, reservation: Reservation) -> Reservation:
    """Return the reservation with every device held until the job is done, and the device that gives time back, too."""
    end_us = ends_us(reservation)

    def until_end(window: Window) -> Window:
        most = job.problem.max_iterations
        images = capacity(window.choice, time_us=end_us - window.from_us, max_iterations=most)
        return window._replace(to_us=end_us, images=images)

    return tuple(replace(lane, windows=tuple(map(until_end, lane.windows))) for lane in reservation)
