"""What is free now for one job beside what all others of a calendar were given. Pure.

Each job of the calendar asks for it. So what all of them were given is added up once, and the job's own part is given
back: the work grows with the number of jobs, and not with its square.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise

from dueby_operator.control.calendar.ledger import GIVEN_OUT, Ledger
from dueby_operator.control.calendar.reserved import taken_by_placements
from dueby_operator.model.job_snapshot import JobKey
from dueby_planner.calendar.calendar import Placement
from dueby_planner.calendar.free_devices import FreeDevices, Taken


class BesideOthers:
    """What is free beside the placements of all jobs but the one that asks."""

    def __init__(self, ledger: Ledger, given: Mapping[JobKey, Placement]) -> None:
        """`ledger` is what is free beside the workers that run."""
        self._ledger = ledger
        self._taken: dict[JobKey, dict[str, list[Taken]]] = {}
        all_taken: dict[str, list[Taken]] = defaultdict(list)
        for key, placement in given.items():
            own: dict[str, list[Taken]] = defaultdict(list)
            for name, taken in taken_by_placements({key: placement}):
                own[name].append(taken)
                all_taken[name].append(taken)
            self._taken[key] = own
        free = ledger.free[GIVEN_OUT]
        self._balances = {name: _Balance(steps, all_taken[name]) for name, steps in free.items() if name in all_taken}

    def idle(self, key: JobKey, devices: Mapping[str, int], within_us: int) -> dict[str, int]:
        """Return how many of these devices by stack are free for the job from now on for so long."""
        return self._ledger.idle(key, devices, within_us, least=lambda name: self._least(key, name, within_us))

    def _least(self, key: JobKey, name: str, within_us: int) -> int:
        if name not in self._balances:
            return self._ledger.least(name, within_us)
        end_us, own = max(1, within_us), self._taken.get(key, {}).get(name, ())
        borders = sorted({0, end_us, *(at_us for each in own for at_us in each[:2] if 0 < at_us < end_us)})
        counts = (
            self._balances[name].least(from_us, to_us)
            + sum(each.devices for each in own if each.from_us <= from_us and to_us <= each.to_us)
            for from_us, to_us in pairwise(borders)
        )
        return max(0, min(counts))


class _Balance:
    """What is free of one name over time beside all that is taken of it: below zero where more is taken."""

    def __init__(self, free: FreeDevices, taken: Sequence[Taken]) -> None:
        changes: defaultdict[int, int] = defaultdict(int)
        for from_us, to_us, count in free:
            changes[from_us] += count
            changes[to_us] -= count
        for from_us, to_us, count in taken:
            changes[from_us] -= count
            changes[to_us] += count
        self._times = sorted(changes)
        self._counts = list(accumulate(changes[at_us] for at_us in self._times))

    def least(self, from_us: int, to_us: int) -> int:
        """Return the least of it between two times."""
        first = max(0, bisect_right(self._times, from_us) - 1)
        return min(self._counts[first : bisect_left(self._times, to_us)])
