"""When a job that can't be in time is done: as soon as possible, or little later on fewer devices."""

from dueby_planner.calendar.advice import earliest_us
from dueby_planner.calendar.jobs import CalendarJob
from dueby_planner.calendar.place_job import free_for, place_on
from dueby_planner.calendar.pool import Free
from dueby_planner.calendar.reservation import Reservation
from dueby_planner.model.problem import NEVER_US

# The earliest end is sought to within this part of it: to the microsecond would take three times as long, and late jobs
# are many where there are some.
_NEARLY = 1024


def reserve_soon(job: CalendarJob, free: Free, *, later: int = _NEARLY) -> Reservation | None:
    """Return the fewest devices that end little later than all that are free would; None if that is never.

    Later by at most one in `later` of the time until then.
    """
    for left in reversed([*free_for(job, free, NEVER_US)]):
        if (soonest_us := earliest_us(job.problem, left, nearly=_NEARLY)) is not None:
            return place_on(job, left, soonest_us + max(1, soonest_us // later), soon=True)
    return None
