"""What is free over time, for whom: what nobody has, and what running workers leave when they end or give way.

A deadline class finds free what workers of its own class and of those above it leave. Workers of the classes below give
way to it, at the end of the part that they are at.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from types import MappingProxyType

from dueby_api.inference_job import DeadlineClass
from dueby_api.units import MICROS_PER_SECOND
from dueby_planner.model.problem import NEVER_US
from dueby_planner.schedule.calendar_job import Placement
from dueby_planner.schedule.devices import DeviceGroups, IdleDevices, Limit
from dueby_planner.schedule.free_devices import (
    CHANGE_US,
    CLASSES,
    CalendarPool,
    Free,
    Taken,
    always_free,
    least_free,
    less,
    proven,
    without,
)
from dueby_planner.schedule.job import JobKey, ScheduledJob, WorkerModel
from dueby_planner.schedule.lag import HYSTERESIS, finish_us
from dueby_planner.schedule.watch import ongoing, pause_us, whose_time_is_up


@dataclass(frozen=True, kw_only=True)
class HeldDevice:
    """A device that a running worker has. Times count from now."""

    key: JobKey
    worker: str
    group: str
    """Empty if it has no device, and waits in its queue for what others have."""
    device_class: str
    deadline_class: DeadlineClass
    """Of its job."""
    ends_us: int
    """When it is expected to end."""
    surely_ends_us: int
    """The same with a margin."""
    done_us: int
    """When its work is expected to be done, whatever else its device is meant for."""
    start_us: int = 0
    """What another start would take, if what it leaves is done by a new worker."""
    bound_us: int = NEVER_US
    """It can't have its device for longer."""
    gives_way_us: int
    """How soon it could be gone."""
    can_give_way: bool = False
    """Whether it may be asked to now."""
    hands_over_us: int = NEVER_US
    """How soon it could be gone if its job hands devices over, even just after its start; NEVER_US: not now."""
    until_us: int | None = None
    """When its device is meant for others; None: it may be kept to the end."""
    is_on_its_way: bool = False
    """Whether its device counts as idle yet."""
    is_queued: bool = False
    """Whether its queue hasn't admitted it yet, and counts what it is to have as unused."""


GIVEN_OUT: DeadlineClass = "BestEffort"
"""The class on whose table devices are given out now: what is free beside all workers."""


def pool_beside(groups: DeviceGroups, holds: Sequence[HeldDevice], *, leave_us: int = 1) -> CalendarPool:
    """Return what is free beside these workers. `leave_us` is how long pods may take that are being deleted."""
    holders: dict[str, list[tuple[HeldDevice, int]]] = defaultdict(list)
    """Who has how many devices of a group, or units of a limit."""
    for hold in holds:
        holders[hold.group].append((hold, 1))
    for limit in groups.limits:
        holders[limit.name] = costs_of(limit, holds)
    worked_on = Counter(hold.group for hold in holds if not hold.is_on_its_way)
    counts = {group.name: group.idle + group.leaving + worked_on[group.name] for group in groups.all}
    away = {group.name: [Taken(*absence, group.devices) for absence in group.away] for group in groups.all}
    leaving = {group.name: group.leaving for group in groups.all}
    # Nodes are asked for only where devices that are there don't do, and never for BestEffort jobs.
    to_provision = {group.name: [Taken(0, NEVER_US, group.devices)] for group in groups.all if group.provision}
    # Workers of jobs that are left alone in this pass, or not there any more, have the others.
    unseen = {
        group.name: max(0, min(group.devices, group.idle + group.leaving + group.worked_on) - counts[group.name])
        for group in groups.all
    }
    # Pods that are being deleted use them, and those that do other things for the jobs.
    leaving |= {
        limit.name: 0 if limit.others is None else max(0, limit.used - limit.others - _used(limit, holds))
        for limit in groups.limits
    }
    counts |= {limit.name: max(0, limit.units - used_by_others(limit, holds)) for limit in groups.limits}

    def tables(*, surely: bool) -> Mapping[DeadlineClass, Free]:
        # Nobody knows when they are left, so nothing is given out on them, and what was given out before is kept.
        coming = {} if surely else unseen
        return {
            kind: {
                name: without(
                    always_free(count + coming.get(name, 0)),
                    [
                        *_held(holders[name], kind, surely=surely),
                        Taken(0, leave_us if surely else 1, leaving.get(name, 0)),
                        Taken(0, 1, coming.get(name, 0)),
                        *away.get(name, ()),
                        *(to_provision.get(name, ()) if kind == "BestEffort" else ()),
                    ],
                )
                for name, count in counts.items()
            }
            for kind in CLASSES
        }

    whole = {group.name: proven(without(always_free(group.devices), away[group.name])) for group in groups.all}
    return CalendarPool(whole=whole, free=tables(surely=True), expected=tables(surely=False), change_us=CHANGE_US)


