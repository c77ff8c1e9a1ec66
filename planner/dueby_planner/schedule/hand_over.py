"""Running Hard jobs that hand devices over to a Hard job that has no place otherwise, and go on later.

    a job has no place, even if all that is reserved for Hard jobs is placed again
        of the running jobs, that with the latest deadline first: stop workers, as few as seem to be needed
        place what is reserved, the job, and what the stopped workers would have done
        not all fit: try twice as many; all fit: try fewer

A worker that is stopped ends its part first. What it would have done after that is placed like a new job's images, so
another start is paid for. The workers that stay are taken to stay until their job's deadline. With its device a worker
hands over what that costs of its job's limits.

Mostly it is a job with a later deadline that can go on later. One with an earlier deadline can help where it has more
devices than it needs by now. A job that has no place for want of a limit is helped by those alone who have some of it.

Where many jobs come within a minute, the first of them have devices that later ones need sooner. So workers that have
just started are stopped, too, but only of jobs that start within 5 % of the time that they have left: where there is
little time, a slow start or step would break a promise.

Each try takes as long as a calendar does. So where many jobs have no place, a few of them are tried in each pass.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, sqrt

from dueby_api.units import MICROS_PER_SECOND
from dueby_planner.schedule.calendar_job import CalendarJob, Placement
from dueby_planner.schedule.draft import Draft, HandingOver
from dueby_planner.schedule.free_devices import CalendarPool, Claims, Free, Taken, less
from dueby_planner.schedule.lag import HYSTERESIS
from dueby_planner.schedule.place import free_us
from dueby_planner.schedule.place_job import DeviceTime, can_be_done, place_set, time_alone_us, within_limits
from dueby_planner.schedule.reservation import are_free, charged, device_us


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
        longer = (
            claim
            for running, staying in self._staying
            for worker in staying
            for claim in _claims(running, worker, worker.ends_us, worker.may_stay_us, 1)
        )
        return less(given_back(free, self._workers), longer)

    def pool(self, pool: CalendarPool) -> CalendarPool:
        """Return the pool as it is then.

        What is expected to be free is only asked for where something is kept, and beside these nothing is.
        """
        return replace(pool, free={kind: self.free(free) for kind, free in pool.free.items()})


def given_back(free: Free, stopped: Workers) -> Free:
    """Return what is free if these workers are stopped, and their jobs have no others."""
    return less(
        free,
        (
            claim
            for running, worker in stopped
            if worker.gives_way_us is not None
            for claim in _claims(running, worker, worker.gives_way_us, worker.ends_us, -1)
        ),
    )


def _claims(running: RunningJob, worker: RunningWorker, from_us: int, to_us: int, devices: int) -> Claims:
    """Return what the job takes more of the worker's devices, and with them of its limits, between two times."""
    return charged(worker.devices, Taken(from_us, to_us, devices), running.job.limits) if from_us < to_us else ()


def _rest(running: RunningJob, workers: Sequence[RunningWorker]) -> CalendarJob | None:
    """Return what the workers that stay may not do by the deadline; None if at the job's confidence that is nothing.

    Each of those that stay may lose a part, as each that is started again: where a job hands over shortly before its
    deadline, its parts are large beside what is left.
    """
    staying = sorted((worker.images for worker in workers), reverse=True)
    problem = running.job.problem
    margin = problem.rule.of_started.margin([(images, 1) for images in staying], len(staying))
    noise = ceil(problem.images * HYSTERESIS) + problem.rule.loss(len(staying))
    images = problem.images + max(margin, noise) - sum(staying)
    if images <= 0:
        return None
    return replace(
        running.job, stored=(), problem=replace(problem, images=images, max_gpus=problem.most - len(staying))
    )


# So many sets of workers are tried for one job.
_MOST_TRIES = 6
# In one pass so many jobs are looked at if they are more than can be tried. For one that is tried all jobs that have
# places are placed again: as many are tried as that is so many in all, but one at least.
_MOST_LOOKED_AT, _MOST_PLACED = 16, 100
# Workers that have just started are stopped if another start takes at most this part of the time that their job has.
_SOON = 0.05
_GOLDEN_RATIO = (1 + sqrt(5)) / 2


