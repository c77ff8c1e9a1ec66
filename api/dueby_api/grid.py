"""The part grid: which images each part holds, and shares as runs of whole parts.

The grid is frozen by a job's first plan: part p holds the images p * part_size ... and never anything else, so that
edits, re-plans and other mini-batch sizes find every finished part.
"""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Grid:
    """N images in parts of `part_size`; the last part may be smaller."""

    images: int
    part_size: int
    mark: str = ""
    """What the names of its parts end with, so that those of another job in the same sink are no parts of it."""
    generation: int = 1
    """Which of the sink's generations it is."""
    first_image: int = 0
    """Images of the generations before it, from which on the rows of this one are counted."""

    @property
    def parts(self) -> int:
        """Number of parts."""
        return -(-self.images // self.part_size)

    def bounds(self, part: int) -> tuple[int, int]:
        """Return the first and last image of the part, both inclusive."""
        first = part * self.part_size
        return first, min(first + self.part_size, self.images) - 1

    def indexes(self, part: int) -> tuple[int, int]:
        """Return what the rows of the part's first and last image have as their index in the whole sink."""
        first, last = self.bounds(part)
        return self.first_image + first, self.first_image + last

    def size(self, part: int) -> int:
        """Return the number of images in the part."""
        first, last = self.bounds(part)
        return last - first + 1

    def images_in(self, parts: Collection[int]) -> int:
        """Return the number of images in these distinct parts. Only the last part can be smaller than the others."""
        last = self.parts - 1
        return len(parts) * self.part_size - (self.part_size - self.size(last) if last in parts else 0)


@dataclass(frozen=True, kw_only=True)
class Share:
    """The parts first, first + 1, ..., end - 1; empty where first == end."""

    first: int
    end: int

    def __len__(self) -> int:
        return self.end - self.first
