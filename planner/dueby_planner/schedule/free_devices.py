"""The free devices of a group over time: a step function, seen as levels.

Level i is there while at least i devices are free. Levels are nested: where level i + 1 is there, so is level i. That
is why the k devices that can do the most for a job by its deadline are k levels, and which real device a level is at
which moment need not be known: devices are interchangeable, and no job holds more of them than there are.

How many devices a job may have depends on whose workers give way to it. So there is a table of free devices for each
deadline class: what is free beside the running workers of this class and of those above it.

Times are integer microseconds from now.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from operator import add, itemgetter
from types import MappingProxyType
from typing import NamedTuple

from dueby_api.capacity import AnnouncedDevices
from dueby_api.inference_job import DeadlineClass
from dueby_api.units import MICROS_PER_SECOND
from dueby_planner.model.problem import NEVER_US
from dueby_planner.schedule.spans import SEEN_US, find_spans, from_now, outside


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


_BEGIN = itemgetter(0)
_new = tuple.__new__
# To take one device after the other copies all steps each time; from so many on, they are taken together.
_MANY = 8

FreeDevices = tuple[Step, ...]
"""Steps without gaps between them, from now to NEVER_US."""


def always_free(count: int) -> FreeDevices:
    """Return devices that are free from now on."""
    return (Step(0, NEVER_US, count),)


def without(free: FreeDevices, taken: Sequence[Taken], *, least: int = 0) -> FreeDevices:
    """Return what is free beside what is taken: nothing, or `least`, where more is taken than was free.

    Where fewer than no devices are taken, they are given back.
    """
    if len(taken) <= _MANY:
        for each in taken:
            free = _without_one(free, each, least)
        return free
    changes: defaultdict[int, int] = defaultdict(int)
    before = 0
    for step in free:
        changes[step.from_us] += step.free - before
        before = step.free
    for each in taken:
        changes[each.from_us] -= each.devices
        changes[each.to_us] += each.devices
    times = sorted(changes)
    counts = accumulate(changes[time_us] for time_us in times)
    return _joined(zip(times, [*times[1:], NEVER_US], counts, strict=True), least)


def least_free(free: FreeDevices, from_us: int, to_us: int) -> int:
    """Return how many devices are free all the time."""
    return min((step.free for step in free_between(free, from_us, to_us)), default=0)


def combined(one: FreeDevices, other: FreeDevices, count: Callable[[int, int], int]) -> FreeDevices:
    """Return what follows at each moment from what is free of two kinds."""
    times = sorted({step.from_us for step in (*one, *other)})
    counts = (count(_at(one, at_us), _at(other, at_us)) for at_us in times)
    return _joined(zip(times, [*times[1:], NEVER_US], counts, strict=True))


def lasting(free: FreeDevices, until_us: int) -> FreeDevices:
    """Return what is free from each moment until then without a gap; nothing after it."""
    found: list[tuple[int, int, int]] = [(until_us, NEVER_US, 0)]
    least = max((step.free for step in free), default=0)
    for step in reversed(free_between(free, 0, until_us)):
        least = min(least, step.free)
        found.append((step.from_us, min(step.to_us, until_us), least))
    return _joined(reversed(found))


def before(free: FreeDevices, until_us: int) -> FreeDevices:
    """Return what is free until then; nothing after it."""
    return without(free, [Taken(until_us, NEVER_US, max((step.free for step in free), default=0))])


def after(free: FreeDevices, from_us: int) -> FreeDevices:
    """Return what is free from then on; nothing before it."""
    return without(free, [Taken(0, from_us, max((step.free for step in free), default=0))]) if from_us else free


def proven(there: FreeDevices) -> FreeDevices:
    """Return what a proof counts of the devices that are there: nobody knows what weeks beyond those seen bring."""
    if len(there) == 1:
        return there
    all_of_them = max(step.free for step in there)
    return combined(there, (Step(0, SEEN_US, 0), Step(SEEN_US, NEVER_US, all_of_them)), max)


def rounded(free: FreeDevices, unit_us: int) -> FreeDevices:
    """Return what is free from one multiple of the unit to the next without a gap: it changes at these only."""
    times = sorted({at_us for step in free for at_us in (step.from_us // unit_us, -(-step.from_us // unit_us))})
    spans = [*pairwise([*(at * unit_us for at in times), NEVER_US])]
    return _joined((from_us, to_us, least_free(free, from_us, to_us)) for from_us, to_us in spans)


def level_spans(free: FreeDevices, until_us: int, most: int) -> list[LevelSpan]:
    """Return when each level up to `most` is there until then: a tree of nested spans, at most one for each step."""
    spans: list[LevelSpan] = []
    open_levels: list[tuple[int, int]] = [(0, 0)]
    """Since when levels have been there, and up to which; both ascend."""
    height = 0
    for at_us, _, there in (*free_between(free, 0, until_us), (until_us, until_us, 0)):
        count = min(there, most)
        if count == height:
            continue
        height, since_us = count, at_us
        while open_levels[-1][1] > count:
            since_us, high = open_levels.pop()
            spans.append(LevelSpan(max(open_levels[-1][1], count), high, since_us, at_us))
        if count > open_levels[-1][1]:
            open_levels.append((since_us, count))
    return spans


def _at(free: FreeDevices, at_us: int) -> int:
    first = bisect_right(free, at_us, key=_BEGIN) - 1
    return free[first].free if first >= 0 else 0


def free_between(free: FreeDevices, from_us: int, to_us: int) -> FreeDevices:
    """Return the steps of which a part is between two times."""
    first = bisect_right(free, from_us, key=_BEGIN) - 1
    return free[max(0, first) : bisect_left(free, to_us, key=_BEGIN)]


def _without_one(free: FreeDevices, taken: Taken, least: int) -> FreeDevices:
    from_us, to_us, devices = taken
    steps = free_between(free, from_us, to_us)
    if not steps or not devices:
        return free
    first = bisect_right(free, from_us, key=_BEGIN) - 1
    # The steps beside them may have become equal to these.
    begin, end = max(0, first - 1), first + len(steps) + 1
    head, tail = (steps[0].from_us, from_us, steps[0].free), (to_us, steps[-1].to_us, steps[-1].free)
    changed = [(at_us, until_us, there - devices) for at_us, until_us, there in steps]
    changed[0] = (max(from_us, head[0]), *changed[0][1:])
    changed[-1] = (changed[-1][0], min(to_us, tail[1]), changed[-1][2])
    return free[:begin] + _joined([*free[begin:first], head, *changed, tail, *free[end - 1 : end]], least) + free[end:]


def _joined(steps: Iterable[tuple[int, int, int]], least: int = 0) -> FreeDevices:
    """Return the steps, those together that have the same number, and at least so many."""
    joined: list[Step] = []
    before: int | None = None
    for from_us, to_us, there in steps:
        count = there if there > least else least
        if from_us >= to_us:
            continue
        if count == before:
            from_us = joined.pop()[0]
        # As Step() does it, but without a call of it: here is where large calendars take most of their time.
        joined.append(_new(Step, (from_us, to_us, count)))
        before = count
    return tuple(joined)


Free = Mapping[str, FreeDevices]
"""Free devices over time, by the name of the devices. Of names that are missing there are none. The units of limits
(devices.py) are counted like devices, under names of their own."""
Claims = Iterable[tuple[str, Taken]]
"""What is taken, by the same names."""

CHANGE_US = 5 * MICROS_PER_SECOND
"""From the end of a worker until its device is seen to be free: what a device takes to change hands."""

CLASSES: tuple[DeadlineClass, ...] = ("Hard", "Soft", "Relaxed", "BestEffort")
"""The deadline classes, the most important first."""

PROMISED, YIELDING = CLASSES[:2], CLASSES[2:]
"""Those whose reservations are kept for them, and those whose workers give way to them."""


@dataclass(frozen=True, kw_only=True)
class CalendarPool:
    """The devices, by name: a device class, or those of a class that have the same future."""

    whole: Free
    """Every device that there is, whoever has it then. Proofs count these."""
    free: Mapping[DeadlineClass, Free]
    """What is free beside the running workers of a class and of those above it. At no moment has a class fewer devices
    than those below it: `free["BestEffort"]` is beside all workers, and `free["Hard"]` beside those of Hard jobs."""
    expected: Mapping[DeadlineClass, Free]
    """The same if running workers end when they are expected to, without a margin. What was reserved before has to fit
    in here, so that noise moves nothing. Only that of Hard and of Soft is asked for."""
    change_us: int = 0
    """What a device takes to change hands: so long before and after a window that is given out again, it is no other
    job's. Windows that were given out before are kept where they are, even if they have come closer."""

    def less(self, claims: Claims, *, of: Collection[DeadlineClass] = CLASSES) -> "CalendarPool":
        """Return what is left beside what is taken. `of` are the deadline classes from which it is kept."""
        if not (taken := list(claims)):
            return self
        free, expected = (
            {kind: less(left, taken) if kind in of else left for kind, left in table.items()}
            for table in (self.free, self.expected)
        )
        return replace(self, free=free, expected=expected)


