"""Place one job on what is free: the fewest devices that are accepted, and their windows.

The devices are levels of what is free (free_devices.py), of every class that the job may use. What a level can do by
the deadline is the sum over its spans of C(length of the span), with S + W lost in each. The k largest of these decide
as on an idle pool: k devices are enough iff the k largest levels are accepted, and "every j < k fails" is the
certificate. Of equal levels those come first that are free for longest.

`levelled` takes the smallest levels that are enough instead: those that are free for the shortest time, so that others
keep the long ones. That places sets of jobs which the fewest devices for each can't be placed for.

Of the k levels one gives back what isn't needed: the smallest one, or the largest if they are levelled.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from dueby_planner.calendar.free_devices import LevelSpan, level_spans
from dueby_planner.calendar.pool import Free
from dueby_planner.calendar.reservation import Lane, Reservation, Window
from dueby_planner.model.capacity import Capacity, best_capacities
from dueby_planner.model.problem import Problem, find_least
from dueby_planner.model.rule import EqualDevices


class LevelRun(NamedTuple):
    """The levels low + 1 to high of a class, each of which can do so many images."""

    images: int
    device_class: str
    low: int
    high: int

    @property
    def levels(self) -> int:
        """How many these are."""
        return self.high - self.low


def place(
    problem: Problem,
    free: Free,
    *,
    until_us: int | None = None,
    levelled: bool = False,
    soon: bool = False,
) -> Reservation | None:
    """Return what the job holds on what is free by class; None if no number of devices is accepted.

    `until_us` takes the place of the deadline. `soon`: the device that gives time back gives back its last windows
    rather than its shortest.
    """
    return _Levels(problem, free, problem.time_us if until_us is None else until_us).place(levelled, soon)


def suffices(problem: Problem, free: Free, until_us: int) -> bool:
    """Return whether the job can be done by then on what is free."""
    return _Levels(problem, free, until_us).fewest(0) is not None


class _Levels:
    """What one job can do with each level of what is free until a time."""

    def __init__(self, problem: Problem, free: Free, until_us: int) -> None:
        self._problem = problem
        self._groups = {group.device_class: group for group in problem.groups if group.count}
        most: Counter[str] = Counter()
        for group in problem.groups:
            most[group.device_class] += group.count
        self._spans = {name: level_spans(free.get(name, ()), until_us, most[name]) for name in self._groups}
        self._best: dict[tuple[str, int], Capacity | None] = {}
        """By class and length of a span."""
        runs = [run for name in self._groups for run in self._runs_of(name)]
        # Ties by class and level, so that every planner of the same jobs finds the same calendar.
        self._runs = sorted(runs, key=lambda run: (-run.images, run.device_class, run.low))

    def place(self, levelled: bool, soon: bool) -> Reservation | None:
        """Return the reservation; None if the job can't be done."""
        offset = self._highest_offset() if levelled else 0
        count = self.fewest(offset)
        if count is None:
            return None
        chosen = list(_within(self._runs, offset, count))
        spare, rest, at = _one_of(chosen, is_first=levelled)
        others = [*chosen[:at], *rest, *chosen[at + 1 :]]
        needed = self._needed([(run.images, run.levels) for run in others], spare.images, count)
        lanes = [lane for run in others for lane in self._lanes(run)]
        return (*lanes, *(self._cut(lane, needed, soon) for lane in self._lanes(spare)))

    def fewest(self, offset: int) -> int | None:
        """Return the least number of levels after the first `offset` that is accepted; None if none is."""
        total = sum(run.levels for run in self._runs)
        able = [(run.images, run.levels) for run in _within(self._runs, offset, total - offset)]
        return self._problem.rule.fewest(able, self._problem.most)

    def _highest_offset(self) -> int:
        """Return how many of the largest levels can be left to others; 0 if the job can't be done at all."""
        total = sum(run.levels for run in self._runs)
        return find_least(lambda offset: self.fewest(offset + 1) is None, 0, total)

    def _runs_of(self, name: str) -> Iterator[LevelRun]:
        changes: defaultdict[int, int] = defaultdict(int)
        for span in self._spans[name]:
            if best := self._capacity(name, span.to_us - span.from_us):
                changes[span.low] += best.images
                changes[span.high] -= best.images
        images, levels = 0, sorted(changes)
        for low, high in pairwise(levels):
            images += changes[low]
            if images:
                yield LevelRun(images, name, low, high)

    def _capacity(self, name: str, length_us: int) -> Capacity | None:
        """Return what one device of the class does in one span."""
        key = name, length_us
        if key not in self._best:
            most = self._problem.max_iterations
            found = best_capacities((self._groups[name],), time_us=length_us, max_iterations=most)
            self._best[key] = found[0] if found else None
        return self._best[key]

    def _lanes(self, run: LevelRun) -> Iterator[Lane]:
        """Yield the devices of these levels with their windows, those together that have the same."""
        spans = [span for span in self._spans[run.device_class] if span.low < run.high and span.high > run.low]
        borders = {run.low, run.high} | {level for span in spans for level in (span.low, span.high)}
        levels = sorted(level for level in borders if run.low <= level <= run.high)
        for low, high in pairwise(levels):
            windows = [self._window(run.device_class, span) for span in spans if span.low <= low and high <= span.high]
            yield Lane(
                device_class=run.device_class,
                count=high - low,
                windows=tuple(sorted(window for window in windows if window is not None)),
            )

    def _window(self, name: str, span: LevelSpan) -> Window | None:
        best = self._capacity(name, span.to_us - span.from_us)
        return Window(span.from_us, span.to_us, best.choice, best.images) if best else None

    def _needed(self, others: Sequence[EqualDevices], most: int, count: int) -> int:
        """Return the least that one more device has to do beside the others."""

        def suffice(images: int) -> bool:
            return self._problem.rule.accepts(sorted([*others, (images, 1)], reverse=True), count)

        return find_least(suffice, 0, most)

    def _cut(self, lane: Lane, needed: int, soon: bool) -> Lane:
        """Return the device with as much of its time as it needs for so many images."""
        kept: list[Window] = []
        for window in sorted(lane.windows, key=lambda each: (0 if soon else -each.images, each.from_us)):
            if needed > 0:
                kept.append(self._shortened(lane.device_class, window, needed))
                needed -= window.images
        return Lane(device_class=lane.device_class, count=lane.count, windows=tuple(sorted(kept)))

    def _shortened(self, name: str, window: Window, needed: int) -> Window:
        """Return the beginning of the window in which a device does so many images, or all of it."""
        if window.images <= needed:
            return window

        def suffices(length_us: int) -> bool:
            best = self._capacity(name, length_us)
            return best is not None and best.images >= needed

        length_us = find_least(suffices, 1, window.to_us - window.from_us)
        best = self._capacity(name, length_us)
        return window if best is None else Window(window.from_us, window.from_us + length_us, best.choice, best.images)


def _within(runs: Sequence[LevelRun], offset: int, count: int) -> Iterator[LevelRun]:
    """Yield `count` levels after the first `offset`."""
    for run in runs:
        skipped = min(offset, run.levels)
        taken = min(count, run.levels - skipped)
        offset, count = offset - skipped, count - taken
        if taken > 0:
            yield run._replace(low=run.low + skipped, high=run.low + skipped + taken)


def _one_of(chosen: Sequence[LevelRun], *, is_first: bool) -> tuple[LevelRun, list[LevelRun], int]:
    """Return the first or the last level alone, those that are left of its run, and the place of that."""
    if is_first:
        run, at = chosen[0], 0
        one, rest = run._replace(high=run.low + 1), run._replace(low=run.low + 1)
    else:
        run, at = chosen[-1], len(chosen) - 1
        one, rest = run._replace(low=run.high - 1), run._replace(high=run.high - 1)
    return one, [rest] if rest.levels else [], at
