"""The proof that a set of jobs can't be done: they need more device time than there is for them.

Of a job that runs b images in L at best, N images take at least N L / b of device time. Each start loses at least
S + W - L of it, and no device does more than what it can from now to the deadline, which says how many starts there
are at least. What there is until the last deadline is counted exactly: at each moment the devices of the classes that
jobs with a later deadline may use, and no more than these jobs may hold together. All of it is integers, without any
margin: what is impossible here is impossible at every confidence.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import ceil

from dueby_planner.calendar.filling import Column, Demand, find_overfull
from dueby_planner.calendar.jobs import CalendarJob, by_deadline
from dueby_planner.calendar.pool import Free
from dueby_planner.model.problem import Problem


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Jobs that need more than there is."""

    jobs: tuple[CalendarJob, ...]
    """By deadline."""
    until_us: int
    """The last deadline among them."""
    needed_us: int
    """Device time that they take at least."""
    available_us: int
    """Device time that there is for them."""


def find_cut(jobs: Sequence[CalendarJob], free: Free, refused: CalendarJob) -> Cut | None:
    """Return a cut with the refused job in it, by as few jobs as are easily found; None if none is found."""
    demands = {
        job.name: Demand(device_us, job.problem.time_us, job.problem.most)
        for job in by_deadline(jobs)
        if (device_us := needed_us(job.problem)) is not None
    }
    if refused.name not in demands:  # it is impossible whatever the others do
        return None
    ordered = [job for job in by_deadline(jobs) if job.name in demands]
    columns = [Column(from_us, to_us - from_us, there) for from_us, to_us, there in _times(ordered, free)]
    found = find_overfull(list(demands.values()), columns)
    chosen = [ordered[number] for number in sorted(found or ())]
    if refused not in chosen or not _is_cut(chosen, free):
        return None
    return _cut(_fewest(chosen, free, refused), free)


def needed_us(problem: Problem) -> int | None:
    """Return the device time that the job takes at least; None if no device starts before its deadline."""
    choices = [choice for group in problem.groups for choice in group.choices]
    # Where the first mini-batch takes less than the others, nothing is lost, and many starts would be the fastest.
    pace = min(Fraction(min(each.latency_us, each.expected_start_us), each.mini_batch_size) for each in choices)
    lost_us = max(0, min(choice.expected_start_us - choice.latency_us for choice in choices))
    if problem.time_us <= lost_us:
        return None
    images_each = (problem.time_us - lost_us) / pace if pace else problem.images
    return ceil(problem.images * pace) + ceil(problem.images / images_each) * lost_us


def available_us(jobs: Sequence[CalendarJob], free: Free) -> int:
    """Return the device time that these jobs can have together before their deadlines."""
    total = 0
    for from_us, to_us, there in _times(jobs, free):
        may_hold = sum(job.problem.most for job in jobs if job.problem.time_us > from_us)
        total += (to_us - from_us) * min(there, may_hold)
    return total


def _times(jobs: Sequence[CalendarJob], free: Free) -> Iterator[tuple[int, int, int]]:
    """Yield how many devices there are from when to when, of classes that jobs with a later deadline may use."""
    deadlines = {job.problem.time_us for job in jobs}
    names = {group.device_class for job in jobs for group in job.problem.groups}
    borders = {0, *deadlines, *(step.from_us for name in names for step in free.get(name, ()))}
    for from_us, to_us in pairwise(sorted(border for border in borders if border <= max(deadlines))):
        open_jobs = [job.problem for job in jobs if job.problem.time_us > from_us]
        usable = {group.device_class for problem in open_jobs for group in problem.groups}
        there = sum(step.free for name in usable for step in free.get(name, ()) if step.from_us <= from_us < step.to_us)
        yield from_us, to_us, there


def _is_cut(jobs: Sequence[CalendarJob], free: Free) -> bool:
    return _needed_us(jobs) > available_us(jobs, free)


def _needed_us(jobs: Iterable[CalendarJob]) -> int:
    return sum(needed_us(job.problem) or 0 for job in jobs)


def _fewest(jobs: list[CalendarJob], free: Free, refused: CalendarJob) -> list[CalendarJob]:
    """Leave out the jobs without which it is a cut as well, the smallest first; the refused one stays."""
    for job in sorted((job for job in jobs if job is not refused), key=lambda job: needed_us(job.problem) or 0):
        rest = [other for other in jobs if other is not job]
        if _is_cut(rest, free):
            jobs = rest
    return jobs


def _cut(jobs: list[CalendarJob], free: Free) -> Cut:
    return Cut(
        jobs=tuple(by_deadline(jobs)),
        until_us=max(job.problem.time_us for job in jobs),
        needed_us=_needed_us(jobs),
        available_us=available_us(jobs, free),
    )
