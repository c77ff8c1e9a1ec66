"""Place several jobs so that all of them are in time.

They are placed in the order of deadlines with the fewest devices for each job. If a job doesn't fit, it and the m jobs
before it are levelled (place.py), for m = 1, 2, 4, ... That finds most of the calendars there are, but not all.
"""

from collections.abc import Sequence

from dueby_planner.calendar.jobs import CalendarJob, by_deadline
from dueby_planner.calendar.place import place
from dueby_planner.calendar.pool import Free
from dueby_planner.calendar.reservation import Reservation
from dueby_planner.calendar.tables import Rivals, take

Reservations = list[tuple[CalendarJob, Reservation]]


def place_set(jobs: Sequence[CalendarJob], free: Free, rivals: Rivals) -> Reservations | None:
    """Return reservations with which all jobs are in time; None if none were found."""
    ordered = by_deadline(jobs)
    placed = _place_in_order(ordered, free, rivals, frozenset())
    failed, before = len(placed), 1
    while len(placed) < len(ordered):
        levelled = ordered[max(0, failed - before) : failed + 1]
        placed = _place_in_order(ordered, free, rivals, frozenset(job.name for job in levelled))
        if before >= len(ordered):
            break
        failed, before = max(failed, len(placed)), before * 2
    return placed if len(placed) == len(ordered) else None


def _place_in_order(jobs: Sequence[CalendarJob], free: Free, rivals: Rivals, levelled: frozenset[str]) -> Reservations:
    """Place one job after the other; stop before the first that doesn't fit."""
    placed: Reservations = []
    for job in jobs:
        reservation = place(job.problem, free, levelled=job.name in levelled)
        if reservation is None:
            break
        placed.append((job, reservation))
        free = take(free, reservation, rivals)
    return placed
