"""The calendar of several jobs on one pool: who has which devices when, in the order of the deadline classes.

    Hard and Soft   together in the order of their deadlines, if all of them fit so
    otherwise       each Hard job by deadline: beside those placed before it, or with these placed anew, or refused;
                    then each Soft job, likewise, and those that can't be in time so that they end soon
    Relaxed         on what is left, by deadline; those that can't be in time so that they end soon
    BestEffort      on what is left now, whenever that ends; without an idle device they wait

A set is placed in the order of deadlines with the fewest devices for each job. If a job doesn't fit, it and the m jobs
before it are levelled (place.py), for m = 1, 2, 4, ... That finds most of the calendars there are, but not all.

A Hard job is refused only with a proof: on the idle pool no number of devices is accepted, or it and others need more
device time than there is (cut.py). Without one it is held, since another order of things might make room for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dueby_planner.calendar.advice import Advice, advise, earliest_us
from dueby_planner.calendar.cut import Cut, find_cut
from dueby_planner.calendar.free_devices import FreeDevices, Step, always_free, without
from dueby_planner.calendar.jobs import CalendarJob, by_deadline
from dueby_planner.calendar.place import place
from dueby_planner.calendar.reservation import Reservation, begins_us, finish_at_confidence_us
from dueby_planner.deadline_classes import Action
from dueby_planner.model.problem import Problem

Free = Mapping[str, FreeDevices]
# A late job has the fewest devices that end within this share of the earliest end.
LATER = 10


@dataclass(frozen=True, kw_only=True)
class Placement:
    """What is done with one job."""

    job: CalendarJob
    action: Action
    reservation: Reservation = ()
    """Empty if the job is refused, or has to wait."""

    @property
    def is_in_time(self) -> bool:
        """Whether the deadline is met at the job's confidence."""
        if not self.reservation:
            return False
        return finish_at_confidence_us(self.reservation, self.job.problem) <= self.job.problem.time_us


@dataclass(frozen=True, kw_only=True)
class Calendar:
    """What is done with all jobs."""

    placements: tuple[Placement, ...]
    """In the order in which the jobs were given."""
    pool: Mapping[str, int]
    """Devices by class."""
    cut: Cut | None
    """Why a Hard job is refused, where that was proved by device time."""
    advice: Mapping[str, Advice]
    """What would give the Hard jobs a place that have none, by name. Relaxed and BestEffort jobs would give way."""

    @property
    def is_feasible(self) -> bool:
        """Whether every Hard job is placed."""
        return all(found.reservation for found in self.placements if found.job.deadline_class == "Hard")


def make_calendar(jobs: Sequence[CalendarJob], pool: Mapping[str, int]) -> Calendar:
    """Return the calendar of jobs that all are there now, on an idle pool."""
    return _Planning(jobs, pool).calendar()