def hand_over(draft: Draft, new: Sequence[CalendarJob], running: Sequence[RunningJob]) -> Draft | None:
    """Return a draft with a place for one more of the new Hard jobs, if running ones can hand devices over to it.

    What is reserved for Hard jobs is placed again, and nothing else is in that draft.
    """
    if not running or not new:
        return None
    tries = max(1, _MOST_PLACED // (1 + len(draft.placed)))
    are_many = len(new) > tries
    for job in _in_turn(new)[:_MOST_LOOKED_AT] if are_many else new:
        search = _Search(draft, job, running)
        if not search.may_find() or (are_many and not search.has_device_time()):
            continue
        if found := search.find():
            return found
        tries -= 1
        if not tries:
            break
    return None


def _starts_soon(running: RunningJob) -> bool:
    """Return whether another start takes little of the time that the job has left."""
    problem = running.job.problem
    start_us = max(choice.start_us for group in problem.groups for choice in group.choices)
    return start_us <= _SOON * problem.time_us


def _in_turn(jobs: Sequence[CalendarJob]) -> Sequence[CalendarJob]:
    """Return the jobs, and at another time with another one as the first.

    Nothing is remembered from one pass to the next, and yet each has its turn: multiples of the golden ratio, modulo 1,
    are spread evenly, whatever the time between passes is.
    """
    seconds = jobs[0].problem.time_us / MICROS_PER_SECOND
    first = int(len(jobs) * (seconds * _GOLDEN_RATIO % 1))
    return [*jobs[first:], *jobs[:first]]


class _Search:
    """The search for workers to stop, so that one job gets a place."""

    def __init__(self, draft: Draft, job: CalendarJob, running: Sequence[RunningJob]) -> None:
        self._draft = draft
        self._job = job
        self._is_limit_short = bool(job.limits) and self._is_done_on(draft.left("Hard"), replace(job, limits={}))
        self._order: Workers = [
            (each, worker)
            for each in sorted(running, key=lambda each: (-each.job.problem.time_us, each.job.name))
            if each.job.name not in draft.tight
            for worker in reversed(each.workers)
            if worker.gives_way_us is not None
            and (not worker.is_young or _starts_soon(each))
            and self._helps(each, worker)
        ]
        """The workers that can be stopped, in the order in which they are."""

    def may_find(self) -> bool:
        """Return whether the job would be in time if all these workers were stopped, and went on never."""
        if self._seemingly_needed > len(self._order):
            return False
        return self._is_done_on(given_back(self._draft.left("Hard"), self._order), self._job)

    def has_device_time(self) -> bool:
        """Return whether there seems to be enough for all Hard jobs if as few workers are stopped as seem to be needed.

        That is not certain, but a try takes long.
        """
        stopped = Stopped(self._order[: self._seemingly_needed])
        takes = [(placed.job, device_us(placed.reservation)) for placed in self._promised(stopped)]
        rests = [(job, time_alone_us(job)) for job in stopped.rests()]
        time, names = DeviceTime([*takes, *rests], stopped.free(self._draft.free)), self._job.device_names
        left_us = time.left_us(self._job.problem.time_us, names)
        return time.left_us(0, names) >= 0 and left_us >= time_alone_us(self._job)

    def find(self) -> Draft | None:
        """Return the draft with the job in it; None if none is found."""
        most, count = len(self._order), self._seemingly_needed
        found, too_few = None, count - 1
        for _ in range(_MOST_TRIES):
            if draft := self._draft_without(Stopped(self._order[:count])):
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
        if self._is_limit_short:
            return any(running.job.limits.get(limit, {}).get(worker.devices) for limit in self._job.limits)
        return worker.devices in self._job.device_names

    @cached_property
    def _seemingly_needed(self) -> int:
        """With how many workers less the device time is there that the job takes; more than there are: never."""
        until_us = self._job.problem.time_us
        left = within_limits(self._job, self._draft.left("Hard"))
        missing_us = time_alone_us(self._job) - free_us(left, until_us, self._job.device_names)
        for count, (_, worker) in enumerate(self._order, 1):
            missing_us -= max(0, min(worker.ends_us, until_us) - (worker.gives_way_us or 0))
            if missing_us <= 0:
                return count
        return len(self._order) + 1

    def _is_done_on(self, free: Free, job: CalendarJob) -> bool:
        return can_be_done(job, free, job.problem.time_us)

    def _promised(self, stopped: Stopped) -> list[Placement]:
        """Return the Hard jobs that have a place, but for what is placed again of those that hand over."""
        return [each for each in self._draft.hard if each.job.name not in stopped.names]

    def _draft_without(self, stopped: Stopped) -> Draft | None:
        """Return the draft with all Hard jobs placed again if these workers are stopped; None if not all fit."""
        pool = stopped.pool(self._draft.pool)
        tight = [replace(each, beside="Hard") for each in self._draft.tight.values()]
        # Workers that stay may do so longer, on devices that a job which nobody moves has after them.
        if not are_free(((each.reservation, each.job.limits) for each in tight), pool.free["Hard"]):
            return None
        draft = Draft(pool, tight=tight, handing_over=stopped.names)
        jobs = [*(each.job for each in self._promised(stopped)), *stopped.rests(), self._job]
        placements = place_set(jobs, draft.left("Hard"), change_us=pool.change_us)
        for placement in placements or ():
            draft.add(placement)
        return draft if placements else None
