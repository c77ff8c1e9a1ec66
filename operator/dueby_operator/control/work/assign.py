"""Who does which parts: shares for the workers of a plan, and for helpers that are added to it. Pure."""

from collections.abc import Sequence

from dueby_api.grid import Grid, Share
from dueby_api.parts import all_parts, parts_of_runs
from dueby_operator.model.job_model import Assignment, JobModel
from dueby_planner.model.capacity import Capacity
from dueby_planner.model.plan import Plan
from dueby_planner.model.shares import cut_runs


def assign_plan(model: JobModel, plan: Plan) -> tuple[Assignment, ...]:
    """Return one worker per planned device, with runs of missing parts in the ratio of what each is planned to do."""
    devices = [group for group in plan.groups for _ in range(group.count)]
    shares = cut_missing(model, [group.images_each for group in devices], part_size=plan.part_size)
    return tuple(
        Assignment(
            worker=f"w{number}",
            revision=1,
            device_class=group.device_class,
            choice=group.choice,
            iterations=group.iterations,
            share=share,
        )
        for number, (group, share) in enumerate(zip(devices, shares, strict=True))
    )


def assign_helpers(model: JobModel, added: Sequence[tuple[Capacity, int]]) -> tuple[Assignment, ...]:
    """Return helpers on the parts that lost workers left. With none of those, they take from everybody's tails."""
    devices = [capacity for capacity, count in added for _ in range(count)]
    # Long after the deadline there is time for more images than the job has.
    images = [min(capacity.images, model.images) for capacity in devices]
    shares = cut_orphaned(model, images)
    return tuple(
        Assignment(
            worker=f"w{number}",
            revision=model.revision + 1,
            device_class=capacity.group.device_class,
            choice=capacity.choice,
            iterations=max(0, most // capacity.choice.mini_batch_size - 1),
            share=share,
        )
        for number, (capacity, most, share) in enumerate(zip(devices, images, shares, strict=True), model.next_number)
    )


def cut_missing(model: JobModel, images: Sequence[int], *, part_size: int) -> tuple[Share, ...]:
    """Return a run of missing parts for each worker by what it is to do, on a grid that may be new."""
    grid = Grid(images=model.images, part_size=model.part_size or part_size)
    return cut_runs(all_parts(grid.parts) - model.parts_there, images)


def cut_orphaned(model: JobModel, images: Sequence[int]) -> tuple[Share, ...]:
    """Return a run for each worker of the missing parts that are in no living worker's share."""
    shares = (worker.assignment.share for worker in model.alive)
    return cut_runs(model.missing_parts - parts_of_runs((share.first, share.end) for share in shares), images)
