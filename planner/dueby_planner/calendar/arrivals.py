"""Hard and Soft jobs: what they were given before is kept, and the new ones get their place.

    all new ones   together beside all workers, by deadline, if they fit so
    else Hard      one by one, by deadline: beside all workers; where BestEffort workers give way; where Relaxed ones
                   do; where Soft ones do, and what Soft jobs have reserved is placed again; all Hard jobs anew
    then Soft      one by one, likewise, but they move no other job

Those that then have no place stay without one here. No step breaks the promise of a Hard job.
"""

from collections.abc import Sequence

from dueby_api.inference_job import DeadlineClass
from dueby_planner.calendar.cut import find_cut
from dueby_planner.calendar.draft import Draft, Placed
from dueby_planner.calendar.free_devices import always_free
from dueby_planner.calendar.jobs import CalendarJob, by_deadline
from dueby_planner.calendar.keep import stored_reservation
from dueby_planner.calendar.place_set import place_set
from dueby_planner.calendar.pool import CalendarPool, Free
from dueby_planner.calendar.tables import Tables

GIVING_WAY: tuple[DeadlineClass, ...] = ("BestEffort", "Relaxed", "Soft")
"""The tables that a Hard or a Soft job is placed on, in this order: first beside all workers."""


def keep_stored(jobs: Sequence[CalendarJob], pool: CalendarPool) -> Draft:
    """Return the reservations of Hard jobs, and then of Soft ones, that can be kept as they are."""
    draft, expected = Draft(pool), Tables(pool.expected, pool.rivals)
    kinds: tuple[DeadlineClass, ...] = ("Hard", "Soft")
    for kind in kinds:
        for job in by_deadline(jobs, kind):
            if job.stored and (reservation := stored_reservation(job, expected.left(kind))):
                expected.take(reservation)
                draft.add(job, reservation, beside=kind, kept=True)
    return draft


def place_arrivals(jobs: Sequence[CalendarJob], draft: Draft, running: Sequence[CalendarJob]) -> Draft:
    """Return the calendar with those of the Hard and Soft jobs that can be in time as well."""
    new = [job for job in by_deadline(jobs, "Hard", "Soft") if job.name not in draft.placed]
    together = place_set(new, draft.left("BestEffort"), draft.pool.rivals)
    if together is not None:
        for job, reservation in together:
            draft.add(job, reservation, beside="BestEffort")
        return draft
    count = -1
    while count < len(_hard(draft)):  # until what was placed anew makes room for no other Hard job
        count = len(_hard(draft))
        for job in by_deadline(new, "Hard"):
            if job.name not in draft.placed and not draft.place(job, *GIVING_WAY):
                draft = _beside_hard_jobs(draft, job) or _anew(draft, job, running) or draft
    for job in by_deadline(jobs, "Soft"):
        if job.name not in draft.placed:
            draft.place(job, *GIVING_WAY)
    return draft


def whole_pool(pool: CalendarPool) -> Free:
    """Return all devices as if nothing ran on them."""
    return {name: always_free(count) for name, count in pool.whole.items()}


def _beside_hard_jobs(draft: Draft, job: CalendarJob) -> Draft | None:
    """Place the job where Soft workers and reservations give way, and leave out these reservations."""
    hard = Draft(draft.pool, _hard(draft))
    return hard if hard.place(job, "Hard") else None


def _anew(draft: Draft, job: CalendarJob, running: Sequence[CalendarJob]) -> Draft | None:
    """Place the job together with all Hard jobs that don't run, and nothing else."""
    jobs = [*(placed.job for placed in _hard(draft)), job]
    if find_cut([*running, *jobs], whole_pool(draft.pool), job) is not None:
        return None
    placed = place_set(jobs, draft.pool.free["Hard"], draft.pool.rivals)
    if placed is None:
        return None
    return Draft(draft.pool, [Placed(each, reservation, "Hard", kept=False) for each, reservation in placed])


def _hard(draft: Draft) -> list[Placed]:
    return [placed for placed in draft.placed.values() if placed.job.deadline_class == "Hard"]
