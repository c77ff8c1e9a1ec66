"""Which workers give way now, so that devices are free when those need them for whom they are reserved. Pure.

A worker is asked no sooner than it needs to end the part that it is at. Workers of less important classes are asked,
and workers whose own time on their device is up; a device that is idle, or comes free by then, saves one of them. Where
devices of other classes are made of the same cores, their workers are asked last. A namespace's ResourceQuota is
treated like devices: workers of the namespace give way for what they use of it. Who waits for the quota of a queue has
its turn there.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

from dueby_operator.control.calendar.holds import by_readiness
from dueby_operator.control.calendar.ledger import Hold, costs_of, find_rivals, used_by_others
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
        there = of_stack[stack.name]
        asking = _Asking(stack.idle + stack.leaving, claims[stack.name], there, handing_over)
        for hold in [*asking.own(), *asking.rivals(find_rivals(stack, holds))]:
            stopping[hold.key].add(hold.worker)
    for quota in (quota for quota in stacks.quotas if not quota.has_queue):
        there = [(hold, cost) for hold, cost in costs_of(quota, holds) if hold.worker not in stopping[hold.key]]
        # What comes free with those that are asked already is not in use, either.
        unused = quota.units - used_by_others(quota, holds) - sum(cost for _, cost in there)
        for hold in _Asking(unused, _claims_on(quota, claims, stacks), there, handing_over).own():
            stopping[hold.key].add(hold.worker)
    return {key: tuple(sorted(names)) for key, names in stopping.items() if names}


class _Asking:
    """Who is asked to give way for the claims on one stack, or on one quota."""

    def __init__(
        self,
        unused: int,
        claims: Sequence[_Claim],
        there: Sequence[tuple[Hold, int]],
        handing_over: Mapping[JobKey, Collection[str]],
    ) -> None:
        """`unused` is what nobody has of it, or soon nobody, and `there` are the workers that have something of it."""
        self._unused, self._claims, self._there, self._handing_over = unused, claims, there, handing_over
        self._asked: list[Hold] = []
        self._gained = 0
        """What comes free since somebody is asked."""

    def own(self) -> list[Hold]:
        """Return those of its own workers that are asked."""
        counts = {(hold.key, hold.worker): count for hold, count in self._there}
        for hold in by_readiness(hold for hold, _ in self._there if self._can_be_asked(hold)):
            if self._is_short([hold], hold.gives_way_us):
                self._asked.append(hold)
                self._gained += counts[hold.key, hold.worker]
        return self._asked

    def rivals(self, found: Iterable[tuple[int, Sequence[Hold]]]) -> list[Hold]:
        """Return the workers on rivals' devices that are asked: all on a node, as one's may be too little for a device.

        `found` are the devices that the rivals on a node have something of, and who these are.
        """
        asked: list[Hold] = []
        for count, there in sorted(found, key=lambda each: (-min(map(_rank, each[1])), len(each[1]))):
            staying = [hold for hold in there if _free_us(hold, self._handing_over) > hold.gives_way_us]
            at_us = max(hold.gives_way_us for hold in there)
            if staying and not (all(map(self._can_be_asked, staying)) and self._is_short(staying, at_us)):
                continue
            asked += staying
            self._gained += count
        return asked

    def _can_be_asked(self, hold: Hold) -> bool:
        # Who is about to be done anyway would not be gone sooner.
        return hold.can_give_way and hold.done_us > hold.gives_way_us and hold.key not in self._handing_over

    def _is_short(self, asked: Sequence[Hold], at_us: int) -> bool:
        """Return whether more is wanted at that time, by jobs that may have these workers' room, than comes free."""
        wanted = sum(
            count
            for placement, key, window, count in self._claims
            if window.from_us <= at_us and all(key != hold.key and _yields(hold, placement, window) for hold in asked)
        )
        coming = sum(
            count
            for each, count in self._there
            if _free_us(each, self._handing_over) <= at_us and each not in self._asked
        )
        # Of a quota that was lowered, less than nothing may be unused.
        return wanted > 0 and wanted > self._unused + coming + self._gained


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
