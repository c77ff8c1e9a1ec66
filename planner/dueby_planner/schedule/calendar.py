"""The calendar of several jobs on one pool: who has which devices when, in the order of the deadline classes.

    kept            what Hard and Soft jobs were given before (arrivals.py)
    new Hard, Soft  on what is left, so that they are in time; what was given before moves only for a Hard job
                    (arrivals.py); then Soft jobs that can't be in time, so that they end soon
    Relaxed         on what these leave, by deadline; then those that can't be in time, so that they end soon
    BestEffort      on what is left now, whenever that ends; without an idle device they wait

Those that no promise keeps a place for are placed again each time: late Soft ones, Relaxed and BestEffort ones.

A Hard job is refused only with a proof: no number of the devices that it could have is accepted, or it and other Hard
jobs need more device time than there is (cut.py). Without one it is held, since another order of things might make room
for it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

from dueby_api.inference_job import DeadlineClass
from dueby_planner.schedule.arrivals import keep_stored, place_arrivals, put_off_fallbacks
from dueby_planner.schedule.calendar_job import CalendarJob, Placement, by_deadline
from dueby_planner.schedule.cut import Cut, Cuts
from dueby_planner.schedule.draft import GIVING_WAY, MAX_TRIED, Draft, HandingOver, place_in_front
from dueby_planner.schedule.free_devices import CLASSES, CalendarPool, Free, after
from dueby_planner.schedule.hand_over import RunningJob
from dueby_planner.schedule.place_job import Advice, advise, can_be_done, place_job, reserve_soon
from dueby_planner.schedule.reservation import Reservation, begins_us, ends_us


@dataclass(frozen=True, kw_only=True)
class Calendar:
    """What is done with all jobs."""

    placements: tuple[Placement, ...]
    """In the order in which the jobs were given; then what is left of running jobs that hand devices over."""
    pool: CalendarPool
    """The devices, as they are once workers have handed theirs over."""
    handing_over: HandingOver
    """Workers of running Hard jobs that are to stop now, so that another Hard job has its place."""
    left: Mapping[DeadlineClass, Free]
    """What is left of the pool's tables of free devices beside the reservations of Hard and Soft jobs."""
    cut: Cut | None
    """Why a Hard job is refused, where that was proved by device time."""
    advice: Callable[[str], Advice]
    """What would give a Hard job a place that has none, by its name. Relaxed and BestEffort jobs would give way."""

    @property
    def is_feasible(self) -> bool:
        """Whether every Hard job is placed."""
        return all(found.reservation for found in self.placements if found.job.deadline_class == "Hard")


def make_calendar(jobs: Sequence[CalendarJob], pool: CalendarPool, *, running: Sequence[RunningJob] = ()) -> Calendar:
    """Return the calendar of what the running workers don't do.

    `running` are the Hard jobs that run. Their workers are beside the pool's free devices, so they are only placed if
    they hand devices over to a job that has no place otherwise. A proof that a job is impossible counts what they need.
    """
    draft = put_off_fallbacks(place_arrivals(jobs, keep_stored(jobs, pool), running))
    # Of jobs that hand devices over, what the stopped workers would have done was placed.
    rests = [placed.job for name, placed in draft.placed.items() if name in draft.handing_over]
    jobs = [*(job for job in jobs if job.name not in draft.handing_over), *rests]
    for job in by_deadline(jobs, "Hard"):
        if job.goes_on and job.name not in draft.placed:
            place_soon(draft, job, "Hard")
    draft = place_late_soft(draft, [job for job in by_deadline(jobs, "Soft") if job.name not in draft.placed])
    left = {beside: draft.left(beside) for beside in CLASSES}
    urgent = place_relaxed(draft, by_deadline(jobs, "Relaxed"))
    for job in by_deadline(jobs, "BestEffort"):
        place_now(draft, job)
    without_place = [job for job in by_deadline(jobs, "Hard") if job.name not in draft.placed]
    cuts = _cuts(without_place, jobs, draft, running)
    return Calendar(
        placements=tuple(
            replace(
                draft.placed.get(job.name) or Placement(job=job), is_cut=job.name in cuts, is_urgent=job.name in urgent
            )
            for job in jobs
        ),
        pool=draft.pool,
        handing_over=draft.handing_over,
        left=left,
        cut=next(iter(cuts.values()), None),
        # To make it may take longer than the calendar, and few are asked for it.
        advice=cache(lambda name: advise(next(job for job in without_place if job.name == name), left["Hard"])),
    )


def _cuts(
    without_place: Sequence[CalendarJob], jobs: Sequence[CalendarJob], draft: Draft, running: Iterable[RunningJob]
) -> dict[str, Cut]:
    """Return for each Hard job why it has no place beside those that have one and those that run, where that is proved.

    Those that are a little late or have no image to spare don't count: by the next reading they may need less.
    Only the first proof is shortened: that is the one which is shown.
    """
    # Of a running job all that is left counts, with the workers that it has: of what is placed for it, more is placed
    # than is left, and with another start.
    beside = [each.job for each in running]
    names = {job.name for job in beside}
    in_time = {placed.job.name for placed in draft.hard}
    promised = [job for job in by_deadline(jobs, "Hard") if job.name in in_time and job.name not in names]
    finder = Cuts([*beside, *promised], draft.pool.whole)
    cuts: dict[str, Cut] = {}
    for job in without_place:
        if cut := finder.find(job):
            cuts[job.name] = cut if cuts else finder.shortened(cut)
    return cuts


# A late job has the fewest devices that end within this part of the earliest end.
LATER = 10
# Starts for which a Relaxed job can still wait. A calendar that changes does not change again within two (lag.py).
_WAITED_STARTS = 2


def place_soon(draft: Draft, job: CalendarJob, beside: DeadlineClass) -> None:
    """Give the job the fewest devices that end little later than all that are left would, if it ever ends."""
    if reservation := reserve_soon(job, draft.left(beside), later=LATER):
        draft.add(Placement(job=job, reservation=reservation, beside=beside))


def place_late_soft(draft: Draft, jobs: Iterable[CalendarJob]) -> Draft:
    """Return the calendar with the Soft jobs that can't be in time, in front of Hard ones where they end earlier."""
    for number, job in enumerate(jobs):
        behind = reserve_soon(job, draft.left("Soft"), later=LATER)
        in_front = place_in_front(job, draft, partial(_ends_before, job, behind)) if number < MAX_TRIED else None
        if in_front:
            draft = in_front
        elif behind:
            draft.add(Placement(job=job, reservation=behind, beside="Soft"))
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
    idle = {
        name: tuple(step._replace(free=min(step.free, steps[0].free)) for step in steps)
        for name, steps in draft.left("BestEffort").items()
    }
    reservation = place_job(job, idle, soon=True) or reserve_soon(job, idle, later=LATER)
    if reservation and begins_us(reservation) == 0:
        draft.add(Placement(job=job, reservation=reservation, beside="BestEffort"))


def _can_wait(job: CalendarJob, free: Free) -> bool:
    """Return whether the job is in time on what is free, even if it begins a little later."""
    wait_us = _WAITED_STARTS * max(choice.start_us for group in job.problem.groups for choice in group.choices)
    later = {name: after(steps, wait_us) for name, steps in free.items()}
    return can_be_done(job, later, job.problem.time_us)
