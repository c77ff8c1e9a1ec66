"""Which jobs can't be done even if their work could be divided at will and cost no starts between its pieces.

Jobs are poured into the time that there is, in the order of their deadlines, each as level as it can be: from where
most devices are left, but nowhere more than the job may hold. Where all jobs are there from the start, that finds room
for all of them whenever there is room. If a job finds too little, the jobs that keep it from the time it would need,
those that keep these from theirs, and so on, are together too many.

This is a search in floats; what it finds is proved in integers (cut.py).
"""

from collections.abc import Sequence
from typing import NamedTuple

# Of a device: less than this is a rounding error.
_NOTHING = 1e-7


class Demand(NamedTuple):
    """What a job needs."""

    device_us: int
    until_us: int
    at_once: int
    """Devices that it may hold at once."""


class Column(NamedTuple):
    """What there is in a time."""

    from_us: int
    length_us: int
    devices: int


def find_overfull(demands: Sequence[Demand], columns: Sequence[Column]) -> set[int] | None:
    """Return the places of demands that are together too many; None if there is room for all.

    `demands` ascend by deadline, and `columns` have a border at each deadline.
    """
    left = [float(column.devices) for column in columns]
    poured: list[list[float]] = []
    """Devices of each demand in each column before its deadline."""
    for demand in demands:
        open_columns = [column for column in columns if column.from_us < demand.until_us]
        level = _level(demand, open_columns, left)
        taken = [min(demand.at_once, max(0.0, left[at] - (level or 0.0))) for at in range(len(open_columns))]
        poured.append(taken)
        if level is None:
            return _in_the_way(demands, poured)
        for at, devices in enumerate(taken):
            left[at] -= devices
    return None


def _level(demand: Demand, columns: Sequence[Column], left: Sequence[float]) -> float | None:
    """Return down to how many devices the demand takes what is left, at the most; None if all is not enough."""

    def room(level: float) -> float:
        return sum(
            column.length_us * min(demand.at_once, max(0.0, left[at] - level)) for at, column in enumerate(columns)
        )

    if room(0.0) < demand.device_us * (1 - 1e-9):
        return None
    # Between these levels the room is a straight line.
    bends = sorted(
        {0.0, *(bend for at in range(len(columns)) for bend in (left[at], left[at] - demand.at_once) if bend > 0)}
    )
    low, high = 0, len(bends) - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if room(bends[middle]) >= demand.device_us else (low, middle - 1)
    if low + 1 == len(bends):
        return bends[low]
    above, below = room(bends[low]), room(bends[low + 1])
    share = (above - demand.device_us) / (above - below) if above > below else 0.0
    return bends[low] + max(0.0, share) * (bends[low + 1] - bends[low])


def _in_the_way(demands: Sequence[Demand], poured: Sequence[Sequence[float]]) -> set[int]:
    """Return the last demand, those that hold devices where it would take more, and so on."""
    found, to_do = {len(poured) - 1}, [len(poured) - 1]
    full: set[int] = set()
    while to_do:
        number = to_do.pop()
        for at, devices in enumerate(poured[number]):
            if at in full or devices >= demands[number].at_once - _NOTHING:
                continue
            full.add(at)
            for other, taken in enumerate(poured):
                if other not in found and at < len(taken) and taken[at] > _NOTHING:
                    found.add(other)
                    to_do.append(other)
    return found
