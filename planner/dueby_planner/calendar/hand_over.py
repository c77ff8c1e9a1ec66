"""Running Hard jobs that hand devices over to a Hard job that has no place otherwise, and go on later.

    a job has no place, even if all that is reserved for Hard jobs is placed anew
        of the running jobs, that with the latest deadline first: stop workers, as few as seem to be needed
        place what is reserved, the job, and what the stopped workers would have done
        not all fit: try twice as many; all fit: try fewer

Mostly it is a job with a later deadline that can go on later. One with an earlier deadline can help where it has more
devices than it needs by now.

A worker that is stopped ends its part first. What it would have done after that is placed like a new job's images, so
another start is paid for. The workers that stay are taken to stay until their job's deadline. With its device a worker
hands over what that costs of its job's quotas: a job that has no place for want of a quota is helped by those alone who
have some of it.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil

from dueby_planner.calendar.draft import Draft, Placed
from dueby_planner.calendar.free_devices import Taken
from dueby_planner.calendar.jobs import CalendarJob
from dueby_planner.calendar.place import free_us
from dueby_planner.calendar.place_job import can_be_done
from dueby_planner.calendar.place_set import place_set, time_alone_us
from dueby_planner.calendar.pool import CalendarPool, Free, less
from dueby_planner.calendar.quotas import charged, within_quotas
from dueby_planner.replan import HYSTERESIS

# So many sets of workers are tried for one job.
_MOST_TRIES = 6


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


@dataclass(frozen=True, kw_only=True)
class RunningJob:
    """A Hard job that has workers."""

    job: CalendarJob
    """All that is left of it, with the workers that it has."""
    workers: tuple[RunningWorker, ...] = ()
    """Empty if none of them may be stopped."""


Workers = list[tuple[RunningJob, RunningWorker]]


def hand_over(draft: Draft, new: Sequence[CalendarJob], running: Sequence[RunningJob]) -> Draft | None:
    """Return a draft with a place for one more of the new Hard jobs, if running ones can hand devices over to it.

    What is reserved for Hard jobs is placed anew, and nothing else is in that draft.
    """
    searches = (_Search(draft, job, running) for job in new) if running else ()
    return next((found for search in searches if (found := search.find())), None)


class _Search:
    """The search for workers to stop, so that one job gets a place."""

    def __init__(self, draft: Draft, job: CalendarJob, running: Sequence[RunningJob]) -> None:
        self._draft = draft
        self._job = job
        self._is_quota_short = bool(job.quotas) and self._is_done_on(draft.left("Hard"), replace(job, quotas={}))
        self._order: Workers = [
            (each, worker)
            for each in sorted(running, key=lambda each: (-each.job.problem.time_us, each.job.name))
            for worker in reversed(each.workers)
            if worker.gives_way_us is not None and self._helps(each, worker)
        ]
        """The workers that can be stopped, in the order in which they are."""

    def find(self) -> Draft | None:
        """Return the draft with the job in it; None if none is found."""
        most, count = len(self._order), self._seemingly_needed()
        if count > most or not self._has_place():
            return None
        found, too_few = None, count - 1
        for _ in range(_MOST_TRIES):
            if draft := self._draft_without(self._order[:count]):
                found, enough = draft, count
            elif count == most:
                return None
            else:
                too_few = count
            if found and enough - too_few <= 1:
                break
            count = (too_few + enough) // 2 if found else min(2 * count, most)
        return found

    def _helps(self, running: RunningJob, worker: RunningWorker) -> bool:
        """Return whether the job could use what the worker has."""
        if self._is_quota_short:
            return any(running.job.quotas.get(quota, {}).get(worker.devices) for quota in self._job.quotas)
        return worker.devices in self._job.device_names

    def _seemingly_needed(self) -> int:
        """Return with how many workers less the device time is there that the job takes; more than there are: never."""
        until_us = self._job.problem.time_us
        left = within_quotas(self._job, self._draft.left("Hard"))
        missing_us = time_alone_us(self._job) - free_us(left, until_us, self._job.device_names)
        for count, (_, worker) in enumerate(self._order, 1):
            missing_us -= max(0, min(worker.ends_us, until_us) - (worker.gives_way_us or 0))
            if missing_us <= 0:
                return count
        return len(self._order) + 1

    def _has_place(self) -> bool:
        """Return whether the job would be in time if all these workers were stopped, and went on never."""
        return self._is_done_on(_given_back(self._draft.left("Hard"), self._order), self._job)

    def _is_done_on(self, free: Free, job: CalendarJob) -> bool:
        return can_be_done(job, free, job.problem.time_us)

    def _draft_without(self, stopped: Workers) -> Draft | None:
        """Return the draft with all Hard jobs placed anew if these workers are stopped; None if not all of them fit."""
        by_job: defaultdict[str, list[RunningWorker]] = defaultdict(list)
        jobs = {running.job.name: running for running, _ in stopped}
        for running, worker in stopped:
            by_job[running.job.name].append(worker)
        kept = [
            (running, worker)
            for name, running in jobs.items()
            for worker in running.workers
            if worker not in by_job[name]
        ]
        pool = _pool_without(self._draft.pool, stopped, kept)
        promised = [
            each.job
            for name, each in self._draft.placed.items()
            if each.job.deadline_class == "Hard" and name not in jobs
        ]
        rests = [rest for name, running in jobs.items() if (rest := _rest(running, by_job[name]))]
        placed = place_set([*promised, *rests, self._job], pool.free["Hard"], pool)
        if placed is None:
            return None
        names = {name: tuple(worker.name for worker in workers) for name, workers in by_job.items()}
        return Draft(pool, (Placed(*each, "Hard", kept=False) for each in placed), handing_over=names)


def _rest(running: RunningJob, stopped: Sequence[RunningWorker]) -> CalendarJob | None:
    """Return what the workers that stay may not do by the deadline; None if at the job's confidence that is nothing.

    Each of those that stay may lose a part, as each that is started again: where a job hands over shortly before its
    deadline, its parts are large beside what is left.
    """
    staying = sorted((worker.images for worker in running.workers if worker not in stopped), reverse=True)
    problem = running.job.problem
    margin = problem.rule.margin([(images, 1) for images in staying], len(staying))
    noise = ceil(problem.images * HYSTERESIS) + problem.rule.loss(len(staying))
    images = problem.images + max(margin, noise) - sum(staying)
    if images <= 0:
        return None
    return replace(
        running.job, stored=(), problem=replace(problem, images=images, max_gpus=problem.most - len(staying))
    )


def _pool_without(pool: CalendarPool, stopped: Workers, staying: Workers) -> CalendarPool:
    """Return the pool if these workers are stopped, and the others of their jobs stay as long as they may.

    What is expected to be free is only asked for where something is kept, and beside these nothing is.
    """
    longer = [(running, each.devices, Taken(each.ends_us, each.may_stay_us, 1)) for running, each in staying]
    return replace(pool, free={kind: _beside(_given_back(free, stopped), longer) for kind, free in pool.free.items()})


def _given_back(free: Free, stopped: Workers) -> Free:
    """Return what is free if these workers are stopped."""
    given = [
        (running, each.devices, Taken(each.gives_way_us, each.ends_us, -1))
        for running, each in stopped
        if each.gives_way_us is not None
    ]
    return _beside(free, given)


def _beside(free: Free, taken: Iterable[tuple[RunningJob, str, Taken]]) -> Free:
    """Return what is left beside what these jobs take of devices, and with them of their quotas."""
    by_name: defaultdict[str, list[Taken]] = defaultdict(list)
    for running, devices, each in taken:
        if each.from_us < each.to_us:
            for name, of_name in charged(devices, each, running.job.quotas):
                by_name[name].append(of_name)
    return less(free, by_name)
