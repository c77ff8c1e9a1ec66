"""The names of parts, and which parts a sink holds by its names.

A part's name depends on the grid alone, so a listing of the sink is all that workers need to coordinate. In a cluster
it ends with the mark of the job that began the sink: `part-<first>-<last>.<mark>.parquet`. A worker that was cut off
and writes when another job has emptied the sink and begun it again then adds a file that nobody takes for a part. Runs
without a cluster, and DueBy before there were marks, leave the mark out. What is added to a sink has its generation
before that: `part-<first>-<last>.g0002.<mark>.parquet`. What is in a part is none of this file's
business: whoever only lists a sink, as `dueby run` does, loads no library for rows.
"""

import re
from collections.abc import Iterable

from dueby_api.grid import Grid
from dueby_api.parts import Parts, marked_parts

# Version of the parts' layout. Parquet metadata and the sink's manifest name it.
FORMAT_VERSION = 1
MARK_DIGITS = 8
_NAME = re.compile(
    rf"part-(\d{{12}})-(\d{{12}})(?:\.g(?P<generation>\d{{4,}}))?(?:\.(?P<mark>[0-9a-f]{{{MARK_DIGITS}}}))?\.parquet"
)


def part_name(grid: Grid, part: int) -> str:
    """Return the file name of a part: the index of its first and last image in the sink, both inclusive."""
    first, last = grid.indexes(part)
    generation = f".g{grid.generation:04d}" if grid.generation > 1 else ""
    mark = grid.mark and f".{grid.mark}"
    return f"part-{first:012d}-{last:012d}{generation}{mark}.parquet"


def generation_in(name: str) -> int:
    """Return which of the sink's generations a part is of, by its file name."""
    match = _NAME.fullmatch(name)
    return int(match["generation"] or 1) if match else 1


def is_part_name(name: str) -> bool:
    """Return whether the file name is that of a part, of whatever grid and job."""
    return _NAME.fullmatch(name) is not None


def part_of(name: str, grid: Grid) -> int | None:
    """Return which part of this grid has the file name; None if none has."""
    match = _NAME.fullmatch(name)
    # Names of other grids and jobs are part names too, but have other bounds than a part of this grid, or marks.
    if match is None or (match["mark"] or "", int(match["generation"] or 1)) != (grid.mark, grid.generation):
        return None
    part = (int(match[1]) - grid.first_image) // grid.part_size
    is_there = 0 <= part < grid.parts and grid.indexes(part) == (int(match[1]), int(match[2]))
    return part if is_there else None


def parts_among(names: Iterable[str], grid: Grid) -> Parts:
    """Return the parts of this grid among the file names of a sink, of which there may be millions in any order."""
    marks = bytearray(grid.parts)
    for name in names:
        if (part := part_of(name, grid)) is not None:
            marks[part] = 1
    return marked_parts(marks, 1)
