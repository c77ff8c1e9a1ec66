"""The part grid, and which run of whole parts each worker does.

The grid is frozen by a job's first plan: part p holds the images p * part_size ... and never anything else, so that
edits, re-plans and other mini-batch sizes find every finished part. A share is a run of whole parts. Shares are cut
in the ratio of what each worker is planned to do, cover 0..N-1 exactly once and depend on nothing but their input.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Grid:
    """N images in parts of `part_size`; the last part may be smaller."""

    images: int
    part_size: int

    @property
    def parts(self) -> int:
        """Number of parts."""
        return -(-self.images // self.part_size)

    def bounds(self, part: int) -> tuple[int, int]:
        """First and last image of the part, both inclusive."""
        first = part * self.part_size
        return first, min(first + self.part_size, self.images) - 1

    def size(self, part: int) -> int:
        """Images in the part."""
        first, last = self.bounds(part)
        return last - first + 1

    def images_in(self, parts: Collection[int]) -> int:
        """Images in these parts, each named once; only the last part can be smaller than the others."""
        last = self.parts - 1
        return len(parts) * self.part_size - (self.part_size - self.size(last) if last in parts else 0)


@dataclass(frozen=True, kw_only=True)
class Share:
    """The parts first, first + 1, ..., end - 1; empty where first == end."""

    first: int
    end: int

    def __len__(self) -> int:
        return self.end - self.first


def cut_shares(parts: int, planned: Sequence[int]) -> tuple[Share, ...]:
    """One share per worker, in order, in the ratio of `planned` (images each; not all 0), covering 0..parts-1 once.

    Cumulative rounding: worker i ends at floor(parts * sum(planned[:i+1]) / sum(planned)), so no share is off its
    exact length by a whole part or more.
    """
    total = sum(planned)
    shares, done, first = [], 0, 0
    for images in planned:
        done += images
        end = parts * done // total
        shares.append(Share(first=first, end=end))
        first = end
    return tuple(shares)


def cut_runs(missing: Sequence[int], planned: Sequence[int]) -> tuple[Share, ...]:
    """Shares over the parts still missing (ascending), for a re-plan: one contiguous run per worker.

    A run may span parts that are done; workers skip those. Together the runs hold every missing part once.
    """
    cuts = cut_shares(len(missing), planned)
    return tuple(
        Share(first=missing[cut.first], end=missing[cut.end - 1] + 1) if len(cut) else Share(first=0, end=0)
        for cut in cuts
    )
