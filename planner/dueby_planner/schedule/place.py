"""Place one job on what is free: the fewest devices that are accepted, and their windows.

Of fallback devices, such as those on demand for a job that prefers spot, there are as few as it takes beside all the
others, before the fewest devices of both are sought. The left side of the rule grows in every C_i, so one fallback
device more never makes it fail, and the least number of them is found by halving. They begin as late as they are
enough, which is found by halving, too: by then there may be others.

The devices are levels of what is free (free_devices.py), of every class that the job may use. What a level can do by
the deadline is the sum over its spans of C(length of the span), with S + W lost in each. The k largest of these decide
as on an idle pool: k devices are enough iff the k largest levels are accepted, and "every j < k fails" is the
certificate. Of equal levels those come first that are free for longest.

`levelled` takes the smallest levels that are enough instead: those that are free for the shortest time, so that others
keep the long ones. That places sets of jobs which the fewest devices for each can't be placed for.

Of the k levels one gives back what isn't needed: the smallest one, or the largest if they are levelled. The others have
their whole spans: k levels are taken only where k - 1 of them can't do the images in all of the time. Where the f
largest levels do not count (`reserve`), or a worker does nothing more after M iterations (`maxIterations`), more levels
are needed, but not for all of the time. The windows of such jobs end when the job is done at its confidence, or when
their workers have run M iterations if that is earlier.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

from dueby_api.units import MICROS_PER_SECOND
from dueby_planner.model.capacity import Capacity, best_capacities, capacity, time_near_us
from dueby_planner.model.problem import Problem, find_least
from dueby_planner.model.rule import EqualDevices
from dueby_planner.schedule.calendar_job import needed_us
from dueby_planner.schedule.free_devices import Free, LevelSpan, after, level_spans
from dueby_planner.schedule.reservation import Lane, Reservation, Window, finish_at_confidence_us


class LevelRun(NamedTuple):
    """The levels low + 1 to high of a class, each of which can do so many images."""

    images: int
    group: str
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
    time_us = problem.time_us if until_us is None else until_us
    reservation = _place(problem, free, time_us, levelled=levelled, soon=soon)
    return shortened(reservation, problem) if reservation else None


def _place(problem: Problem, free: Free, time_us: int, *, levelled: bool, soon: bool) -> Reservation | None:
    """Return the levels that the job holds, all but one of them for as long as they are free."""
    if any(group.is_fallback for group in problem.groups):
        return _with_few_fallbacks(problem, free, time_us, levelled=levelled, soon=soon)
    if not levelled:
        # Most jobs need few of the devices, and to look at few levels takes less time: at twice as many as would be
        # enough if all were free all the time, or some.
        capacities = problem.capacities(time_us)
        most = 2 + 2 * (problem.images // capacities[0].images) if capacities else 0
        few = _Levels(problem, free, time_us, most=most)
        if (reservation := few.place(soon=soon)) and not few.is_cut_off:
            return reservation
    if not has_room(problem, free, time_us):
        return None
    return _Levels(problem, free, time_us).place(levelled=levelled, soon=soon)


def _with_few_fallbacks(
    problem: Problem, free: Free, time_us: int, *, levelled: bool, soon: bool
) -> Reservation | None:
    """Return the levels that the job holds, with as few fallback devices as it takes."""
    if not has_room(problem, free, time_us):
        return None

    names = {group.device_class for group in problem.groups if group.is_fallback}

    def levels(fallbacks: int, from_us: int = 0) -> _Levels:
        late = {name: after(steps, from_us) if name in names else steps for name, steps in free.items()}
        return _Levels(problem, late, time_us, fallbacks=fallbacks)

    most = min(problem.most, sum(group.count for group in problem.groups if group.is_fallback))
    if levels(most).fewest(0) is None:
        return None
    fewest = find_least(lambda count: levels(count).fewest(0) is not None, 0, most)
    if soon or not fewest:
        return levels(fewest).place(levelled=levelled, soon=soon)
    # They begin as late as is enough, to the second.
    seconds = -(-time_us // MICROS_PER_SECOND)

    def last(length_s: int) -> _Levels:
        return levels(fewest, max(0, time_us - length_s * MICROS_PER_SECOND))

    length_s = find_least(lambda tried_s: last(tried_s).fewest(0) is not None, 0, seconds)
    return last(length_s).place(levelled=levelled)


def suffices(problem: Problem, free: Free, until_us: int) -> bool:
    """Return whether the job can be done by then on what is free."""
    return has_room(problem, free, until_us) and _Levels(problem, free, until_us).fewest(0) is not None


def has_room(problem: Problem, free: Free, until_us: int) -> bool:
    """Return whether there is as much device time as the job takes at least, whatever windows it is in."""
    least_us = needed_us(problem, until_us)
    return least_us is not None and least_us <= free_us(free, until_us, usable(problem))


def free_us(free: Free, until_us: int, names: Iterable[str]) -> int:
    """Return the device time that is free until then, of devices of these names."""
    return sum(
        (min(to_us, until_us) - from_us) * devices
        for name in names
        for from_us, to_us, devices in free.get(name, ())
        if from_us < until_us
    )


def usable(problem: Problem) -> Mapping[str, int]:
    """Return how many devices of each name the job may have."""
    most: Counter[str] = Counter()
    for group in problem.groups:
        most[group.device_class] += group.count
    return most


class _Levels:
    """What one job can do with each level of what is free until a time."""

    def __init__(
        self, problem: Problem, free: Free, until_us: int, *, most: int | None = None, fallbacks: int | None = None
    ) -> None:
        """`most`: how many levels of each name are looked at; None: all that the job may have.

        `fallbacks`: how many levels of fallback devices are looked at; None: all.
        """
        self._problem = problem
        self._groups = {group.device_class: group for group in problem.groups if group.count}
        self._best: dict[tuple[str, int], Capacity | None] = {}
        """By class and length of a span."""
        self.is_cut_off = False
        """Whether levels that were not looked at might have been chosen."""
        self._spans = {}
        for name, count in usable(problem).items():
            self._spans[name] = level_spans(free.get(name, ()), until_us, count if most is None else min(most, count))
        self._rule = problem.rule_on(name for name, spans in self._spans.items() if spans)
        # Levels are nested, so each class yields its largest first. Ties by class and level, so that every planner of
        # the same jobs finds the same calendar.
        runs = heapq.merge(*(self._runs_of(name, most) for name in self._groups), key=_largest_first)
        ordered = iter(sorted(runs, key=_largest_first)) if problem.reserve else runs
        self._unread = ordered if fallbacks is None else self._with_few(ordered, fallbacks)
        self._read: list[LevelRun] = []

    def place(self, *, levelled: bool = False, soon: bool = False) -> Reservation | None:
        """Return the reservation; None if the job can't be done."""
        offset = 0
        if levelled:  # as many of the largest as can be left to others
            total = sum(run.levels for run in self._largest())
            offset = find_least(lambda offset: self.fewest(offset + 1) is None, 0, total)
        count = self.fewest(offset)
        if count is None:
            return None
        chosen = list(_within(self._read, offset, count))
        at = 0 if levelled else self._gives_back(chosen)
        spare, remainder = _one_of(chosen[at], is_first=levelled)
        full = [*chosen[:at], *remainder, *chosen[at + 1 :]]
        images = self._images_of_spare([(run.images, run.levels) for run in full], spare.images, count)
        lanes = [lane for run in full for lane in self._lanes(run)]
        return (*lanes, *(self._cut(lane, images, soon) for lane in self._lanes(spare)))

    def fewest(self, offset: int) -> int | None:
        """Return the least number of levels after the first `offset` that is accepted; None if none is."""
        most = self._problem.most
        runs = _within(self._largest(), offset, most) if offset else self._largest()
        return self._rule.fewest(((images, high - low) for images, _, low, high in runs), most)

    def _largest(self) -> Iterator[LevelRun]:
        """Yield the levels, the largest first, and work out only as many as are asked for."""
        yield from self._read
        for run in self._unread:
            self._read.append(run)
            yield run

    def _with_few(self, runs: Iterable[LevelRun], fallbacks: int) -> Iterator[LevelRun]:
        """Yield the levels with so many of fallback devices, the largest of them."""
        for run in runs:
            if not self._groups[run.group].is_fallback:
                yield run
            elif levels := min(fallbacks, run.levels):
                fallbacks -= levels
                yield run._replace(high=run.low + levels)

    def _gives_back(self, chosen: Sequence[LevelRun]) -> int:
        """Return the place of the levels of which one gives time back: the last fallback devices, or else the last."""
        last = len(chosen) - 1
        return max((at for at, run in enumerate(chosen) if self._groups[run.group].is_fallback), default=last)

    def _runs_of(self, name: str, most: int | None) -> Iterator[LevelRun]:
        spans = sorted(self._spans[name])
        ends: defaultdict[int, int] = defaultdict(int)
        borders = sorted({level for span in spans for level in (span.low, span.high)})
        largest: list[tuple[int, int]] = []
        """(-C, last level) of the spans, some of which may have ended."""
        images, at, again = 0, 0, self._rule.again
        for low, high in pairwise(borders):
            images -= ends[low]
            while at < len(spans) and spans[at].low == low:
                if best := self._capacity(name, spans[at].to_us - spans[at].from_us):
                    gain = max(0, best.images - again)
                    images += gain
                    ends[spans[at].high] += gain
                    heapq.heappush(largest, (-best.images, spans[at].high))
                at += 1
            while largest and largest[0][1] <= low:
                heapq.heappop(largest)
            if largest:  # as in reservation.together
                yield LevelRun(images + min(again, -largest[0][0]), name, low, high)
        if most is not None and borders and borders[-1] == most:
            self.is_cut_off = True

    def _capacity(self, name: str, length_us: int) -> Capacity | None:
        """Return what one device of the class does in one span."""
        key = name, length_us
        if key not in self._best:
            most = self._problem.max_iterations
            capacities = best_capacities((self._groups[name],), time_us=length_us, max_iterations=most)
            self._best[key] = capacities[0] if capacities else None
        return self._best[key]

    def _lanes(self, run: LevelRun) -> Iterator[Lane]:
        """Yield the devices of these levels with their windows, those together that have the same."""
        spans = [span for span in self._spans[run.group] if span.low < run.high and span.high > run.low]
        borders = {run.low, run.high} | {level for span in spans for level in (span.low, span.high)}
        levels = sorted(level for level in borders if run.low <= level <= run.high)
        for low, high in pairwise(levels):
            windows = [self._window(run.group, span) for span in spans if span.low <= low and high <= span.high]
            yield Lane(
                group=run.group,
                count=high - low,
                windows=tuple(sorted(window for window in windows if window is not None)),
            )

    def _window(self, name: str, span: LevelSpan) -> Window | None:
        best = self._capacity(name, span.to_us - span.from_us)
        return Window(span.from_us, span.to_us, best.choice, best.images) if best else None

    def _images_of_spare(self, full: Sequence[EqualDevices], most: int, count: int) -> int:
        """Return the least that one more device has to do beside those that have all of their time."""

        def suffice(images: int) -> bool:
            return self._rule.accepts(sorted([*full, (images, 1)], reverse=True), count)

        guess, missing = most, self._problem.images - sum(images * devices for images, devices in full)
        for _ in range(3):  # the margin of the rule changes little with what the last device does
            margin = self._rule.margin(sorted([*full, (guess, 1)], reverse=True), count)
            guess = min(max(0, missing + margin), most)
        return _find_least_around(suffice, guess, most)

    def _cut(self, lane: Lane, images: int, soon: bool) -> Lane:
        """Return the device with as much of its time as it needs for so many images."""
        windows: list[Window] = []
        for window in sorted(lane.windows, key=lambda window: (0 if soon else -window.images, window.from_us)):
            if images > 0:
                again = self._rule.again if windows else 0
                windows.append(self._shortened(lane.group, window, images + again))
                images -= max(0, window.images - again)
        return Lane(group=lane.group, count=lane.count, windows=tuple(sorted(windows)))

    def _shortened(self, name: str, window: Window, images: int) -> Window:
        """Return the beginning of the window in which a device does so many images, or all of it."""
        if window.images <= images:
            return window

        def suffices(length_us: int) -> bool:
            best = self._capacity(name, length_us)
            return best is not None and best.images >= images

        near_us = time_near_us(self._groups[name], images)
        length_us = max(1, _find_least_around(suffices, near_us, window.to_us - window.from_us))
        best = self._capacity(name, length_us)
        return window if best is None else Window(window.from_us, window.from_us + length_us, best.choice, best.images)


