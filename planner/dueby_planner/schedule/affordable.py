"""Can a job pay for more workers? By spec.maxCost and its namespace's budget; for places, within_cost.py asks.

More workers are left out if what the job has spent, what its workers will cost until its expected end, and what these
will cost is more than that. Costs are expected ones, as a plan's (model/cost.py): each device is paid for until the
job's end.
"""

from collections.abc import Iterable, Iterator

from dueby_api.status import WindowStatus
from dueby_api.units import parse_time_us
from dueby_planner.model.budget import NOTHING, Use
from dueby_planner.model.cost import micro_units
from dueby_planner.schedule.job import ScheduledJob, WorkerModel
from dueby_planner.schedule.request import Start


def affords(job: ScheduledJob, use: Use) -> bool:
    """Return whether the job may use so much beside what it has spent. What has no price can't be paid for."""
    limit = job.cost_limit
    is_within = limit is None or (use.micro_units is not None and limit.allows(use.micro_units))
    return is_within and (job.room is None or job.room.allows(use))


def new_workers(job: ScheduledJob, start: Start) -> list[WorkerModel]:
    """Return the workers that are started now."""
    return [WorkerModel(assignment=found, state="starting", created_us=job.now_us) for found in start.assignments]


def use_with(job: ScheduledJob, start: Start, *, ends_us: int | None) -> Use:
    """Return what the job uses until it ends, with what is reserved for it and with the workers that are started."""
    return expected_use(job, helpers=new_workers(job, start), windows=job.windows, ends_us=ends_us)


def expected_use(
    job: ScheduledJob,
    *,
    ends_us: int | None,
    helpers: Iterable[WorkerModel] = (),
    windows: Iterable[WindowStatus] = (),
    more: Use = NOTHING,
) -> Use:
    """Return what the job's workers use until it ends, with helpers, windows, and `more`.

    `ends_us` is in microseconds since 1970; None if nobody would do the rest: then it is the deadline.
    """
    limit, tariff = job.cost_limit, job.tariff
    is_priced = tariff is not None and (limit is None or limit.most.currency == tariff.currency)
    ends_us = max(job.now_us, ends_us or job.deadline_us)
    charge = device_us = 0
    for name, count, held_us in _held(job, (*job.alive, *helpers), windows, ends_us):
        price = tariff.price_of(name) if tariff is not None else None
        device_us += count * max(0, held_us)
        if price is None:
            is_priced = False
        else:
            charge += count * price.charge(max(0, held_us))
    return Use(micro_units(charge) if is_priced else None, device_us).plus(more)


def _held(
    job: ScheduledJob, workers: Iterable[WorkerModel], windows: Iterable[WindowStatus], ends_us: int
) -> Iterator[tuple[str, int, int]]:
    """Yield a class, so many devices of it, and for how long the job will have held each of them when it ends."""
    for worker in workers:
        # To queue costs nothing.
        from_us = job.now_us if worker.state == "queued" else worker.created_us
        until_us = worker.assignment.until_us
        gone_us = worker.leaves_us if until_us is None or until_us < job.now_us else min(until_us, worker.leaves_us)
        yield worker.assignment.device_class, 1, min(ends_us, gone_us) - from_us
    for window in windows:
        from_us = max(job.now_us, parse_time_us(window.from_time))
        yield window.device_class, window.count, min(ends_us, parse_time_us(window.to_time)) - from_us