class _Planning:
    """A calendar while it is made."""

    def __init__(self, jobs: Sequence[CalendarJob], pool: Mapping[str, int]) -> None:
        self._jobs = jobs
        self._pool = pool
        self._idle: Free = {name: always_free(count) for name, count in pool.items()}
        self._free: Free = self._idle
        self._in_time: list[CalendarJob] = []
        """Jobs that are placed so that they are in time."""
        self._reservations: dict[str, Reservation] = {}
        """By the job's name."""
        self._left: Free = self._idle
        """What Hard and Soft jobs leave."""

    def calendar(self) -> Calendar:
        """Place all jobs."""
        urgent = by_deadline(self._jobs, "Hard", "Soft")
        if not self._place_anew(urgent):
            left = [job for kind in ("Hard", "Soft") for job in by_deadline(urgent, kind) if not self._place_with(job)]
            # What was placed anew since then may have made room.
            late = [job for job in left if not self._place_beside(job)]
            for job in by_deadline(late, "Soft"):
                self._place_soon(job)
        self._left = self._free
        for job in by_deadline(self._jobs, "Relaxed"):
            if not self._place_beside(job):
                self._place_soon(job)
        for job in by_deadline(self._jobs, "BestEffort"):
            self._place_now(job)
        return self._result()

    def _place_with(self, job: CalendarJob) -> bool:
        """Place the job beside those that are in time, or with them anew; return whether it is in time."""
        if self._place_beside(job):
            return True
        jobs = [*self._in_time, job]
        return find_cut(jobs, self._idle, job) is None and self._place_anew(jobs)

    def _place_anew(self, jobs: Sequence[CalendarJob]) -> bool:
        """Place all these jobs in time, and no others; if that fails, change nothing."""
        placed = place_set(jobs, self._idle)
        if placed is None:
            return False
        self._reservations, self._free = placed
        self._in_time = list(jobs)
        return True

    def _place_beside(self, job: CalendarJob) -> bool:
        reservation = place(job.problem, self._free)
        if reservation is not None:
            self._reserve(job, reservation)
            self._in_time.append(job)
        return reservation is not None

    def _place_soon(self, job: CalendarJob) -> None:
        """Give the job the fewest devices that end little later than all that are left would."""
        if reservation := _soon(job.problem, self._free):
            self._reserve(job, reservation)

    def _place_now(self, job: CalendarJob) -> None:
        """Give the job devices that are idle now, if there are any for long enough to do something."""
        idle = _idle_now(self._free)
        reservation = place(job.problem, idle, soon=True) or _soon(job.problem, idle)
        if reservation and begins_us(reservation) == 0:
            self._reserve(job, reservation)

    def _reserve(self, job: CalendarJob, reservation: Reservation) -> None:
        self._reservations[job.name] = reservation
        self._free = take(self._free, reservation)

    def _result(self) -> Calendar:
        hard = by_deadline(self._jobs, "Hard")
        promised = [job for job in hard if job.name in self._reservations]
        without_place = [job for job in hard if job.name not in self._reservations]
        cuts = {job.name: find_cut([*promised, job], self._idle, job) for job in without_place}
        return Calendar(
            placements=tuple(self._placement(job, is_cut=cuts.get(job.name) is not None) for job in self._jobs),
            pool=self._pool,
            cut=next((cut for cut in cuts.values() if cut), None),
            advice={job.name: advise(job.problem, self._left) for job in without_place},
        )

    def _placement(self, job: CalendarJob, *, is_cut: bool) -> Placement:
        reservation = self._reservations.get(job.name, ())
        return Placement(job=job, action=_action(job, reservation, is_cut=is_cut), reservation=reservation)


def place_set(jobs: Sequence[CalendarJob], free: Free) -> tuple[dict[str, Reservation], Free] | None:
    """Return reservations with which all jobs are in time, and what is left; None if none were found."""
    ordered = by_deadline(jobs)
    placed, failed = _place_in_order(ordered, free, frozenset())
    before = 1
    while placed is None:
        levelled = ordered[max(0, failed - before) : failed + 1]
        placed, again = _place_in_order(ordered, free, frozenset(job.name for job in levelled))
        if before >= len(ordered):
            break
        failed, before = max(failed, again), before * 2
    return placed


def take(free: Free, reservation: Reservation) -> Free:
    """Return what is free beside the reservation."""
    left = dict(free)
    for lane in reservation:
        left[lane.device_class] = without(left[lane.device_class], lane.taken())
    return left


def _place_in_order(
    jobs: Sequence[CalendarJob], free: Free, levelled: frozenset[str]
) -> tuple[tuple[dict[str, Reservation], Free] | None, int]:
    """Place one job after the other; return None and the place of the first that doesn't fit, if one doesn't."""
    reservations = {}
    for number, job in enumerate(jobs):
        reservation = place(job.problem, free, levelled=job.name in levelled)
        if reservation is None:
            return None, number
        reservations[job.name] = reservation
        free = take(free, reservation)
    return (reservations, free), len(jobs)


def _soon(problem: Problem, free: Free) -> Reservation | None:
    """Return the fewest devices that end little later than all that are free would; None if that is never."""
    soonest_us = earliest_us(problem, free)
    if soonest_us is None:
        return None
    return place(problem, free, until_us=soonest_us + soonest_us // LATER, soon=True)


def _idle_now(free: Free) -> Free:
    """Return what is free of the devices that are free now."""
    return {
        name: tuple(Step(step.from_us, step.to_us, min(step.free, steps[0].free)) for step in steps)
        for name, steps in free.items()
    }


def _action(job: CalendarJob, reservation: Reservation, *, is_cut: bool) -> Action:
    problem = job.problem
    if not reservation:
        if job.deadline_class != "Hard":
            return "Wait"
        return "Refuse" if is_cut or problem.fewest() is None else "Hold"
    if job.deadline_class != "BestEffort" and finish_at_confidence_us(reservation, problem) > problem.time_us:
        return "StartLate"
    return "Start" if begins_us(reservation) == 0 else "Reserve"
