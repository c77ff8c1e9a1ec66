"""Can a job pay for more workers? What it may cost is spec.maxCost; where jobs are placed, within_cost.py asks.

More workers are left out if what the job has spent, what its workers will cost until its expected end, and what these
will cost is more than that. Costs are expected ones, as a plan's (model/cost.py): each device is paid for until the
job's end.
"""

from collections.abc import Iterable, Iterator

from dueby_api.status import WindowStatus
from dueby_api.units import parse_time_us
from dueby_planner.model.cost import micro_units
from dueby_planner.schedule.job import ScheduledJob, WorkerModel


def affords(
    job: ScheduledJob,
    *,
    ends_us: int | None,
    helpers: Iterable[WorkerModel] = (),
    windows: Iterable[WindowStatus] = (),
    more: int = 0,
) -> bool:
    """Return whether the job can pay for its workers until it ends, for helpers and windows, and for `more`.

    `ends_us` is in microseconds since 1970; None if nobody would do the rest: then it is the deadline. `more` is in
    millionths of the currency's unit. What has no price can't be paid for.
    """
    limit, tariff = job.cost_limit, job.tariff
    if limit is None:
        return True
    if tariff is None or tariff.currency != limit.most.currency:
        return False
    ends_us = max(job.now_us, ends_us or job.deadline_us)
    charge = 0
    for name, count, held_us in _held(job, (*job.alive, *helpers), windows, ends_us):
        price = tariff.price_of(name)
        if price is None:
            return False
        charge += count * price.charge(max(0, held_us))
    return limit.allows(micro_units(charge) + more)


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
