"""The free devices of a class over time: a step function, seen as levels.

Level i is there while at least i devices are free. Levels are nested: where level i + 1 is there, so is level i. That
is why the k devices that can do the most for a job by its deadline are k levels, and which real device a level is at
which moment need not be known: devices are interchangeable, and no job holds more of them than there are.

Times are integer microseconds from now.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from dueby_planner.model.problem import NEVER_US


class Step(NamedTuple):
    """So many devices are free from one time to another."""

    from_us: int
    to_us: int
    free: int


class LevelSpan(NamedTuple):
    """The levels low + 1 to high are there exactly from one time to another."""

    low: int
    high: int
    from_us: int
    to_us: int


class Taken(NamedTuple):
    """So many devices are taken from one time to another."""

    from_us: int
    to_us: int
    devices: int


FreeDevices = tuple[Step, ...]
"""Steps without gaps between them, from now to NEVER_US."""


def always_free(count: int) -> FreeDevices:
    """Return devices that are free from now on."""
    return (Step(0, NEVER_US, count),)


def without(free: FreeDevices, taken: Iterable[Taken]) -> FreeDevices:
    """Return what is free beside what is taken: nothing where more is taken than was free."""
    changes: defaultdict[int, int] = defaultdict(int)
    before = 0
    for step in free:
        changes[step.from_us] += step.free - before
        before = step.free
    for each in taken:
        changes[each.from_us] -= each.devices
        changes[each.to_us] += each.devices
    begins: list[tuple[int, int]] = []
    """From when on how many are free."""
    there = 0
    for at_us in sorted(changes):
        there += changes[at_us]
        if not begins or begins[-1][1] != max(0, there):
            begins.append((at_us, max(0, there)))
    ends = [*(at_us for at_us, _ in begins[1:]), NEVER_US]
    return tuple(Step(at_us, to_us, count) for (at_us, count), to_us in zip(begins, ends, strict=True) if at_us < to_us)


def level_spans(free: FreeDevices, until_us: int, most: int) -> list[LevelSpan]:
    """Return when each level up to `most` is there until then: a tree of nested spans, at most one for each step."""
    spans: list[LevelSpan] = []
    open_levels: list[tuple[int, int]] = []
    """Since when levels have been there, and up to which; both ascend."""
    for step in (step for step in (*free, Step(until_us, until_us, 0)) if step.from_us <= until_us):
        at_us, count = (step.from_us, min(step.free, most)) if step.from_us < until_us else (until_us, 0)
        since_us = at_us
        while open_levels and open_levels[-1][1] > count:
            since_us, high = open_levels.pop()
            below = open_levels[-1][1] if open_levels else 0
            spans.append(LevelSpan(max(below, count), high, since_us, at_us))
        if count > (open_levels[-1][1] if open_levels else 0):
            open_levels.append((since_us, count))
    return [span for span in spans if span.from_us < span.to_us]