def used_by_others(limit: Limit, holds: Iterable[HeldDevice]) -> int:
    """Return the units of the limit that are counted as taken permanently."""
    return max(0, limit.used - _used(limit, holds)) if limit.others is None else limit.others


def without_others(groups: DeviceGroups, holds: Sequence[HeldDevice]) -> DeviceGroups:
    """Return the groups and limits as they would be if these workers were all there are."""
    held = Counter(hold.group for hold in holds)
    queued = Counter(hold.group for hold in holds if hold.is_on_its_way)
    return replace(
        groups,
        all=tuple(
            replace(group, idle=max(0, group.devices - held[group.name]) + queued[group.name], leaving=0)
            for group in groups.all
        ),
        limits=tuple(
            replace(limit, used=limit.used - used_by_others(limit, holds)) if limit.has_queue else limit
            for limit in groups.limits
        ),
    )


def _used(limit: Limit, holds: Iterable[HeldDevice]) -> int:
    """Return the units of the limit that these workers use."""
    return sum(cost for hold, cost in costs_of(limit, holds) if not hold.is_queued)


def costs_of(limit: Limit, holds: Iterable[HeldDevice]) -> list[tuple[HeldDevice, int]]:
    """Return the workers that the limit binds, with the units that each costs."""
    return [(hold, limit.costs[hold.key].get(hold.device_class, 0)) for hold in holds if hold.key in limit.costs]


def _held(holds: Iterable[tuple[HeldDevice, int]], kind: DeadlineClass, *, surely: bool) -> list[Taken]:
    ends: Counter[int] = Counter()
    for hold, count in holds:
        end_us = hold.surely_ends_us if surely else hold.ends_us
        if CLASSES.index(hold.deadline_class) > CLASSES.index(kind) and hold.gives_way_us < NEVER_US:
            # What was reserved before is kept, however long it takes until the worker is gone.
            end_us = min(end_us, hold.gives_way_us if surely else 1)
        ends[max(1, end_us)] += count
    return [Taken(0, end_us, count) for end_us, count in ends.items()]


def claims_of_all(placements: Mapping[JobKey, Placement]) -> list[tuple[str, Taken]]:
    """Return what these jobs were given, of each group and each limit."""
    return [claim for placement in placements.values() for claim in placement.claims()]


class FreeNow:
    """What is free for one job from now on, beside what all others of a calendar were given.

    Each job asks for it. So what all of them were given is added up once, and the job's own part is given back: the
    work grows with the number of jobs, and not with its square.
    """

    def __init__(
        self, groups: DeviceGroups, pool: CalendarPool, given: Mapping[JobKey, Placement] = MappingProxyType({})
    ) -> None:
        """`pool` is what is free beside the workers that run."""
        self._groups = groups
        self._given = given
        # On that table there are none that have to be asked for.
        to_provision = {group.name: pool.free["Relaxed"][group.name] for group in groups.all if group.provision}
        self._balance = less({**pool.free[GIVEN_OUT], **to_provision}, claims_of_all(given), least=-NEVER_US)
        """Below zero where more is taken than there is."""

    def devices(self, key: JobKey, devices: Mapping[str, int], within_us: int) -> dict[str, int]:
        """Return how many of these devices by group are free for the job for so long."""
        own: dict[str, list[Taken]] = defaultdict(list)
        for name, claim in self._given[key].claims() if key in self._given else ():
            own[name].append(claim._replace(devices=-claim.devices))

        def least(name: str) -> int:
            free = without(self._balance.get(name, ()), own[name], least=-NEVER_US)
            return max(0, least_free(free, 0, max(1, within_us)))

        counts = {name: min(count, least(name)) for name, count in devices.items()}
        return self._groups.within_limits(key, counts, {limit: least(limit) for limit in self._groups.costs(key)})


