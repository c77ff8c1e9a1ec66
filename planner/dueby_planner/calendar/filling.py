"""Which jobs can't be done even if their work could be divided at will and cost no starts between its pieces.

Jobs are poured into the time of devices that are always there, in the order of their deadlines, each as level as it can
be: from where most devices are left, but nowhere more than the job may hold. Where all jobs are there from the start,
that finds room for all of them whenever there is room. What is left never falls with time, so neither does it with the
next job: the job takes nothing up to one time, then all that is above a level, and from another time on as many
devices as it may hold.

If a job finds too little, the jobs that keep it from the time it would need, those that keep these from theirs, and so
on, are together too many. The time that a job would need is all before it holds as many devices as it may.

This is a search in floats; what it finds is proved in integers (cut.py).
"""

from collections.abc import Sequence
from typing import NamedTuple


class Demand(NamedTuple):
    """What a job needs."""

    device_us: int
    until_us: int
    at_once: int
    """Devices that it may hold at once."""


class _Piece(NamedTuple):
    """What is left in a time."""

    from_us: int
    to_us: int
    left: float


class _Poured(NamedTuple):
    """What one job takes: nothing before `from_us`, and as many devices as it may hold after `full_us`."""

    from_us: int
    full_us: int


class Filling:
    """Demands that are poured into the time of so many devices; they ascend by deadline.

    What each leaves is kept for those that are asked about one more demand: only what comes after it is poured again.
    """

    def __init__(self, demands: Sequence[Demand], devices: int) -> None:
        self._demands = demands
        self._devices = devices
        self._left: list[list[_Piece]] = [[]]
        """What there is for each demand, as far as anybody has asked."""
        self._poured: list[_Poured] = []

    def find_overfull(self, more: Demand, place: int) -> set[int] | None:
        """Return the places of demands that are together too many, with `more` before the one that is at `place` now.

        None if there is room for all, or not even for those before it.
        """
        while len(self._poured) < place:
            pieces, taken, is_enough = self._pour(self._demands[len(self._poured)], self._left[-1])
            if not is_enough:
                return None
            self._left.append(pieces)
            self._poured.append(taken)
        pieces, poured = self._left[place], self._poured[:place]
        for demand in (more, *self._demands[place:]):
            pieces, taken, is_enough = self._pour(demand, pieces)
            poured.append(taken)
            if not is_enough:
                return _in_the_way(poured)
        return None

    def _pour(self, demand: Demand, pieces: list[_Piece]) -> tuple[list[_Piece], _Poured, bool]:
        """Return what is left, what the demand takes, and whether that is enough."""
        ends_us = pieces[-1].to_us if pieces else 0
        if ends_us < demand.until_us:
            pieces = [*pieces, _Piece(ends_us, demand.until_us, self._devices)]
        return _pour(demand, pieces)


def _pour(demand: Demand, pieces: Sequence[_Piece]) -> tuple[list[_Piece], _Poured, bool]:
    """Do so for a demand that ends with the last piece."""
    first = full = len(pieces)
    """The first piece of which it takes something, and the first of which it takes as much as it may."""
    missing, width, level = demand.device_us * (1 - 1e-9), 0, pieces[-1].left
    while missing > 0:
        # Down to where the next piece is reached, or one has given as much as it may.
        reached = pieces[first - 1].left if first else 0.0
        emptied = pieces[full - 1].left - demand.at_once if full > first else 0.0
        below = max(0.0, reached, emptied)
        if missing <= (level - below) * width:
            level, missing = level - missing / width, 0.0
            break
        missing -= (level - below) * width
        level = below
        if not level:
            break
        if full > first and emptied == level:
            full -= 1
            width -= pieces[full].to_us - pieces[full].from_us
        else:
            first -= 1
            width += pieces[first].to_us - pieces[first].from_us
    until_us = pieces[-1].to_us
    from_us, full_us = (pieces[at].from_us if at < len(pieces) else until_us for at in (first, full))
    even = [_Piece(from_us, full_us, level)] if first < full else []
    above = [_Piece(begins_us, ends_us, left - demand.at_once) for begins_us, ends_us, left in pieces[full:]]
    return [*pieces[:first], *even, *above], _Poured(from_us, full_us), missing <= 0


def _in_the_way(poured: Sequence[_Poured]) -> set[int]:
    """Return the last one, those that take some of the time that it would need, and so on."""
    last = len(poured) - 1
    found, until_us = {last}, poured[last].full_us
    for number in sorted(range(last), key=lambda number: poured[number].from_us):
        if poured[number].from_us < until_us:
            found.add(number)
            until_us = max(until_us, poured[number].full_us)
    return found
