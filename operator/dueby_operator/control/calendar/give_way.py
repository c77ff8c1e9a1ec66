"""Which workers give way now, so that devices are free when those need them for whom they are reserved. Pure.

A worker is asked no sooner than it needs to end the part that it is at. Workers of less important classes are asked,
and workers whose own time on their device is up; a device that is idle, or comes free by then, saves one of them. Where
devices of other classes are made of the same cores, their workers are asked last.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

from dueby_operator.control.calendar.holds import by_readiness
from dueby_operator.control.calendar.ledger import Hold, find_rivals
from dueby_operator.model.job_snapshot import JobKey
from dueby_operator.model.stacks import Stack, Stacks
from dueby_planner.calendar.calendar import Placement
from dueby_planner.calendar.pool import CLASSES
from dueby_planner.calendar.reservation import Window
from dueby_planner.replan import HYSTERESIS

_Claim = tuple[Placement, JobKey, Window, int]
"""A job's first window on a stack, and how many devices it is to have."""


def find_who_gives_way(
    placements: Mapping[JobKey, Placement],
    holds: Sequence[Hold],
    stacks: Stacks,
    handing_over: Mapping[JobKey, Collection[str]] = MappingProxyType({}),
) -> Mapping[JobKey, tuple[str, ...]]:
    """Return the names of the workers that are to stop now, by job, beside those that hand their devices over."""
    claims = _claims(placements)
    stopping: dict[JobKey, set[str]] = defaultdict(set)
    for stack in stacks.all:
        asking = _Asking(stack, claims[stack.name], [hold for hold in holds if hold.stack == stack.name], handing_over)
        for hold in [*asking.own(), *asking.rivals(find_rivals(stack, holds))]:
            stopping[hold.key].add(hold.worker)
    return {key: tuple(sorted(names)) for key, names in stopping.items()}


class _Asking:
    """Who is asked to give way for the claims on one stack."""

    def __init__(
        self,
        stack: Stack,
        claims: Sequence[_Claim],
        there: Sequence[Hold],
        handing_over: Mapping[JobKey, Collection[str]],
    ) -> None:
        """`there` are the workers that have a device of the stack."""
        self._stack, self._claims, self._there, self._handing_over = stack, claims, there, handing_over
        self._asked: list[Hold] = []
        self._gained = 0
        """Devices that come free since somebody is asked."""

    def own(self) -> list[Hold]:
        """Return those of its own workers that are asked."""
        for hold in by_readiness(filter(self._can_be_asked, self._there)):
            if self._is_short([hold], hold.gives_way_us):
                self._asked.append(hold)
                self._gained += 1
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
        """Return whether more devices are wanted at that time, by jobs that may have these workers' room, than come."""
        wanted = sum(
            count
            for placement, key, window, count in self._claims
            if window.from_us <= at_us and all(key != hold.key and _yields(hold, placement, window) for hold in asked)
        )
        coming = sum(_free_us(each, self._handing_over) <= at_us for each in self._there if each not in self._asked)
        return wanted > self._stack.idle + self._stack.leaving + coming + self._gained


def _free_us(hold: Hold, handing_over: Mapping[JobKey, Collection[str]]) -> int:
    """Return when the device comes free without being asked for."""
    return hold.gives_way_us if hold.worker in handing_over.get(hold.key, ()) else hold.done_us


def _claims(placements: Mapping[JobKey, Placement]) -> Mapping[str, list[_Claim]]:
    """Return each job's first windows by stack, with the number of devices."""
    found: dict[str, list[_Claim]] = defaultdict(list)
    for key, placement in placements.items():
        for lane in placement.reservation:
            for window in lane.windows[:1]:
                found[lane.device_class].append((placement, key, window, lane.count))
    return found


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