def find_holds(job: ScheduledJob, groups: DeviceGroups, idle: IdleDevices) -> list[HeldDevice]:
    """Return the devices that a job's workers have.

    Workers that are on no node yet are taken off `idle`, what nobody has of each group and each limit. One that waits
    in its queue because there is no room has no device, and nobody knows when it gets one. As soon as there is quota
    again, it is its own.
    """
    if not job.alive:
        return []
    group_of = {worker.name: _group_of(job, worker, groups, idle) for worker in job.alive}
    admitted = [worker for worker in job.alive if worker.state != "queued" or group_of[worker.name]]
    rest_us, surely_us = (_rest_us(job, admitted, margin) for margin in (Fraction(0), HYSTERESIS))
    protected, kind = is_protected(job), job.deadline_class
    pause = pause_us(worker.assignment.choice.start_us for worker in job.alive)
    if kind == "Relaxed" and rest_us + pause > job.time_us:  # it can't wait any longer
        kind = "Soft"
    holds, up = [], whose_time_is_up(job)
    for worker in job.alive:
        group, is_queued = group_of[worker.name], worker.state == "queued"
        if group is None and not is_queued:
            continue
        until_us = worker.assignment.until_us
        left_us = None if until_us is None else until_us - job.now_us
        leaves_us = max(1, worker.leaves_us - job.now_us)
        gives_way_us = _gives_way_us(job, worker, is_protected=protected)
        own_us = left_us if left_us is not None and left_us > 0 else NEVER_US
        if is_up := worker.name in up:
            own_us = gives_way_us
        bound_us = min(leaves_us, own_us)
        # What is reserved on its device from now on is kept, however long it takes until the worker is gone.
        expected_us = 1 if is_up else bound_us
        holds.append(
            HeldDevice(
                key=job.key,
                worker=worker.name,
                group=group or "",
                device_class=worker.assignment.device_class,
                deadline_class=kind,
                ends_us=min(rest_us, expected_us) if group else NEVER_US,
                surely_ends_us=min(min(surely_us, own_us) + CHANGE_US, leaves_us) if group else NEVER_US,
                done_us=rest_us,
                start_us=worker.assignment.choice.expected_start_us,
                bound_us=bound_us,
                gives_way_us=gives_way_us,
                can_give_way=not protected and worker.can_shrink and not _young_us(job, worker),
                hands_over_us=NEVER_US if protected or not worker.can_shrink else _gone_us(job, worker),
                until_us=left_us,
                is_on_its_way=not worker.node and groups.have_nodes,
                is_queued=is_queued,
            )
        )
    return holds


def find_leaving(jobs: Iterable[ScheduledJob]) -> Mapping[JobKey, tuple[str, ...]]:
    """Return the names of the workers, by job, that are to stop now so that they end a part before their node goes.

    One that has not begun has nothing to end, and one that is stopped may come back to the same node.
    """
    leaving = {
        job.key: tuple(
            worker.name
            for worker in job.workers
            if worker.state == "running"
            and worker.can_shrink
            and worker.leaves_us - job.now_us <= _gone_us(job, worker)
        )
        for job in jobs
    }
    return {key: names for key, names in leaving.items() if names}


def is_protected(job: ScheduledJob) -> bool:
    """Return whether the job gave way a short time ago, and nothing has come into its sink since."""
    return bool(job.part_size) and job.gave_way_at == job.images_in_sink


def _group_of(job: ScheduledJob, worker: WorkerModel, groups: DeviceGroups, idle: IdleDevices) -> str | None:
    """Return what the worker's device is of. One that is on no node yet takes one that nobody has."""
    device_class = worker.assignment.device_class
    if worker.node or not groups.have_nodes:
        group = groups.at(job.key, device_class, worker.node)
        return group.name if group else None
    # Its queue counts a queued one as used.
    find = idle.could_leave_queue if worker.state == "queued" else idle.has_started
    return find(job.key, device_class, worker.assignment.pool, is_spot=worker.assignment.is_spot)


def _rest_us(job: ScheduledJob, workers: Sequence[WorkerModel], margin: Fraction) -> int:
    """Return the time until these workers have done what is left, and a share of it more."""
    images = ceil(job.images_left * (1 + margin))
    rest_us = finish_us([*ongoing(job, workers), *job.reserved], images)
    return NEVER_US if rest_us is None else max(1, rest_us)


def _gives_way_us(job: ScheduledJob, worker: WorkerModel, *, is_protected: bool) -> int:
    """Return how soon the worker would be gone: at the end of its part, and it isn't asked just after its start."""
    if not worker.can_shrink:
        return NEVER_US
    choice, gone_us = worker.assignment.choice, _gone_us(job, worker)
    if is_protected:  # its next part comes first
        gone_us += choice.start_us + _part_us(job, worker)
    return _young_us(job, worker) + gone_us


def _gone_us(job: ScheduledJob, worker: WorkerModel) -> int:
    """Return how long it takes until a worker that is told to stop is gone: to the end of its part.

    A part that takes longer than it is granted is dropped at once, but what it takes is known only roughly.
    """
    return min(_part_us(job, worker), job.grace_s * MICROS_PER_SECOND) + CHANGE_US


def _part_us(job: ScheduledJob, worker: WorkerModel) -> int:
    choice = worker.assignment.choice
    return -(-(job.part_size or 1) // choice.mini_batch_size) * job.step_us(worker)


def _young_us(job: ScheduledJob, worker: WorkerModel) -> int:
    """Return for how long the worker may not be asked to give way, because it has just started."""
    return max(0, worker.created_us + pause_us([worker.assignment.choice.start_us]) - job.now_us)
