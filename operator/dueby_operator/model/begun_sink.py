"""What a job's sink has: its grid, what was there of it before the job, and whether all of it is there now. Pure."""

from dueby_api.grid import Grid
from dueby_api.parts import NONE, Parts, all_parts, parts_of_text
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


def part_size_of(status: JobStatus) -> int | None:
    """Return the images of a part: of the plan that was started, or of a sink begun before; None before both."""
    return status.plan.part_size if status.plan and status.plan.revision else status.part_size


def is_full(status: JobStatus, parts_there: Parts) -> bool:
    """Return whether every part is in the sink, so that only its rows are left to be counted."""
    images, part_size = status.images, part_size_of(status)
    if images is None or part_size is None:
        return False
    return not all_parts(Grid(images=images, part_size=part_size).parts) - (parts_there | begun_parts(status))
