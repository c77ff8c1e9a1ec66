"""Which devices of a class a job's block covers, so that no two blocks of a chart lie on each other.

The calendar counts devices and doesn't name them. So blocks are laid by the times at which they begin, each on the
lowest devices that are free then and beside each other. Where no such place is left, a block is divided; since never
more devices are held than there are, there is always room.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dueby_pages.calendar import ShownHold, ShownJob

Rows = tuple[int, int]
"""The first device and the one after the last."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """A part of a hold, on devices that are beside each other."""

    number: int
    """Of the job, from 0."""
    hold: ShownHold
    rows: Rows


def stacked(jobs: Sequence[ShownJob], device_class: str, devices: int) -> list[Block]:
    """Return the blocks of a class; `devices` is no less than are held at once."""
    holds = [
        (number, hold) for number, job in enumerate(jobs) for hold in job.holds if hold.device_class == device_class
    ]
    blocks: list[Block] = []
    busy: list[Block] = []
    for number, hold in sorted(holds, key=lambda numbered: (numbered[1].from_s, -numbered[1].count)):
        busy = [block for block in busy if block.hold.to_s > hold.from_s]
        new = [
            Block(number=number, hold=hold, rows=rows)
            for rows in _chosen(list(_gaps(sorted(block.rows for block in busy), devices)), hold.count)
        ]
        blocks += new
        busy += new
    return blocks


def _gaps(used: Sequence[Rows], devices: int) -> Iterator[Rows]:
    """Yield the free devices between those that are taken."""
    at = 0
    for first, end in used:
        if first > at:
            yield at, first
        at = end
    if at < devices:
        yield at, devices


def _chosen(gaps: Sequence[Rows], count: int) -> Iterator[Rows]:
    """Yield the lowest gap that is large enough, or the largest ones that are together."""
    for first, end in gaps:
        if end - first >= count:
            yield first, first + count
            return
    for first, end in sorted(gaps, key=lambda gap: gap[0] - gap[1]):
        if count <= 0:
            return
        yield first, min(end, first + count)
        count -= end - first
