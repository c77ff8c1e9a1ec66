"""What running workers hold, until when, and which of them may be asked to give way."""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from math import ceil

from dueby_api.units import MICROS_PER_SECOND
from dueby_planner.model.problem import NEVER_US
from dueby_planner.schedule.devices import DeviceGroups, IdleDevices
from dueby_planner.schedule.free_devices import CHANGE_US, CLASSES
from dueby_planner.schedule.job import JobKey, ScheduledJob, WorkerModel
from dueby_planner.schedule.lag import HYSTERESIS, finish_us
from dueby_planner.schedule.ledger import HeldDevice
from dueby_planner.schedule.watch import ongoing, pause_us, whose_time_is_up


def find_holds(job: ScheduledJob, groups: DeviceGroups, idle: IdleDevices) -> list[HeldDevice]:
    """Return the devices that a job's workers have.

    Workers that are on no node yet are taken off `idle`, what nobody has of each group and each quota. One that waits
    in its queue because there is no room has no device, and nobody knows when it gets one. As soon as there is quota
    again, it is its own.
    """
    if not job.alive:
        return []
    group_of = {worker.name: _group_of(job, worker, groups, idle) for worker in job.alive}
    there = [worker for worker in job.alive if worker.state != "queued" or group_of[worker.name]]
    rest_us, surely_us = (_rest_us(job, there, margin) for margin in (Fraction(0), HYSTERESIS))
    protected, kind = is_protected(job), job.deadline_class
    pause = pause_us(worker.assignment.choice.start_us for worker in job.alive)
    if kind == "Relaxed" and rest_us + pause > job.time_us:  # it can't wait any longer
        kind = "Soft"
    found, up = [], whose_time_is_up(job)
    for worker in job.alive:
        group, is_queued = group_of[worker.name], worker.state == "queued"
        if group is None and not is_queued:
            continue
        until_us = worker.assignment.until_us
        left_us = None if until_us is None else until_us - job.now_us
        leaves_us = max(1, worker.leaves_us - job.now_us)
        gives_way_us = _gives_way_us(job, worker, is_protected=protected)
        own_us = left_us if left_us is not None and left_us > 0 else NEVER_US
        if is_up := worker.name in up:
            own_us = gives_way_us
        bound_us = min(leaves_us, own_us)
        # What is reserved on its device from now on is kept, however long it takes until the worker is gone.
        expected_us = 1 if is_up else bound_us
        found.append(
            HeldDevice(
                key=job.key,
                worker=worker.name,
                group=group or "",
                device_class=worker.assignment.device_class,
                deadline_class=kind,
                ends_us=min(rest_us, expected_us) if group else NEVER_US,
                surely_ends_us=min(min(surely_us, own_us) + CHANGE_US, leaves_us) if group else NEVER_US,
                done_us=rest_us,
                start_us=worker.assignment.choice.expected_start_us,
                bound_us=bound_us,
                gives_way_us=gives_way_us,
                can_give_way=not protected and worker.can_shrink and not _young_us(job, worker),
                hands_over_us=NEVER_US if protected or not worker.can_shrink else _gone_us(job, worker),
                until_us=left_us,
                is_on_its_way=not worker.node and bool(groups.nodes),
                is_queued=is_queued,
            )
        )
    return found


def find_leaving(jobs: Iterable[ScheduledJob]) -> Mapping[JobKey, tuple[str, ...]]:
    """Return the names of the workers, by job, that are to stop now so that they end a part before their node goes.

    One that has not begun has nothing to end, and one that is stopped may come back to the same node.
    """
    leaving = {
        job.key: tuple(
            worker.name
            for worker in job.workers
            if worker.state == "running"
            and worker.can_shrink
            and worker.leaves_us - job.now_us <= _gone_us(job, worker)
        )
        for job in jobs
    }
    return {key: names for key, names in leaving.items() if names}


def is_protected(job: ScheduledJob) -> bool:
    """Return whether the job gave way a short time ago, and nothing has come into its sink since."""
    return bool(job.part_size) and job.gave_way_at == job.images_in_sink


def _group_of(job: ScheduledJob, worker: WorkerModel, groups: DeviceGroups, idle: IdleDevices) -> str | None:
    """Return what the worker's device is of. One that is on no node yet takes one that nobody has."""
    device_class = worker.assignment.device_class
    if worker.node or not groups.nodes:
        found = groups.at(job.key, device_class, worker.node)
        return found.name if found else None
    if worker.state == "queued":  # its queue counts it as used
        return idle.could_leave_queue(job.key, device_class)
    return idle.has_started(job.key, device_class)


def _rest_us(job: ScheduledJob, there: Sequence[WorkerModel], margin: Fraction) -> int:
    """Return the time until these workers have done what is left, and a share of it more."""
    left = ceil(job.images_left * (1 + margin))
    rest_us = finish_us([*ongoing(job, there), *job.reserved], left)
    return NEVER_US if rest_us is None else max(1, rest_us)


def _gives_way_us(job: ScheduledJob, worker: WorkerModel, *, is_protected: bool) -> int:
    """Return how soon the worker would be gone: at the end of its part, and it isn't asked just after its start."""
    if not worker.can_shrink:
        return NEVER_US
    choice, gone_us = worker.assignment.choice, _gone_us(job, worker)
    if is_protected:  # its next part comes first
        gone_us += choice.start_us + _part_us(job, worker)
    return _young_us(job, worker) + gone_us


def _gone_us(job: ScheduledJob, worker: WorkerModel) -> int:
    """Return how long it takes until a worker that is told to stop is gone: to the end of its part.

    A part that takes longer than it is granted is dropped at once, but what it takes is known only roughly.
    """
    return min(_part_us(job, worker), job.grace_s * MICROS_PER_SECOND) + CHANGE_US


def _part_us(job: ScheduledJob, worker: WorkerModel) -> int:
    choice = worker.assignment.choice
    return -(-(job.part_size or 1) // choice.mini_batch_size) * job.step_us(worker)


def _young_us(job: ScheduledJob, worker: WorkerModel) -> int:
    """Return for how long the worker may not be asked to give way, because it has just started."""
    return max(0, worker.created_us + pause_us([worker.assignment.choice.start_us]) - job.now_us)


def by_readiness(holds: Iterable[HeldDevice]) -> list[HeldDevice]:
    """Return the workers as they are asked to give way: those whose time is up first, then the least important."""
    return sorted(
        holds, key=lambda hold: (hold.until_us is None, -CLASSES.index(hold.deadline_class), hold.key, hold.worker)
    )
