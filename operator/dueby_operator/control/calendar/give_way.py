"""Which workers give way now, so that devices are free when those need them for whom they are reserved. Pure.

A worker is asked no sooner than it needs to end the part that it is at. Workers of less important classes are asked,
and workers whose own time on their device is up; a device that is idle, or comes free by then, saves one of them. A
namespace's ResourceQuota is treated like devices: workers of the namespace give way for what they use of it. Who waits
for the quota of a queue has its turn there.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

from dueby_operator.control.calendar.holds import by_readiness
from dueby_operator.control.calendar.ledger import Hold, costs_of, used_by_others
from dueby_operator.model.job_snapshot import JobKey
from dueby_operator.model.stacks import Quota, Stacks
from dueby_planner.calendar.calendar import Placement
from dueby_planner.calendar.pool import CLASSES
from dueby_planner.calendar.reservation import Window
from dueby_planner.replan import HYSTERESIS

_Claim = tuple[Placement, JobKey, Window, int]
"""A job's first window on a stack, and how many devices it is to have, or units of a quota."""


def find_who_gives_way(
    placements: Mapping[JobKey, Placement],
    holds: Sequence[Hold],
    stacks: Stacks,
    handing_over: Mapping[JobKey, Collection[str]] = MappingProxyType({}),
) -> Mapping[JobKey, tuple[str, ...]]:
    """Return the names of the workers that are to stop now, by job, beside those that hand their devices over."""
    claims = _claims(placements)
    stopping: dict[JobKey, set[str]] = defaultdict(set)
    of_stack: dict[str, list[tuple[Hold, int]]] = defaultdict(list)
    for hold in holds:
        of_stack[hold.stack].append((hold, 1))
    for stack in stacks.all:
        for hold in _ask(stack.idle + stack.leaving, claims[stack.name], of_stack[stack.name], handing_over):
            stopping[hold.key].add(hold.worker)
    for quota in (quota for quota in stacks.quotas if not quota.has_queue):
        having = [(hold, cost) for hold, cost in costs_of(quota, holds) if hold.worker not in stopping[hold.key]]
        # What comes free with those that are asked already is not in use, either.
        unused = quota.units - used_by_others(quota, holds) - sum(cost for _, cost in having)
        for hold in _ask(unused, _claims_on(quota, claims, stacks), having, handing_over):
            stopping[hold.key].add(hold.worker)
    return {key: tuple(sorted(names)) for key, names in stopping.items() if names}


def _ask(
    unused: int,
    claims: Sequence[_Claim],
    having: Sequence[tuple[Hold, int]],
    handing_over: Mapping[JobKey, Collection[str]],
) -> list[Hold]:
    """Return the workers that are asked to give way for the claims on one stack, or on one quota.

    `unused` is what nobody has of it, or soon nobody, and `having` are the workers that have something of it.
    """
    asked: list[Hold] = []
    gained = 0
    counts = {(hold.key, hold.worker): count for hold, count in having}
    # Who is about to be done anyway would not be gone sooner.
    candidates = (
        hold
        for hold, _ in having
        if hold.can_give_way and hold.done_us > hold.gives_way_us and hold.key not in handing_over
    )
    for hold in by_readiness(candidates):
        at_us = hold.gives_way_us
        wanted = sum(
            count
            for placement, key, window, count in claims
            if window.from_us <= at_us and key != hold.key and _yields(hold, placement, window)
        )
        coming = sum(count for other, count in having if _free_us(other, handing_over) <= at_us and other not in asked)
        # Of a quota that was lowered, less than nothing may be unused.
        if wanted > 0 and wanted > unused + coming + gained:
            asked.append(hold)
            gained += counts[hold.key, hold.worker]
    return asked


def _free_us(hold: Hold, handing_over: Mapping[JobKey, Collection[str]]) -> int:
    """Return when the device comes free without being asked for."""
    return hold.hands_over_us if hold.worker in handing_over.get(hold.key, ()) else hold.done_us


def _claims(placements: Mapping[JobKey, Placement]) -> Mapping[str, list[_Claim]]:
    """Return each job's first windows by stack, with the number of devices."""
    found: dict[str, list[_Claim]] = defaultdict(list)
    for key, placement in placements.items():
        for lane in placement.reservation:
            for window in lane.windows[:1]:
                found[lane.device_class].append((placement, key, window, lane.count))
    return found


def _claims_on(quota: Quota, claims: Mapping[str, Iterable[_Claim]], stacks: Stacks) -> list[_Claim]:
    """Return the windows with what they cost of the quota."""
    return [
        (placement, key, window, cost * count)
        for name, on_stack in claims.items()
        for placement, key, window, count in on_stack
        if (cost := quota.costs.get(key, {}).get(stacks.class_of(name), 0))
    ]


def _rank(hold: Hold) -> int:
    return CLASSES.index(hold.deadline_class)


def _yields(hold: Hold, placement: Placement, window: Window) -> bool:
    """Return whether the placement's window may have the worker's device."""
    rank = _rank(hold)
    if rank > CLASSES.index(placement.beside):
        return True
    if hold.until_us is None or hold.until_us > hold.gives_way_us or rank < CLASSES.index(placement.job.deadline_class):
        return False
    # Its time is up. If it is nearly done, and the window loses no more by it than by noise, that is waited for.
    return hold.done_us - window.from_us > HYSTERESIS * (window.to_us - window.from_us)
