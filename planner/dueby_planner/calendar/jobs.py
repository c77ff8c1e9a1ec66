"""A job of the calendar, and in which order jobs are placed."""

from collections.abc import Iterable
from dataclasses import dataclass

from dueby_api.inference_job import DeadlineClass
from dueby_planner.model.problem import Problem


@dataclass(frozen=True, kw_only=True)
class CalendarJob:
    """One job of several on one pool."""

    name: str
    deadline_class: DeadlineClass
    problem: Problem
    """The job alone on the whole pool, as far as it may use it."""


def by_deadline(jobs: Iterable[CalendarJob], *classes: DeadlineClass) -> list[CalendarJob]:
    """Return the jobs of these deadline classes, or all of them, the earliest deadline first."""
    found = [job for job in jobs if not classes or job.deadline_class in classes]
    return sorted(found, key=lambda job: (job.problem.time_us, job.name))
