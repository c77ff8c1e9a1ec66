"""Who does which parts: shares for the workers of a plan, and for helpers that are added to it. Pure."""

from collections.abc import Sequence

from dueby_operator.model.job_model import Assignment, JobModel
from dueby_planner.model.capacity import Capacity
from dueby_planner.model.plan import Plan
from dueby_planner.model.shares import cut_runs


def assign_plan(model: JobModel, plan: Plan) -> tuple[Assignment, ...]:
    """Return one worker per planned device, with runs of missing parts in the ratio of what each is planned to do."""
    devices = [group for group in plan.groups for _ in range(group.count)]
    missing = _missing_parts(model, model.part_size or plan.part_size)
    shares = cut_runs(missing, [group.images_each for group in devices])
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
    shares = cut_runs(_orphaned_parts(model), [capacity.images for capacity in devices])
    return tuple(
        Assignment(
            worker=f"w{number}",
            revision=model.revision + 1,
            device_class=capacity.group.device_class,
            choice=capacity.choice,
            iterations=max(0, capacity.images // capacity.choice.mini_batch_size - 1),
            share=share,
        )
        for number, (capacity, share) in enumerate(zip(devices, shares, strict=True), model.next_number)
    )


def _missing_parts(model: JobModel, part_size: int) -> list[int]:
    """Return the missing parts of a grid that may be new."""
    parts = -(-model.images // part_size)
    return [part for part in range(parts) if part not in model.parts_there]


def _orphaned_parts(model: JobModel) -> list[int]:
    """Return the missing parts that are in no living worker's share."""
    shares = sorted((worker.assignment.share for worker in model.alive), key=lambda share: share.first, reverse=True)
    orphaned, end = [], 0
    # One walk: a large job has thousands of shares and a million parts.
    for part in model.missing_parts:
        while shares and shares[-1].first <= part:
            end = max(end, shares.pop().end)
        if part >= end:
            orphaned.append(part)
    return orphaned
