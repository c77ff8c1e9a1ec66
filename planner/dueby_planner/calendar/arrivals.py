"""Hard and Soft jobs: what they were given before is kept, and the new ones get their place.

    promised  Hard jobs, by deadline: beside all workers; where BestEffort workers give way; where Relaxed ones do;
              where Soft ones do, and what Soft jobs have reserved is placed again; with all Hard jobs placed again; one
              that still has no place where running Hard jobs hand devices over (hand_over.py); with no more images than
              their old windows had to do, and then all who share devices with them so; those that will be a little
              late: as soon as possible beside all in time, and where others took what was their own, these move
    new       Hard and Soft ones together beside all workers, by deadline, if all Hard ones fit so; else the Hard ones
              as above; then the Soft ones beside them, or in front of Hard ones that can wait (in_front.py)

Those that then have no place stay without one here. No step breaks the promise of a Hard job. Of one that goes on, more
images are placed than its windows have to do to be kept, lest noise moves it again; where that doesn't fit, it needs no
more than these. Who will be a little late by one reading of its workers may be in time by the next one, so nobody new
gets its time.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from math import ceil

from dueby_api.inference_job import DeadlineClass
from dueby_planner.calendar.device_time import DeviceTime
from dueby_planner.calendar.draft import GIVING_WAY, Draft, Placed
from dueby_planner.calendar.hand_over import hand_over
from dueby_planner.calendar.in_front import MAX_TRIED, place_in_front
from dueby_planner.calendar.jobs import CalendarJob, by_deadline, with_images
from dueby_planner.calendar.keep import stored_reservation
from dueby_planner.calendar.place_job import can_be_done
from dueby_planner.calendar.place_set import place_set, time_alone_us
from dueby_planner.calendar.pool import PROMISED, CalendarPool, Free
from dueby_planner.calendar.reservation import device_us
from dueby_planner.calendar.running import RunningJob
from dueby_planner.calendar.soon import reserve_soon
from dueby_planner.calendar.tables import Tables

# Readings of workers differ by some hundredths. A job is little late if it can do this part of its images in time.
_MOST = 0.9


def keep_stored(jobs: Sequence[CalendarJob], pool: CalendarPool) -> Draft:
    """Return the reservations of Hard jobs, and then of Soft ones, that can be kept as they are."""
    draft, expected = Draft(pool), Tables(pool.expected)
    for kind in PROMISED:
        for job in by_deadline(jobs, kind):
            if job.stored and (reservation := stored_reservation(job, expected.left(kind))):
                expected.take(reservation, job.quotas)
                draft.add(job, reservation, beside=kind, kept=True)
    return draft


def place_arrivals(jobs: Sequence[CalendarJob], draft: Draft, running: Sequence[RunningJob] = ()) -> Draft:
    """Return the calendar with those of the Hard and Soft jobs that can be in time as well, or nearly."""
    if promised := [job for job in _without_place(jobs, draft, "Hard") if job.goes_on]:
        draft = _place_promised(promised, draft, running)
        draft.keep(job.name for job in jobs if _is_squeezed(job, draft))
    hard, soft = _without_place(jobs, draft, "Hard"), _without_place(jobs, draft, "Soft")
    all_fit = bool(soft) and _add(draft, [*hard, *soft], "BestEffort", optional=soft)
    if not all_fit:
        _add(draft, hard, "BestEffort", optional=hard)
        draft = _make_room(hard, draft, running)
    late = [job for job in _without_place(jobs, draft, "Soft") if not draft.place(job, *GIVING_WAY)]
    for job in late[:MAX_TRIED]:
        draft = place_in_front(job, draft, partial(_place_soft, job)) or draft
    return draft


def _place_soft(job: CalendarJob, draft: Draft) -> bool:
    return draft.place(job, *GIVING_WAY)


def _place_promised(promised: Sequence[CalendarJob], draft: Draft, running: Sequence[RunningJob]) -> Draft:
    """Return the calendar with those of the promised Hard jobs that can be in time, or nearly."""
    _add(draft, promised, "BestEffort", optional=promised)
    draft = _make_room(promised, draft, running)
    draft = _place_hard(draft, map(_at_least, _without_place(promised, draft, "Hard")))
    if missing := _without_place(promised, draft, "Hard"):
        draft = _squeezed(draft, [_at_least(job) for job in missing]) or draft
        draft = _place_late(_without_place(missing, draft, "Hard"), draft)
    return draft


def _squeezed(draft: Draft, jobs: Sequence[CalendarJob]) -> Draft | None:
    """Return the calendar with as many of these jobs as possible if others spare no image; None if it is none."""
    names = frozenset[str]().union(*(job.device_names for job in jobs))
    others = (placed.job for placed in draft.hard)
    return _place_all_again(draft, [_at_least(job) if names & job.device_names else job for job in others], jobs)


def _place_late(late: Sequence[CalendarJob], draft: Draft) -> Draft:
    """Return the calendar with those of the promised Hard jobs that will be a little late.

    Each has room first for most of its images in time. If there is none beside the others, these move.
    """
    most = [_most_of(job) for job in late]
    _add(draft, most, "Hard", optional=most)
    others = [placed.job for placed in draft.hard]
    draft = _place_all_again(draft, others, [job for job in most if job.name not in draft.placed]) or draft
    for job in late:
        draft = draft.without(job.name)
        if _is_little_late(job, draft.left("Hard")) and (found := reserve_soon(job, draft.left("Hard"))):
            draft.add(job, found, beside="Hard")
            draft.keep([job.name])
    return draft


def _make_room(hard: Sequence[CalendarJob], draft: Draft, running: Sequence[RunningJob]) -> Draft:
    """Return the calendar with those of the Hard jobs for which others give way or move, or hand devices over."""
    draft = _place_hard(draft, _without_place(hard, draft, "Hard"))
    # Once: what this leaves out has its turn in the next pass, and seldom gets a place then.
    if (again := _placed_again(draft, _without_place(hard, draft, "Hard"))) is not None:
        draft = _place_hard(again, _without_place(hard, again, "Hard"))  # it may have made room for others, too
    if draft.handing_over:
        return draft
    return hand_over(draft, _without_place(hard, draft, "Hard"), running) or draft


def _at_least(job: CalendarJob) -> CalendarJob:
    """Return the job with no more images than what is stored has to do to be kept."""
    return job if job.least_images is None else with_images(job, job.least_images)


def _is_squeezed(job: CalendarJob, draft: Draft) -> bool:
    """Return whether the job has a place for fewer images than it should have."""
    return job.name in draft.placed and draft.placed[job.name].job.problem.images < job.problem.images


def _most_of(job: CalendarJob) -> CalendarJob:
    """Return the job with most of the images that it has to do."""
    least = _at_least(job)
    return with_images(least, ceil(least.problem.images * _MOST))


def _is_little_late(job: CalendarJob, free: Free) -> bool:
    """Return whether the job can do most of the images that it has to do by its deadline."""
    return can_be_done(_most_of(job), free, job.problem.time_us)


def _place_all_again(draft: Draft, placed: Sequence[CalendarJob], new: Sequence[CalendarJob]) -> Draft | None:
    """Place these Hard jobs again, and as many of the new ones as possible, and nothing else; None if it is none."""
    if not new:
        return None
    names = {job.name for job in new}
    found = place_set([*placed, *new], draft.free, draft.pool, optional=names, at_least=len(placed) + 1)
    return draft.only(Placed(*each, "Hard", kept=False) for each in found) if found else None


def _place_hard(draft: Draft, jobs: Iterable[CalendarJob]) -> Draft:
    """Place what fits on the first table on which it does; on the last one Soft workers and reservations give way."""
    alone = draft.only(draft.hard)
    for job in jobs:
        if draft.place(job, *GIVING_WAY):
            alone.copy(draft.placed[job.name])
        elif alone.place(job, "Hard"):
            draft = alone.only(alone.hard)
    return draft


def _without_place(jobs: Iterable[CalendarJob], draft: Draft, kind: DeadlineClass) -> list[CalendarJob]:
    return [job for job in by_deadline(jobs, kind) if job.name not in draft.placed and not _is_impossible(job)]


def _is_impossible(job: CalendarJob) -> bool:
    """Return whether a new Hard job has too few devices that may run too few mini-batches: it is refused.

    In two windows a device would run up to M each, and the job would have a place only because devices change hands.
    """
    is_new = job.deadline_class == "Hard" and not job.goes_on
    return is_new and job.problem.max_iterations is not None and job.problem.fewest() is None


def _add(draft: Draft, jobs: Sequence[CalendarJob], beside: DeadlineClass, *, optional: Sequence[CalendarJob]) -> bool:
    """Give the jobs places beside workers of this class and those above; return False if there are none.

    Those that are optional are left out where they have none.
    """
    found = place_set(jobs, draft.left(beside), draft.pool, optional={job.name for job in optional})
    for job, reservation in found or ():
        draft.add(job, reservation, beside=beside)
    return found is not None


def _placed_again(draft: Draft, new: Sequence[CalendarJob]) -> Draft | None:
    """Place all Hard jobs that don't run, and as many of the new ones as possible, and nothing else."""
    promised = draft.hard
    time = DeviceTime(((placed.job, device_us(placed.reservation)) for placed in promised), draft.free)
    candidates = [job for job in new if time_alone_us(job) <= time.left_us(job.problem.time_us, job.device_names)]
    return _place_all_again(draft, [placed.job for placed in promised], candidates)
