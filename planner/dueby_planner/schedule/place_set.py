"""Place several jobs so that all of them are in time.

They are placed in the order of deadlines with the fewest devices for each job. If a job doesn't fit, it and the m jobs
before it are levelled (place.py), for m = 1, 2, 4, 8, 16. That finds most of the calendars there are, but not all.

How much device time is left for one more job beside others, by its deadline and by each later one.

What is left by a deadline is what is free until then, less what those jobs take that have to be done by then. A job
that takes more than is left by its own deadline, or by a later one, hardly has a place. It may have one, since the
others may take less if they are placed again, and a little of that is allowed for. But to place them all takes long.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable
from itertools import accumulate
from operator import itemgetter

from dueby_planner.model.problem import NEVER_US
from dueby_planner.schedule.calendar_job import CalendarJob, by_deadline
from dueby_planner.schedule.free_devices import CalendarPool, Free, always_free
from dueby_planner.schedule.place import free_us, place, usable
from dueby_planner.schedule.place_job import place_job
from dueby_planner.schedule.reservation import Reservation, device_us
from dueby_planner.schedule.tables import take

Reservations = list[tuple[CalendarJob, Reservation]]
# So many jobs are levelled at most: where that finds a place at all, more are hardly ever needed.
_MAX_LEVELLED = 16


def place_set(
    jobs: Iterable[CalendarJob], free: Free, pool: CalendarPool, *, optional: Collection[str] = (), at_least: int = 0
) -> Reservations | None:
    """Return reservations on what is `free` of the pool with which the jobs are in time; None if none were found.

    None as well if they would be fewer than `at_least`.

    The `optional` jobs, by name, are left out where no place is found for them, or where one of the others finds none
    beside them. Once no place has been found for one although jobs were levelled, none are levelled for another one:
    where one job finds no place, others seldom do, and to try it for each takes long.
    """
    placed: Reservations = []
    left = [free]
    """What is left beside the first 0, 1, 2, ... of them."""
    queue = by_deadline(jobs)
    names = frozenset[str]().union(*(job.device_names for job in queue))
    may_level, leave_out, at = True, 1, 0
    while len(placed) + len(queue) - at >= at_least:
        if at == len(queue):
            return placed
        job, is_optional = queue[at], queue[at].name in optional
        at += 1
        if (reservation := place_job(job, left[-1])) is not None:
            placed.append((job, reservation))
            left.append(_less(left[-1], job, reservation, pool))
            continue
        if (may_level or not is_optional) and _has_room(job, left[-1], names):
            if _make_room(job, placed, left, pool):
                continue
            may_level = may_level and not is_optional
        if not is_optional:
            # Go back to before the last optional jobs, and on without them; each time it is twice as many.
            first = _latest(placed, optional, leave_out)
            if first is None:
                return None
            began = queue.index(placed[first][0])
            del placed[first:], left[first + 1 :]
            queue[began:at] = [each for each in queue[began:at] if each.name not in optional]
            at, leave_out = began, 2 * leave_out
    return None


def _latest(placed: Reservations, optional: Collection[str], count: int) -> int | None:
    """Return where the last `count` optional jobs begin, or all of them if they are fewer; None if there are none."""
    at = [index for index, (job, _) in enumerate(placed) if job.name in optional]
    return at[-count:][0] if at else None


def _has_room(job: CalendarJob, free: Free, names: Iterable[str]) -> bool:
    """Return whether the job's device time is left: to level jobs moves device time, and makes none."""
    return time_alone_us(job) <= free_us(free, job.problem.time_us, names)


def time_alone_us(job: CalendarJob) -> int:
    """Return the device time that the job takes on idle devices; NEVER_US if it can't be done."""
    idle = {name: always_free(count) for name, count in usable(job.problem).items()}
    alone = place(job.problem, idle)
    return NEVER_US if alone is None else device_us(alone)


def _make_room(job: CalendarJob, placed: Reservations, left: list[Free], pool: CalendarPool) -> bool:
    """Level the job and as many before it as are needed; return whether that gives it a place."""
    before = 1
    while before <= _MAX_LEVELLED:
        first = max(0, len(placed) - before)
        jobs = [*(each for each, _ in placed[first:]), job]
        if again := _levelled(jobs, left[first], pool):
            placed[first:], left[first + 1 :] = again
            return True
        if not first:
            return False
        before *= 2
    return False


def _levelled(jobs: Iterable[CalendarJob], free: Free, pool: CalendarPool) -> tuple[Reservations, list[Free]] | None:
    placed: Reservations = []
    left = []
    for job in jobs:
        reservation = place_job(job, free, levelled=True)
        if reservation is None:
            return None
        placed.append((job, reservation))
        free = _less(free, job, reservation, pool)
        left.append(free)
    return placed, left


def _less(free: Free, job: CalendarJob, reservation: Reservation, pool: CalendarPool) -> Free:
    return take(free, reservation, job.quotas, change_us=pool.change_us)


# Jobs that are placed again may take less than they did, but in benchmarks/calendar_speed.py by less than this part.
_AND_SAVED = 1.01


class DeviceTime:
    """What is left beside jobs and the device time that each takes."""

    def __init__(self, takes: Iterable[tuple[CalendarJob, int]], free: Free) -> None:
        self._takes = sorted(takes, key=lambda each: each[0].problem.time_us)
        self._free = free
        self._found: dict[frozenset[str], _Left] = {}

    def left_us(self, from_us: int, names: frozenset[str]) -> float:
        """Return the least that is left by that time and by each later deadline, of devices of these names.

        Jobs that may have other devices, too, are not counted.
        """
        if names not in self._found:
            takes = [(job.problem.time_us, us) for job, us in self._takes if job.device_names <= names]
            self._found[names] = _Left(takes, self._free, names)
        return self._found[names].by_us(from_us)


class _Left:
    """What is left of devices of some names beside jobs, by their deadlines, which ascend."""

    def __init__(self, takes: list[tuple[int, int]], free: Free, names: Iterable[str]) -> None:
        self._tables = [
            (steps, [0, *accumulate((step.to_us - step.from_us) * step.free for step in steps)])
            for name in names
            if (steps := free.get(name, ()))
        ]
        self._deadlines = [until_us for until_us, _ in takes]
        self._taken = [0, *accumulate(took_us for _, took_us in takes)]
        left = [self._left_us(until_us) for until_us in self._deadlines]
        self._least = [*reversed([*accumulate(reversed(left), min)])]
        """By each of them and by all later ones."""

    def by_us(self, from_us: int) -> float:
        later = self._least[bisect_right(self._deadlines, from_us) :]
        return min([self._left_us(from_us), *later[:1]])

    def _left_us(self, until_us: int) -> float:
        there_us = 0
        for steps, totals in self._tables:
            at = max(0, bisect_left(steps, until_us, key=itemgetter(0)) - 1)
            there_us += totals[at] + (until_us - steps[at].from_us) * steps[at].free
        return _AND_SAVED * there_us - self._taken[bisect_right(self._deadlines, until_us)]
