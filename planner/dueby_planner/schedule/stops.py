"""Who is stopped for others: who gives way, who keeps what nobody would gain by, and who hands devices over.

**Giving way.** A worker is asked no sooner than it needs to end the part that it is at, so that its device is free when
those need it for whom it is reserved. Workers of less important classes are asked, and workers whose own time on their
device is up; a device that is idle, or comes free by then, saves one of them. A namespace's ResourceQuota is treated
like devices: workers of the namespace give way for what they use of it. Who waits for the quota of a queue has its turn
there.

**Keeping.** A running job keeps workers that it could do without where nobody would gain by them: there are idle
devices, or the device would go to a job that has it reserved for a later time and is in time with that. It keeps none
by which another job would gain what it lacks of a limit, such as a store's. Where no job waits, a pod that isn't ours
may.

**Handing over.** Which running Hard jobs do so is sought by hand_over.py; here they become what it asks for, and their
workers stop.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

from dueby_planner.schedule.begin import reserved_workers
from dueby_planner.schedule.calendar_job import Placement
from dueby_planner.schedule.devices import DeviceGroups, Limit
from dueby_planner.schedule.free_devices import CLASSES
from dueby_planner.schedule.hand_over import RunningJob, RunningWorker
from dueby_planner.schedule.held_devices import HeldDevice, costs_of, used_by_others
from dueby_planner.schedule.job import JobKey, ScheduledJob, StartReason
from dueby_planner.schedule.lag import HYSTERESIS
from dueby_planner.schedule.planned_windows import window_statuses
from dueby_planner.schedule.request import Stop, WorkDecision, without
from dueby_planner.schedule.reservation import Reservation, Window, finish_at_confidence_us
from dueby_planner.schedule.usable import Usable
from dueby_planner.schedule.watch import expect_finish_us, ongoing, pause_us

_Claim = tuple[Placement, JobKey, Window, int]
"""A job's first window on a group, and how many devices it is to have, or units of a limit."""


def find_who_gives_way(
    placements: Mapping[JobKey, Placement],
    holds: Sequence[HeldDevice],
    groups: DeviceGroups,
    handing_over: Mapping[JobKey, Collection[str]] = MappingProxyType({}),
) -> Mapping[JobKey, tuple[str, ...]]:
    """Return the names of the workers that are to stop now, by job, beside those that hand their devices over."""
    claims = _claims(placements)
    stopping: dict[JobKey, set[str]] = defaultdict(set)
    of_group: dict[str, list[tuple[HeldDevice, int]]] = defaultdict(list)
    for hold in holds:
        of_group[hold.group].append((hold, 1))
    for group in groups.all:
        for hold in _ask(group.idle + group.leaving, claims[group.name], of_group[group.name], handing_over):
            stopping[hold.key].add(hold.worker)
    for limit in (limit for limit in groups.limits if not limit.has_queue):
        having = [(hold, cost) for hold, cost in costs_of(limit, holds) if hold.worker not in stopping[hold.key]]
        # What comes free with those that are asked already is not in use, either.
        unused = limit.units - used_by_others(limit, holds) - sum(cost for _, cost in having)
        for hold in _ask(unused, _claims_on(limit, claims, groups), having, handing_over):
            stopping[hold.key].add(hold.worker)
    return {key: tuple(sorted(names)) for key, names in stopping.items() if names}


def _ask(
    unused: int,
    claims: Sequence[_Claim],
    having: Sequence[tuple[HeldDevice, int]],
    handing_over: Mapping[JobKey, Collection[str]],
) -> list[HeldDevice]:
    """Return the workers that are asked to give way for the claims on one group, or on one limit.

    `unused` is what nobody has of it, or soon nobody, and `having` are the workers that have something of it.
    """
    asked: list[HeldDevice] = []
    gained = 0
    counts = {(hold.key, hold.worker): count for hold, count in having}

    def free_us(hold: HeldDevice) -> int:
        """Return when the device comes free without being asked for."""
        return hold.hands_over_us if hold.worker in handing_over.get(hold.key, ()) else hold.done_us

    # Who is about to be done anyway would not be gone sooner.
    candidates = (
        hold
        for hold, _ in having
        if hold.can_give_way and hold.done_us > hold.gives_way_us and hold.key not in handing_over
    )
    # Those first whose time is up, then the least important.
    for hold in sorted(candidates, key=lambda hold: (hold.until_us is None, -_rank(hold), hold.key, hold.worker)):
        at_us = hold.gives_way_us
        wanted = sum(
            count
            for placement, key, window, count in claims
            if window.from_us <= at_us and key != hold.key and _yields(hold, placement, window)
        )
        coming = sum(count for other, count in having if free_us(other) <= at_us and other not in asked)
        # Of a limit that was lowered, less than nothing may be unused.
        if wanted > 0 and wanted > unused + coming + gained:
            asked.append(hold)
            gained += counts[hold.key, hold.worker]
    return asked


def _claims(placements: Mapping[JobKey, Placement]) -> Mapping[str, list[_Claim]]:
    """Return each job's first windows by group, with the number of devices."""
    found: dict[str, list[_Claim]] = defaultdict(list)
    for key, placement in placements.items():
        for lane in placement.reservation:
            for window in lane.windows[:1]:
                found[lane.group].append((placement, key, window, lane.count))
    return found