def _find_least_around(holds: Callable[[int], bool], guess: int, most: int) -> int:
    """Return the least integer in 0..most for which a monotone condition holds; it holds at `most`."""
    low = high = min(max(0, guess), most)
    by = 1
    while not holds(high):
        low, high, by = high + 1, min(most, high + by), 2 * by
    while low and holds(low - 1):
        low, high, by = max(0, low - by), low - 1, 2 * by
    return find_least(holds, low, high)


def _largest_first(run: LevelRun) -> tuple[int, str, int]:
    return -run.images, run.group, run.low


def _within(runs: Iterable[LevelRun], offset: int, count: int) -> Iterator[LevelRun]:
    """Yield `count` levels after the first `offset`."""
    for run in runs:
        images, name, low, high = run
        skipped = min(offset, high - low)
        levels = min(count, high - low - skipped)
        offset, count = offset - skipped, count - levels
        if levels == high - low:
            yield run
        elif levels:
            yield LevelRun(images, name, low + skipped, low + skipped + levels)
        if not count:
            break


def _one_of(run: LevelRun, *, is_first: bool) -> tuple[LevelRun, list[LevelRun]]:
    """Return the first or the last level of a run alone, and what remains of the run."""
    at = run.low + 1 if is_first else run.high - 1
    below, above = run._replace(high=at), run._replace(low=at)
    single, remainder = (below, above) if is_first else (above, below)
    return single, [remainder] if remainder.levels else []


