"""Running Hard jobs, and what is free and what is left of them if some of their workers are stopped.

A worker that is stopped ends its part first. What it would have done after that is placed like a new job's images, so
another start is paid for. The workers that stay are taken to stay until their job's deadline. With its device a worker
hands over what that costs of its job's quotas.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil

from dueby_planner.calendar.draft import HandingOver
from dueby_planner.calendar.free_devices import Taken
from dueby_planner.calendar.jobs import CalendarJob
from dueby_planner.calendar.pool import CalendarPool, Free, less
from dueby_planner.calendar.quotas import charged
from dueby_planner.replan import HYSTERESIS


@dataclass(frozen=True, kw_only=True)
class RunningWorker:
    """A worker of a running job. Times count from now."""

    name: str
    devices: str
    """The name of the devices of which it has one."""
    images: int
    """What it will do by the job's deadline."""
    ends_us: int
    """Until then the tables of free devices are without its device."""
    may_stay_us: int
    """Until then it may keep its device."""
    gives_way_us: int | None = None
    """How soon it would be gone; None: it can't be stopped now."""
    is_young: bool = False
    """Whether it has just started, and is stopped only where there is time enough."""


@dataclass(frozen=True, kw_only=True)
class RunningJob:
    """A Hard job that has workers."""

    job: CalendarJob
    """All that is left of it, with the workers that it has."""
    workers: tuple[RunningWorker, ...] = ()
    """Empty if none of them may be stopped."""


Workers = Sequence[tuple[RunningJob, RunningWorker]]


class Stopped:
    """Workers of running jobs, as if they were stopped now."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        jobs: dict[str, RunningJob] = {}
        stopped: defaultdict[str, list[str]] = defaultdict(list)
        for running, worker in workers:
            jobs[running.job.name] = running
            stopped[running.job.name].append(worker.name)
        self.names: HandingOver = {name: tuple(workers) for name, workers in stopped.items()}
        """The workers."""
        chosen = {name: frozenset(workers) for name, workers in stopped.items()}
        self._staying = [
            (running, [worker for worker in running.workers if worker.name not in chosen[name]])
            for name, running in jobs.items()
        ]
        """The other workers of their jobs."""

    def rests(self) -> list[CalendarJob]:
        """Return what of their jobs is to be placed, beside the workers that stay."""
        return [rest for running, staying in self._staying if (rest := _rest(running, staying))]

    def free(self, free: Free) -> Free:
        """Return what is free then, if the workers that stay do so for as long as they may."""
        longer = [
            (running, worker.devices, Taken(worker.ends_us, worker.may_stay_us, 1))
            for running, staying in self._staying
            for worker in staying
        ]
        return _beside(given_back(free, self._workers), longer)

    def pool(self, pool: CalendarPool) -> CalendarPool:
        """Return the pool as it is then.

        What is expected to be free is only asked for where something is kept, and beside these nothing is.
        """
        return replace(pool, free={kind: self.free(free) for kind, free in pool.free.items()})


def given_back(free: Free, stopped: Workers) -> Free:
    """Return what is free if these workers are stopped, and their jobs have no others."""
    given = [
        (running, each.devices, Taken(each.gives_way_us, each.ends_us, -1))
        for running, each in stopped
        if each.gives_way_us is not None
    ]
    return _beside(free, given)


def _rest(running: RunningJob, workers: Sequence[RunningWorker]) -> CalendarJob | None:
    """Return what the workers that stay may not do by the deadline; None if at the job's confidence that is nothing.

    Each of those that stay may lose a part, as each that is started again: where a job hands over shortly before its
    deadline, its parts are large beside what is left.
    """
    staying = sorted((worker.images for worker in workers), reverse=True)
    problem = running.job.problem
    margin = problem.rule.margin([(images, 1) for images in staying], len(staying))
    noise = ceil(problem.images * HYSTERESIS) + problem.rule.loss(len(staying))
    images = problem.images + max(margin, noise) - sum(staying)
    if images <= 0:
        return None
    return replace(
        running.job, stored=(), problem=replace(problem, images=images, max_gpus=problem.most - len(staying))
    )


def _beside(free: Free, taken: Iterable[tuple[RunningJob, str, Taken]]) -> Free:
    """Return what is left beside what these jobs take of devices, and with them of their quotas."""
    by_name: defaultdict[str, list[Taken]] = defaultdict(list)
    for running, devices, each in taken:
        if each.from_us < each.to_us:
            for name, of_name in charged(devices, each, running.job.quotas):
                by_name[name].append(of_name)
    return less(free, by_name)