def _claims_on(limit: Limit, claims: Mapping[str, Iterable[_Claim]], groups: DeviceGroups) -> list[_Claim]:
    """Return the windows with what they cost of the limit."""
    return [
        (placement, key, window, cost * count)
        for name, on_group in claims.items()
        for placement, key, window, count in on_group
        if (cost := limit.costs.get(key, {}).get(groups.class_of(name), 0))
    ]


def _rank(hold: HeldDevice) -> int:
    return CLASSES.index(hold.deadline_class)


def _yields(hold: HeldDevice, placement: Placement, window: Window) -> bool:
    """Return whether the placement's window may have the worker's device."""
    rank = _rank(hold)
    if rank > CLASSES.index(placement.beside):
        return True
    if hold.until_us is None or hold.until_us > hold.gives_way_us or rank < CLASSES.index(placement.job.deadline_class):
        return False
    # Its time is up. If it is nearly done, and the window loses no more by it than by noise, that is waited for; and if
    # another start would take longer than its rest, while whoever has the window is in time even so.
    late_us = hold.done_us - window.from_us
    if late_us <= HYSTERESIS * (window.to_us - window.from_us):
        return False
    problem = placement.job.problem
    is_nearly_done = hold.done_us - hold.gives_way_us <= hold.start_us
    return not is_nearly_done or finish_at_confidence_us(placement.reservation, problem) + late_us > problem.time_us


class Waiting(NamedTuple):
    """Who waits for what."""

    in_time: Mapping[str, frozenset[JobKey]]
    """By group, the jobs that wait for it, where all of them are in time with what is reserved for them."""
    short: Mapping[str, frozenset[JobKey]]
    """By limit, the jobs in need of which not even one device has room within it."""


def find_waiting(jobs: Iterable[ScheduledJob], groups: DeviceGroups) -> Waiting:
    """Return who waits for each group and each limit."""
    in_time: set[JobKey] = set()
    in_need: set[JobKey] = set()
    for job in jobs:
        if not job.could_use_devices:
            continue
        if job.lag.low_readings or not (job.alive or job.windows):
            in_need.add(job.key)
        elif job.windows:
            (in_time if job.is_in_time else in_need).add(job.key)
    return Waiting(
        in_time={group.name: group.users & in_time for group in groups.all if not group.users & in_need},
        short={
            limit.name: frozenset(
                key
                for key in in_need & limit.costs.keys()
                if min(filter(None, limit.costs[key].values()), default=0) > limit.units - limit.used
            )
            for limit in groups.limits
        },
    )


def find_unwanted(
    own: Collection[HeldDevice],
    idle: Mapping[str, int],
    waiting: Waiting,
    groups: DeviceGroups,
    *,
    fallbacks: Collection[str] = (),
) -> frozenset[str]:
    """Return the names of a job's workers that it keeps; `idle` are devices by group.

    Where a device is idle, another job may still gain by a worker less: by what that takes of a limit. Of the groups
    `fallbacks` the job keeps nothing that it can do without, and gives that back before anything else.
    """
    has_fallback = any(hold.group in fallbacks for hold in own)

    def is_kept(hold: HeldDevice) -> bool:
        if has_fallback:
            return hold.group not in fallbacks
        if hold.group in groups.by_name and groups.by_name[hold.group].pool:  # who pays for its node gains by it
            return False
        if not idle.get(hold.group) and not waiting.in_time.get(hold.group, frozenset()) - {hold.key}:
            return False
        costs = groups.costs(hold.key)
        return not any(costs[limit].get(hold.group) and waiting.short[limit] - {hold.key} for limit in costs)

    return frozenset(hold.worker for hold in own if is_kept(hold))


def running_job(usable: Usable, holds: Iterable[HeldDevice], *, may_hand_over: bool) -> RunningJob:
    """Return the job with its workers, which have these devices; without them if it may not hand any over now."""
    job = usable.job
    if not may_hand_over:
        return RunningJob(job=usable.demand())
    pause = pause_us(worker.assignment.choice.start_us for worker in job.alive)
    there = {worker.name: worker for worker in ongoing(job, job.alive)}
    workers = [
        RunningWorker(
            name=hold.worker,
            devices=hold.group,
            images=there[hold.worker].images_within(max(0, job.time_us)),
            ends_us=hold.surely_ends_us,
            may_stay_us=min(job.time_us, hold.bound_us),
            # Who is done soon has little to hand over, and would have to start once more for it.
            gives_way_us=hold.hands_over_us if hold.done_us > hold.hands_over_us + pause else None,
            is_young=not hold.can_give_way,
        )
        for hold in holds
    ]
    return RunningJob(job=usable.demand(), workers=tuple(workers))


def stop(
    job: ScheduledJob,
    workers: Sequence[str],
    reason: StartReason,
    reservation: Reservation | None,
    groups: DeviceGroups,
    *,
    before: WorkDecision | None = None,
) -> WorkDecision:
    """Return that these workers stop, and that this is reserved for the job; None: what was decided `before` of that.

    Without it, new jobs would be given that time in the next pass, before this job asks for a place again.
    """
    windows = None if reservation is None else window_statuses(reservation, groups, now_us=job.now_us)
    action = Stop(workers=tuple(workers), reason=reason, windows=windows)
    after = job if reservation is None else replace(job, reserved=reserved_workers(reservation))
    return WorkDecision(
        action=action,
        lag=job.lag,
        waits_for_windows=before is not None and before.waits_for_windows,
        expected_finish_us=expect_finish_us(without(after, action)),
    )
