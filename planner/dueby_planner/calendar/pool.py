"""What a calendar is made on: the devices that there are, and what is free of them beside the workers that run.

How many devices a job may have depends on whose workers give way to it. So there is a table of free devices for each
deadline class: what is free beside the running workers of this class and of those above it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dueby_api.inference_job import DeadlineClass
from dueby_api.units import MICROS_PER_SECOND
from dueby_planner.calendar.free_devices import FreeDevices, Taken, always_free, without

Free = Mapping[str, FreeDevices]
"""Free devices over time, by the name of the devices. Of names that are missing there are none. The units of quotas
(quotas.py) are counted like devices, under names of their own."""

CHANGE_US = 5 * MICROS_PER_SECOND
"""From the end of a worker until its device is seen to be free: what a device takes to change hands."""

CLASSES: tuple[DeadlineClass, ...] = ("Hard", "Soft", "Relaxed", "BestEffort")
"""The deadline classes, the most important first."""

PROMISED, YIELDING = CLASSES[:2], CLASSES[2:]
"""Those whose reservations are kept for them, and those whose workers give way to them."""


@dataclass(frozen=True, kw_only=True)
class CalendarPool:
    """The devices, by name: a device class, or those of a class that have the same future."""

    whole: Mapping[str, int]
    """Every device that there is, whoever has it now, and all units of quotas. Proofs count these."""
    free: Mapping[DeadlineClass, Free]
    """What is free beside the running workers of a class and of those above it. At no moment has a class fewer devices
    than those below it: `free["BestEffort"]` is beside all workers, and `free["Hard"]` beside those of Hard jobs."""
    expected: Mapping[DeadlineClass, Free]
    """The same if running workers end when they are expected to, without a margin. What was reserved before has to fit
    in here, so that noise moves nothing. Only that of Hard and of Soft is asked for."""
    change_us: int = 0
    """What a device takes to change hands: so long before and after a window that is given out again, it is no other
    job's. Windows that were given out before are kept where they are, even if they have come closer."""


def less(free: Free, taken: Mapping[str, Sequence[Taken]]) -> Free:
    """Return what is left beside what is taken, by name."""
    return {**free, **{name: without(free[name], of_name) for name, of_name in taken.items() if name in free}}


def idle_pool(counts: Mapping[str, int], *, change_us: int = 0) -> CalendarPool:
    """Return a pool of so many devices on which nothing runs."""
    free = {name: always_free(count) for name, count in counts.items()}
    tables = dict.fromkeys(CLASSES, free)
    return CalendarPool(whole=counts, free=tables, expected=tables, change_us=change_us)
