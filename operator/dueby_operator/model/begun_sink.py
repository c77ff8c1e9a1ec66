"""What a job has found in a sink that was begun before: its grid, and the parts that are there of it. Pure."""

from dueby_api.grid import Grid
from dueby_api.parts import NONE, Parts, parts_of_text
from dueby_api.status import JobStatus


def begun_grid(status: JobStatus) -> Grid | None:
    """Return the grid of a sink that was begun before; None for a new one, or while N isn't known."""
    if status.part_size is None or status.images is None:
        return None
    return Grid(images=status.images, part_size=status.part_size)


def begun_parts(status: JobStatus) -> Parts:
    """Return the parts that were in the sink when the job came to it."""
    grid = begun_grid(status)
    return NONE if grid is None else parts_of_text(status.parts_there or "", of=grid.parts)
