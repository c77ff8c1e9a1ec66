"""How much device time is left for one more job beside others, by its deadline and by each later one.

What is left by a deadline is what is free until then, less what those jobs take that have to be done by then. A job
that takes more than is left by its own deadline, or by a later one, hardly has a place. It may have one, since the
others may take less if they are placed again, and a little of that is allowed for. But to place them all takes long.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from itertools import accumulate
from operator import itemgetter

from dueby_planner.calendar.jobs import CalendarJob
from dueby_planner.calendar.pool import Free

# Jobs that are placed again may take less than they did, but in benchmarks/calendar_speed.py by less than this part.
_AND_SAVED = 1.01


class DeviceTime:
    """What is left beside jobs and the device time that each takes."""

    def __init__(self, takes: Iterable[tuple[CalendarJob, int]], free: Free) -> None:
        self._takes = sorted(takes, key=lambda each: each[0].problem.time_us)
        self._free = free
        self._found: dict[frozenset[str], _Left] = {}

    def left_us(self, from_us: int, names: frozenset[str]) -> float:
        """Return the least that is left by that time and by each later deadline, of devices of these names.

        Jobs that may have other devices, too, are not counted.
        """
        if names not in self._found:
            takes = [(job.problem.time_us, us) for job, us in self._takes if job.device_names <= names]
            self._found[names] = _Left(takes, self._free, names)
        return self._found[names].by_us(from_us)


class _Left:
    """What is left of devices of some names beside jobs, by their deadlines, which ascend."""

    def __init__(self, takes: list[tuple[int, int]], free: Free, names: Iterable[str]) -> None:
        self._tables = [
            (steps, [0, *accumulate((step.to_us - step.from_us) * step.free for step in steps)])
            for name in names
            if (steps := free.get(name, ()))
        ]
        self._deadlines = [until_us for until_us, _ in takes]
        self._taken = [0, *accumulate(took_us for _, took_us in takes)]
        left = [self._left_us(until_us) for until_us in self._deadlines]
        self._least = [*reversed([*accumulate(reversed(left), min)])]
        """By each of them and by all later ones."""

    def by_us(self, from_us: int) -> float:
        later = self._least[bisect_right(self._deadlines, from_us) :]
        return min([self._left_us(from_us), *later[:1]])

    def _left_us(self, until_us: int) -> float:
        there_us = 0
        for steps, totals in self._tables:
            at = max(0, bisect_left(steps, until_us, key=itemgetter(0)) - 1)
            there_us += totals[at] + (until_us - steps[at].from_us) * steps[at].free
        return _AND_SAVED * there_us - self._taken[bisect_right(self._deadlines, until_us)]