def shortened(reservation: Reservation, problem: Problem) -> Reservation:
    """Return the reservation without the time in which its devices have nothing to do."""
    if not problem.reserve and problem.max_iterations is None:
        return reservation
    return until_finish(reservation, problem)


def until_finish(reservation: Reservation, problem: Problem) -> Reservation:
    """Return the reservation until the job is done at its confidence, or its workers have run their iterations."""
    end_us = finish_at_confidence_us(reservation, problem)
    most = problem.max_iterations
    lanes = []
    for lane in reservation:
        windows = (_window_until(window, end_us, most) for window in lane.windows if window.from_us < end_us)
        lanes.append(replace(lane, windows=tuple(window for window in windows if window.images)))
    return tuple(lane for lane in lanes if lane.windows)


def _window_until(window: Window, end_us: int, max_iterations: int | None) -> Window:
    """Return the window until then, or until its worker has run M iterations if that is earlier."""

    def images(length_us: int) -> int:
        return capacity(window.choice, time_us=length_us, max_iterations=max_iterations)

    length_us = min(window.to_us, end_us) - window.from_us
    most = images(length_us)
    if max_iterations is not None and most == (max_iterations + 1) * window.choice.mini_batch_size:
        length_us = find_least(lambda tried_us: images(tried_us) == most, 1, length_us)
    return window._replace(to_us=window.from_us + length_us, images=most)
