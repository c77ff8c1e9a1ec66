"""Which workers give way now, so that devices are free when those need them for whom they are reserved. Pure.

A worker is asked no sooner than it needs to end the part that it is at. Workers of less important classes are asked,
and workers whose own time on their device is up; a device that is idle, or comes free by then, saves one of them.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from dueby_operator.control.calendar.holds import by_readiness
from dueby_operator.control.calendar.ledger import Hold
from dueby_operator.model.job_snapshot import JobKey
from dueby_operator.model.stacks import Stacks
from dueby_planner.calendar.calendar import Placement
from dueby_planner.calendar.pool import CLASSES
from dueby_planner.calendar.reservation import Window
from dueby_planner.replan import HYSTERESIS


def find_who_gives_way(
    placements: Mapping[JobKey, Placement],
    holds: Sequence[Hold],
    stacks: Stacks,
    handing_over: Mapping[JobKey, Collection[str]] = MappingProxyType({}),
) -> Mapping[JobKey, tuple[str, ...]]:
    """Return the names of the workers that are to stop now, by job, beside those that hand their devices over."""
    claims = _claims(placements)
    stopping: dict[JobKey, list[str]] = defaultdict(list)
    for stack in stacks.all:
        there = [hold for hold in holds if hold.stack == stack.name]
        asked: list[Hold] = []
        # Who is about to be done anyway would not be gone sooner.
        able = (
            each
            for each in there
            if each.can_give_way and each.done_us > each.gives_way_us and each.key not in handing_over
        )
        for hold in by_readiness(able):
            wanted = sum(
                count
                for placement, key, window, count in claims[stack.name]
                if key != hold.key and window.from_us <= hold.gives_way_us and _yields(hold, placement, window)
            )
            if not wanted:
                continue
            coming = stack.leaving + sum(
                _free_us(each, handing_over) <= hold.gives_way_us for each in there if each not in asked
            )
            if wanted > stack.idle + coming + len(asked):
                asked.append(hold)
        for hold in asked:
            stopping[hold.key].append(hold.worker)
    return {key: tuple(names) for key, names in stopping.items()}


def _free_us(hold: Hold, handing_over: Mapping[JobKey, Collection[str]]) -> int:
    """Return when the device comes free without being asked for."""
    return hold.gives_way_us if hold.worker in handing_over.get(hold.key, ()) else hold.done_us


def _claims(placements: Mapping[JobKey, Placement]) -> Mapping[str, list[tuple[Placement, JobKey, Window, int]]]:
    """Return each job's first windows by stack, with the number of devices."""
    found: dict[str, list[tuple[Placement, JobKey, Window, int]]] = defaultdict(list)
    for key, placement in placements.items():
        for lane in placement.reservation:
            for window in lane.windows[:1]:
                found[lane.device_class].append((placement, key, window, lane.count))
    return found


def _yields(hold: Hold, placement: Placement, window: Window) -> bool:
    """Return whether the placement's window may have the worker's device."""
    rank = CLASSES.index(hold.deadline_class)
    if rank > CLASSES.index(placement.beside):
        return True
    if hold.until_us is None or hold.until_us > hold.gives_way_us or rank < CLASSES.index(placement.job.deadline_class):
        return False
    # Its time is up. If it is nearly done, and the window loses no more by it than by noise, that is waited for.
    return hold.done_us - window.from_us > HYSTERESIS * (window.to_us - window.from_us)
