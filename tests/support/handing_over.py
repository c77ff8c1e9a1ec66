"""Running Hard jobs whose workers have all devices but for a few, and jobs beside them."""

from collections.abc import Sequence
from typing import Any

from dueby_planner.schedule.calendar_job import CalendarJob
from dueby_planner.schedule.free_devices import CLASSES, CalendarPool
from dueby_planner.schedule.hand_over import RunningJob, RunningWorker
from support.calendar import always, calendar_job, steps

# A device does an image a microsecond, and takes 10 to start.
DEVICES = 4


def hard_job(name: str, *, images: int, time: int, **changes: Any) -> CalendarJob:
    return calendar_job(name, images=images, time=time, devices={"a": DEVICES}, **changes)


def running_job(
    name: str,
    *,
    images: int,
    time: int,
    ends: Sequence[int],
    gives_way: int | None = 5,
    stays: int | None = None,
    young: bool = False,
    **changes: Any,
) -> RunningJob:
    """A job with a worker that ends at each of these times, and could do more by its job's deadline."""
    may_stay_us = time if stays is None else min(time, stays)
    workers = tuple(
        RunningWorker(
            name=f"w{number}",
            devices="a",
            images=may_stay_us,
            ends_us=ends_us,
            may_stay_us=may_stay_us,
            gives_way_us=gives_way,
            is_young=young,
        )
        for number, ends_us in enumerate(ends)
    )
    return RunningJob(job=hard_job(name, images=images, time=time, **changes), workers=workers)


def pool_beside(*running: RunningJob) -> CalendarPool:
    """Return what is free beside these jobs' workers."""
    ends = sorted(worker.ends_us for each in running for worker in each.workers)
    assert len(ends) <= DEVICES
    free = steps((0, DEVICES - len(ends)), *((at, DEVICES - sum(end > at for end in ends)) for at in sorted(set(ends))))
    tables = {beside: {"a": free} for beside in CLASSES}
    return CalendarPool(whole=always({"a": DEVICES}), free=tables, expected=tables)
