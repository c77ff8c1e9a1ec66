"""A job's windows: which of them begin now, how the others are kept in its status, and how they are said."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dueby_api.plan import PlannedGroup
from dueby_api.status import MAX_WINDOWS, PlanStatus, WindowStatus
from dueby_api.units import (
    MICROS_PER_SECOND,
    format_duration,
    format_exact_time,
    format_time,
)
from dueby_api.words import counted
from dueby_planner.answer import device_word
from dueby_planner.model.part_size import part_size_for
from dueby_planner.model.problem import Problem
from dueby_planner.schedule.calendar import Placement
from dueby_planner.schedule.devices import DeviceGroups
from dueby_planner.schedule.free_devices import YIELDING
from dueby_planner.schedule.job import Assignment, JobKey, ScheduledJob
from dueby_planner.schedule.lag import OngoingWorker, workers_of_window
from dueby_planner.schedule.ledger import BesideOthers
from dueby_planner.schedule.reservation import (
    Reservation,
    Window,
    devices_at_most,
    done_by,
    expected_finish_us,
    finish_at_confidence_us,
    probability_by,
)
from dueby_planner.schedule.watch import cut_missing, cut_orphaned

# A window that begins within this time is begun at once on a device that is idle until then.
EARLY_US = 35 * MICROS_PER_SECOND


@dataclass(frozen=True, kw_only=True)
class Room:
    """What there is for one job, beside what all others hold and have reserved."""

    key: JobKey
    groups: DeviceGroups
    beside: BesideOthers
    """What is free beside all others."""
    idle: Mapping[str, int]
    """Devices by group on which a worker could be started now."""


@dataclass(frozen=True, kw_only=True)
class Due:
    """Devices of a lane whose window begins now."""

    lane: int
    """Its place in the reservation."""
    group: str
    device_class: str
    count: int
    window: Window


def due(placement: Placement, room: Room, *, least_us: Callable[[Window], int]) -> list[Due]:
    """Return what can be started now of the windows that have begun.

    A window that begins soon has begun if its device is idle until then. One that is shorter than `least_us`, or in
    which nothing can be done any more, is not worth a start.
    """
    left = Counter(room.idle)
    found: list[Due] = []
    for number, lane in enumerate(placement.reservation):
        first, name = lane.windows[0], lane.group
        is_worth_it = first.images > 0 and first.to_us - max(0, first.from_us) >= least_us(first)
        if first.from_us > EARLY_US or not is_worth_it:
            continue
        count = min(lane.count, max(0, left[name]))
        # What is kept for nobody leaves alone what others wait to begin on.
        if count and (first.from_us > 0 or placement.job.deadline_class in YIELDING):
            wanted_now = {name: count + room.idle[name] - left[name]}
            others = room.beside.idle(room.key, wanted_now, first.from_us)[name]
            count = max(0, others - (room.idle[name] - left[name]))
        left[name] -= count
        if count:
            device_class = room.groups.class_of(name)
            found.append(Due(lane=number, group=name, device_class=device_class, count=count, window=first))
    return found


def assign_windows(job: ScheduledJob, starting: Sequence[Due], *, part_size: int) -> tuple[Assignment, ...]:
    """Return a worker for each device: with runs of missing parts, or as a helper if the job has workers."""
    devices = [each for each in starting for _ in range(each.count)]
    images = [min(each.window.images, job.images) for each in devices]
    is_first = job.revision == 0
    shares = cut_missing(job, images, part_size=part_size) if is_first else cut_orphaned(job, images)
    return tuple(
        Assignment(
            worker=f"w{number}",
            revision=job.revision + 1,
            device_class=each.device_class,
            choice=each.window.choice,
            iterations=max(0, most // each.window.choice.mini_batch_size - 1),
            share=share,
            # Kueue would start all workers of a Job again if one were stopped: they end with the job.
            until_us=None if job.spec.queue_name else job.now_us + each.window.to_us,
        )
        for number, (each, most, share) in enumerate(zip(devices, images, shares, strict=True), job.next_number)
    )


def still_reserved(placement: Placement, starting: Sequence[Due]) -> Reservation:
    """Return the reservation without what is started now."""
    started = {each.lane: each.count for each in starting}
    kept = []
    for number, lane in enumerate(placement.reservation):
        gone = started.get(number, 0)
        kept += [replace(lane, count=gone, windows=lane.windows[1:]), replace(lane, count=lane.count - gone)]
    return tuple(lane for lane in kept if lane.count and lane.windows)


def reserved_workers(reservation: Reservation) -> tuple[OngoingWorker, ...]:
    """Return what the workers will do that have the windows, whether these begin now or later."""
    return tuple(
        worker
        for number, lane in enumerate(reservation)
        for window in lane.windows
        for worker in workers_of_window(
            number, window.choice, from_us=window.from_us, to_us=window.to_us, count=lane.count
        )
    )


def window_statuses(reservation: Reservation, groups: DeviceGroups, *, now_us: int) -> tuple[WindowStatus, ...]:
    """Return the windows as a status has them, by time; those of one class that are the same together."""
    counts: Counter[tuple[Window, str]] = Counter()
    for lane in reservation:
        for window in lane.windows:
            counts[window, groups.class_of(lane.group)] += lane.count
    found = sorted(counts.items(), key=lambda item: (item[0][0].from_us, item[0][0].to_us, item[0][1]))
    return tuple(
        WindowStatus(
            device_class=device_class,
            engine=window.choice.engine,
            from_time=format_exact_time(now_us + window.from_us),
            to_time=format_exact_time(now_us + window.to_us),
            count=count,
            mini_batch_size=window.choice.mini_batch_size,
            images=count * window.images,
        )
        for (window, device_class), count in found
    )[:MAX_WINDOWS]


def reserved_plan(
    placement: Placement, groups: DeviceGroups, *, now_us: int, starting: Sequence[Due], part_size: int, revision: int
) -> PlanStatus:
    """Return status.plan of a job that is planned by windows: what starts now, and what is reserved."""
    problem, reservation = placement.job.problem, placement.reservation
    finish_us = finish_at_confidence_us(reservation, problem)
    return PlanStatus(
        revision=revision,
        gpus=devices_at_most(reservation),
        lower_bound=problem.fewest() or devices_at_most(reservation),
        proof="Calendar",
        proof_sentence=_proof(problem, reservation),
        confidence=problem.confidence,
        probability=round(probability_by(reservation, problem, problem.time_us), 6),
        part_size=part_size,
        expected_finish=format_time(now_us + expected_finish_us(reservation, problem)),
        finish_at_confidence=format_time(now_us + finish_us),
        slack=format_duration(problem.time_us - finish_us),
        warnings=problem.pool.warnings,
        groups=tuple(
            PlannedGroup(
                device_class=each.device_class,
                engine=each.window.choice.engine,
                count=each.count,
                mini_batch_size=each.window.choice.mini_batch_size,
                iterations=max(0, each.window.images // each.window.choice.mini_batch_size - 1),
                profile=each.window.choice.profile,
            )
            for each in starting
        ),
        windows=window_statuses(still_reserved(placement, starting), groups, now_us=now_us),
    )


def part_size_of(placement: Placement) -> int:
    """Return the images of a part of a job that is planned by windows, unless its sink has a grid already."""
    problem, reservation = placement.job.problem, placement.reservation
    able = done_by(reservation, problem, max(problem.time_us, finish_at_confidence_us(reservation, problem)))
    choices = [window.choice for lane in reservation for window in lane.windows]
    return problem.part_size or part_size_for(problem, able, choices, gpus=sum(lane.count for lane in reservation))


def _proof(problem: Problem, reservation: Reservation) -> str:
    fewest, word = problem.fewest(), device_word(problem.pool)
    if fewest is None:
        return "All devices that the job may use would be too few to be in time."
    if fewest >= devices_at_most(reservation):
        return f"No fewer than {counted(fewest, word)} would be in time."
    return f"Without other jobs {counted(fewest, word)} would be enough."


def devices_by_group(starting: Iterable[Due]) -> Counter[str]:
    """Return how many devices of each group are taken."""
    taken: Counter[str] = Counter()
    for each in starting:
        taken[each.group] += each.count
    return taken
