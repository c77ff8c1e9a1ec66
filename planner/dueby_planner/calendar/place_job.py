"""Place a job of the calendar: within its quotas, and so that it needn't be stopped before it is done if it can't be.

Workers that can't be stopped keep their devices until their job is done, so such a job is placed on what is free from
some time until it ends, without a gap. When that is at the latest is tried: by its deadline, and by each time at which
something that is free for it is taken.

A status has room for so many windows. Where devices come free one by one, a job that needs many of them would get more:
it is placed on what is free from one second to the next, or between times that are further apart.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

from dueby_api.status import MAX_WINDOWS
from dueby_api.units import MICROS_PER_SECOND
from dueby_planner.calendar.free_devices import before, lasting, rounded
from dueby_planner.calendar.jobs import CalendarJob
from dueby_planner.calendar.place import place, suffices
from dueby_planner.calendar.pool import Free
from dueby_planner.calendar.quotas import within_quotas
from dueby_planner.calendar.reservation import Reservation, Window, ends_us, windows_stored
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

    def placed(free: Free) -> Reservation | None:
        return place(job.problem, free, until_us=until_us, levelled=levelled, soon=soon)

    found = placed(left)
    if found and windows_stored(found) > MAX_WINDOWS:
        is_promise = job.deadline_class == "Hard" and not soon
        # What is no promise is placed again in the next pass, where it can't be kept.
        found = _in_few_windows(placed, left) or (None if is_promise else found)
    return _to_its_end(job, found) if found and job.stays else found


def _in_few_windows(placed: Callable[[Free], Reservation | None], left: Free) -> Reservation | None:
    """Return a reservation of as many windows as are stored; None if the job has no place in so few."""
    unit_us = MICROS_PER_SECOND
    while found := placed({name: rounded(steps, unit_us) for name, steps in left.items()}):
        if windows_stored(found) <= MAX_WINDOWS:
            return found
        unit_us *= 2
    return None


def can_be_done(job: CalendarJob, free: Free, until_us: int) -> bool:
    """Return whether the job can be done by then on what is free."""
    return any(suffices(job.problem, left, until_us) for left in free_for(job, free, until_us))


def free_for(job: CalendarJob, free: Free, until_us: int) -> Iterator[Free]:
    """Yield what is free for the job; more than once if that depends on when it ends, the latest end first."""
    left = within_quotas(job, free)
    if job.until_us < until_us:
        left = {name: before(left[name], job.until_us) for name in job.device_names if name in left}
    if not job.stays:
        yield left
        return
    names = job.device_names
    ends = {
        step.from_us
        for name in names
        for earlier, step in pairwise(left.get(name, ()))
        if step.free < earlier.free and step.from_us < until_us
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
