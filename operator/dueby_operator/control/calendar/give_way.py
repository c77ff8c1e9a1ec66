"""Which workers give way now, so that devices are free when those need them for whom they are reserved. Pure.

A worker is asked no sooner than it needs to end the part that it is at. Workers of less important classes are asked,
and workers whose own time on their device is up; a device that is idle, or comes free by then, saves one of them.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from dueby_api.inference_job import DeadlineClass
from dueby_operator.control.calendar.holds import by_readiness
from dueby_operator.control.calendar.ledger import Hold
from dueby_operator.model.job_snapshot import JobKey
from dueby_operator.model.stacks import Stacks
from dueby_planner.calendar.calendar import Placement
from dueby_planner.calendar.pool import CLASSES


def find_who_gives_way(
    placements: Mapping[JobKey, Placement], holds: Sequence[Hold], stacks: Stacks
) -> Mapping[JobKey, tuple[str, ...]]:
    """Return the names of the workers that are to stop now, by job."""
    claims = _claims(placements)
    stopping: dict[JobKey, list[str]] = defaultdict(list)
    for stack in stacks.all:
        there = [hold for hold in holds if hold.stack == stack.name]
        asked: list[Hold] = []
        # Who is about to be done anyway would not be gone sooner.
        able = (each for each in there if each.can_give_way and each.done_us > each.gives_way_us)
        for hold in by_readiness(able):
            wanted = sum(
                count
                for key, beside, from_us, count in claims[stack.name]
                if key != hold.key and from_us <= hold.gives_way_us and _yields(hold, beside)
            )
            if not wanted:
                continue
            coming = stack.leaving + sum(each.done_us <= hold.gives_way_us for each in there if each not in asked)
            if wanted > stack.idle + coming + len(asked):
                asked.append(hold)
        for hold in asked:
            stopping[hold.key].append(hold.worker)
    return {key: tuple(names) for key, names in stopping.items()}


def _claims(placements: Mapping[JobKey, Placement]) -> Mapping[str, list[tuple[JobKey, DeadlineClass, int, int]]]:
    """Return each window by stack: whose it is, the class beside whose workers it is, its beginning, its devices."""
    found: dict[str, list[tuple[JobKey, DeadlineClass, int, int]]] = defaultdict(list)
    for key, placement in placements.items():
        for lane in placement.reservation:
            for window in lane.windows[:1]:
                found[lane.device_class].append((key, placement.beside, window.from_us, lane.count))
    return found


def _yields(hold: Hold, beside: DeadlineClass) -> bool:
    """Return whether a window that was placed beside workers of this class may have the worker's device."""
    if CLASSES.index(hold.deadline_class) > CLASSES.index(beside):
        return True
    return hold.until_us is not None and hold.until_us <= hold.gives_way_us
