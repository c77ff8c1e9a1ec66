"""Jobs that no promise keeps a place for: Soft ones that are late, Relaxed ones, and BestEffort ones.

They are placed again each time, on what is left beside the jobs that are in time.
"""

from collections.abc import Iterable, Sequence
from functools import partial

from dueby_api.inference_job import DeadlineClass
from dueby_planner.calendar.draft import GIVING_WAY, Draft
from dueby_planner.calendar.free_devices import FreeDevices, Step, Taken, without
from dueby_planner.calendar.in_front import MAX_TRIED, place_in_front
from dueby_planner.calendar.jobs import CalendarJob
from dueby_planner.calendar.place_job import can_be_done, place_job
from dueby_planner.calendar.pool import Free
from dueby_planner.calendar.reservation import Reservation, begins_us, ends_us
from dueby_planner.calendar.soon import reserve_soon

# A late job has the fewest devices that end within this part of the earliest end.
LATER = 10
# Starts for which a Relaxed job can still wait. A calendar that changes does not change again within two (replan.py).
_WAITED_STARTS = 2


def place_soon(draft: Draft, job: CalendarJob, beside: DeadlineClass) -> None:
    """Give the job the fewest devices that end little later than all that are left would, if it ever ends."""
    if reservation := reserve_soon(job, draft.left(beside), later=LATER):
        draft.add(job, reservation, beside=beside)


def place_late_soft(draft: Draft, jobs: Iterable[CalendarJob]) -> Draft:
    """Return the calendar with the Soft jobs that can't be in time, in front of Hard ones where they end earlier."""
    for number, job in enumerate(jobs):
        behind = reserve_soon(job, draft.left("Soft"), later=LATER)
        in_front = place_in_front(job, draft, partial(_ends_before, job, behind)) if number < MAX_TRIED else None
        if in_front:
            draft = in_front
        elif behind:
            draft.add(job, behind, beside="Soft")
    return draft


def _ends_before(job: CalendarJob, behind: Reservation | None, draft: Draft) -> bool:
    """Place the job; return whether it then ends so much earlier that another place is worth it."""
    place_soon(draft, job, "Soft")
    placed = draft.placed.get(job.name)
    if placed is None or behind is None:
        return placed is not None
    return ends_us(placed.reservation) * (LATER + 1) < ends_us(behind) * LATER


def place_relaxed(draft: Draft, jobs: Sequence[CalendarJob]) -> set[str]:
    """Place the Relaxed jobs; return the names of those that are urgent, and are placed as Soft ones.

    As with those, what is late makes no other one late.
    """
    urgent, late = set(), []
    for job in jobs:
        tables = GIVING_WAY[:-1]
        if not _can_wait(job, draft.left("Relaxed")):
            urgent.add(job.name)
            tables = GIVING_WAY
        if not draft.place(job, *tables):
            late.append((job, tables[-1]))
    for job, beside in late:
        place_soon(draft, job, beside)
    return urgent


def place_now(draft: Draft, job: CalendarJob) -> None:
    """Give a BestEffort job devices that are idle now, if there are any for long enough to do something."""
    idle = {name: _idle_now(steps) for name, steps in draft.left("BestEffort").items()}
    reservation = place_job(job, idle, soon=True) or reserve_soon(job, idle, later=LATER)
    if reservation and begins_us(reservation) == 0:
        draft.add(job, reservation, beside="BestEffort")


def _can_wait(job: CalendarJob, free: Free) -> bool:
    """Return whether the job is in time on what is free, even if it begins a little later."""
    wait_us = _WAITED_STARTS * max(choice.start_us for group in job.problem.groups for choice in group.choices)
    later = {
        name: without(steps, [Taken(0, wait_us, max(step.free for step in steps))]) for name, steps in free.items()
    }
    return can_be_done(job, later, job.problem.time_us)


def _idle_now(steps: FreeDevices) -> FreeDevices:
    """Return what is free of the devices that are free now."""
    return tuple(Step(step.from_us, step.to_us, min(step.free, steps[0].free)) for step in steps)
