"""The names of parts, and which parts a sink holds by its names.

A part's name depends on the grid alone, so a listing of the sink is all that workers need to coordinate. What is in a
part is none of this file's business: whoever only lists a sink, as `dueby run` does, loads no library for rows.
"""

import re
from collections.abc import Iterable

from dueby_api.grid import Grid

# Version of the parts' layout. Parquet metadata and the sink's manifest name it.
FORMAT_VERSION = 1
_NAME = re.compile(r"part-(\d{12})-(\d{12})\.parquet")


def part_name(grid: Grid, part: int) -> str:
    """Return the file name of a part: its first and last image, both inclusive."""
    first, last = grid.bounds(part)
    return f"part-{first:012d}-{last:012d}.parquet"


def is_part_name(name: str) -> bool:
    """Return whether the file name is that of a part, of whatever grid."""
    return _NAME.fullmatch(name) is not None


def parts_among(names: Iterable[str], grid: Grid) -> set[int]:
    """Return the parts of this grid among the file names of a sink."""
    found = set()
    for name in names:
        match = _NAME.fullmatch(name)
        # A name of another grid is a part's name too, but its bounds are not those of a part of this grid.
        if match and grid.bounds(part := int(match[1]) // grid.part_size) == (int(match[1]), int(match[2])):
            found.add(part)
    return found


def runs_of(parts: Iterable[int]) -> list[tuple[int, int]]:
    """Return the runs of neighbouring parts, each as its first part and the one after its last."""
    runs: list[tuple[int, int]] = []
    for part in sorted(parts):
        if runs and runs[-1][1] == part:
            runs[-1] = (runs[-1][0], part + 1)
        else:
            runs.append((part, part + 1))
    return runs