def less(free: Free, claims: Claims, *, least: int = 0) -> Free:
    """Return what is left beside what is taken; `least` is as in without()."""
    taken: defaultdict[str, list[Taken]] = defaultdict(list)
    for name, each in claims:
        taken[name].append(each)
    return {
        **free,
        **{name: without(free[name], of_name, least=least) for name, of_name in taken.items() if name in free},
    }


def free_over_time(
    counts: Mapping[str, int], capacity: Iterable[AnnouncedDevices], *, now_us: int
) -> dict[str, FreeDevices]:
    """Return by class how many devices there are from each time to the next: those that stay, and those that come."""
    free = {name: always_free(count) for name, count in counts.items()}
    for entry in capacity:
        absent = outside(from_now(find_spans([entry], now_us=now_us), now_us))
        coming = without(always_free(entry.count), [Taken(*span, entry.count) for span in absent])
        free[entry.device_class] = combined(free.get(entry.device_class, always_free(0)), coming, add)
    return free


def idle_pool(
    counts: Mapping[str, int], *, limits: Mapping[str, int] = MappingProxyType({}), change_us: int = 0
) -> CalendarPool:
    """Return a pool of so many devices on which nothing runs; `limits` are units by the names of limits."""
    free = {name: always_free(count) for name, count in (*counts.items(), *limits.items())}
    tables = dict.fromkeys(CLASSES, free)
    whole = {name: free[name] for name in counts}
    return CalendarPool(whole=whole, free=tables, expected=tables, change_us=change_us)
