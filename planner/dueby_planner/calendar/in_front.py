"""Soft jobs in front of Hard ones that can wait: a promise needs device time before its deadline, not the earliest.

The Soft job is placed as if no Hard job with a later deadline had anything reserved. Those whose windows it takes are
placed again, by deadline, beside all others. One that would be late then stays where it is, and it is tried once more
beside that one. So no promise is broken, and nobody else moves.
"""

from collections.abc import Callable, Sequence

from dueby_planner.calendar.draft import GIVING_WAY, Draft, Placed
from dueby_planner.calendar.jobs import CalendarJob, by_deadline
from dueby_planner.calendar.reservation import begins_us, ends_us

# So many jobs are tried in a pass, each beside all that is reserved. Of more those with the earliest deadlines are.
MAX_TRIED = 8
# How often a Soft job is tried beside one more Hard job that stays: those with the nearest deadlines can't wait.
_MAX_STAYING = 4


def place_in_front(job: CalendarJob, draft: Draft, place: Callable[[Draft], bool]) -> Draft | None:
    """Return the calendar with the Soft job in front of Hard ones that can wait; None if there is no such place.

    `place` gives the job its place in a calendar, and returns whether it is worth it.
    """
    can_wait = {placed.job.name: placed for placed in draft.hard if _may_wait(placed, job)}
    for _ in range(_MAX_STAYING):
        alone = draft.without(job.name, *can_wait)
        if not can_wait or not place(alone):
            return None
        moving = [placed for placed in can_wait.values() if _is_met(placed, alone.placed[job.name], draft)]
        found = draft.without(job.name, *(placed.job.name for placed in moving))
        if not place(found):
            return None
        stays = _place_again(found, moving)
        if stays is None:
            return found
        del can_wait[stays]
    return None


def _may_wait(placed: Placed, job: CalendarJob) -> bool:
    """Return whether the Hard job is in time, is due later than the other, and may have devices that this one wants."""
    is_in_time = ends_us(placed.reservation) <= placed.job.problem.time_us
    is_later = placed.job.problem.time_us > job.problem.time_us
    return is_in_time and is_later and bool(placed.job.device_names & job.device_names)


def _is_met(placed: Placed, other: Placed, draft: Draft) -> bool:
    """Return whether windows of both are at the same time, or closer than a device can change hands."""
    change_us = 2 * draft.pool.change_us
    begin_us, end_us = begins_us(other.reservation) - change_us, ends_us(other.reservation) + change_us
    return any(
        window.from_us < end_us and window.to_us > begin_us for lane in placed.reservation for window in lane.windows
    )


def _place_again(draft: Draft, moving: Sequence[Placed]) -> str | None:
    """Place the Hard jobs again; return the name of the first that would be late, and None if all are in time."""
    jobs = by_deadline(placed.job for placed in moving)
    return next((job.name for job in jobs if not draft.place(job, *GIVING_WAY)), None)
