"""What is done now about a job that the calendar has placed, or for which it has found no place.

Of its windows those begin that are due, and the others are kept in its status.

The calendar has no place for a job that waits in its Kueue queue for quota that others use: nobody knows until when, so
that counts as taken permanently. But only what is in the queue has its turn there. So the workers of a job that would
begin now without these others are created, and Kueue admits them as soon as it can. Jobs that take what is idle don't
wait so.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from dueby_api.plan import PlannedGroup
from dueby_api.status import MAX_WINDOWS, PlanStatus, WindowStatus
from dueby_api.units import (
    MICROS_PER_SECOND,
    format_duration,
    format_exact_time,
    format_time,
    parse_time_us,
)
from dueby_api.words import counted
from dueby_planner.answer import device_word, planned_store
from dueby_planner.model.part_size import part_size_for
from dueby_planner.model.problem import NEVER_US, Problem
from dueby_planner.schedule.calendar import Calendar, Placement, make_calendar
from dueby_planner.schedule.devices import DeviceGroups
from dueby_planner.schedule.explain import has_idle_devices, refuse_beside_others, until_then_sentence, waiting_sentence
from dueby_planner.schedule.free_devices import CLASSES, PROMISED, YIELDING
from dueby_planner.schedule.job import Assignment, JobKey, ScheduledJob, StartReason
from dueby_planner.schedule.lag import LagMemory, OngoingWorker, workers_of_window
from dueby_planner.schedule.ledger import (
    BesideOthers,
    HeldDevice,
    Ledger,
    open_ledger,
    taken_by_placements,
    used_by_others,
    without_others,
)
from dueby_planner.schedule.request import Refuse, Reserve, Start, Wait, WorkDecision
from dueby_planner.schedule.reservation import (
    Reservation,
    Window,
    begins_us,
    devices_at_most,
    done_by,
    ends_us,
    expected_finish_us,
    finish_at_confidence_us,
    probability_by,
)
from dueby_planner.schedule.usable import Usable
from dueby_planner.schedule.verify import verify_calendar
from dueby_planner.schedule.watch import cut_missing, cut_orphaned, decide_workers, expect_finish_us, pause_us

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
            until_us=None if job.is_queued else job.now_us + each.window.to_us,
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
    placement: Placement, groups: DeviceGroups, *, now_us: int, starting: Sequence[Due], part_size: int
) -> PlanStatus:
    """Return status.plan of a job that is planned by windows: what starts now, and what is reserved."""
    problem, reservation = placement.job.problem, placement.reservation
    finish_us = finish_at_confidence_us(reservation, problem)
    return PlanStatus(
        revision=0,
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
                paced=True if each.window.choice.unpaced else None,
            )
            for each in starting
        ),
        store=planned_store(problem),
        windows=window_statuses(still_reserved(placement, starting), groups, now_us=now_us),
    )


def part_size_of(placement: Placement) -> int:
    """Return the images of a part of a job that is planned by windows, unless its sink has a grid already."""
    problem, reservation = placement.job.problem, placement.reservation
    able = done_by(
        reservation, max(problem.time_us, finish_at_confidence_us(reservation, problem)), problem.max_iterations
    )
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


@dataclass(frozen=True, kw_only=True)
class Begun:
    """What is done about the job."""

    work: WorkDecision
    begun: Mapping[str, int] = field(default_factory=dict)
    """Devices by group on which workers are started now."""


def urgency(placement: Placement) -> tuple[bool, int, int, str]:
    """Order jobs by when they are to begin: first those that will be in time, and of equals the more important ones."""
    begin = begins_us(placement.reservation) if placement.reservation else NEVER_US
    is_late = placement.action not in ("Start", "Reserve")
    return is_late, begin, CLASSES.index(placement.job.deadline_class), placement.job.name


def decide_placed(usable: Usable, placement: Placement, calendar: Calendar, room: Room) -> Begun:
    """Return what to do now about a job for which there is a placement in the calendar."""
    job, reservation = usable.job, placement.reservation
    if not reservation:
        return Begun(work=_unplaced(usable, placement, calendar))
    if not job.has_started and (found := _at_once(usable, placement, room)):
        return found
    if starting := due(placement, room, least_us=_least_us(job, placement)):
        return _begin(usable, _start(job, placement, room, starting), devices_by_group(starting))
    if job.deadline_class == "BestEffort":  # nothing is kept for it
        return Begun(work=_wait(usable, placement, calendar))
    return Begun(work=_reserve(job, placement, calendar, room))


def _least_us(job: ScheduledJob, placement: Placement) -> Callable[[Window], int]:
    """Return how long a window has to be: for a job that gives way and won't end in it, two starts and a part."""
    first = sum(lane.count * lane.windows[0].images for lane in placement.reservation)
    if job.deadline_class in PROMISED or first >= placement.job.problem.images:
        return lambda window: 0
    part_size = job.part_size or part_size_of(placement)

    def least_us(window: Window) -> int:
        choice = window.choice
        return pause_us([choice.start_us]) + -(-part_size // choice.mini_batch_size) * choice.latency_us

    return least_us


def _at_once(usable: Usable, placement: Placement, room: Room) -> Begun | None:
    """Return the start of an ordinary plan, if devices that nobody needs before its end are enough for one."""
    job, problem = usable.job, placement.job.problem
    horizon_us = max(problem.time_us, ends_us(placement.reservation))
    idle = {group.device_class: max(0, room.idle.get(group.device_class, 0)) for group in problem.groups}
    if not _would_do(problem, idle, horizon_us):
        return None
    free = room.beside.idle(job.key, idle, horizon_us)
    if not _would_do(problem, free, horizon_us):
        return None
    work = decide_workers(job.with_more(by_class(free, room.groups)))
    action = work.action
    if not isinstance(action, Start) or action.verdict is None:
        return None
    plan = action.verdict.plan
    if plan is None or plan.finish_at_confidence_us > horizon_us or placement.is_in_time > plan.is_in_time:
        return None
    return _begin(usable, work, spread(action.assignments, free, room.groups))


def _begin(usable: Usable, work: WorkDecision, taken: Mapping[str, int]) -> Begun:
    return Begun(work=on_nodes(work, usable.job.key, taken, usable.groups), begun=taken)


def on_nodes(work: WorkDecision, key: JobKey, taken: Mapping[str, int], groups: DeviceGroups) -> WorkDecision:
    """Return the start of workers with the nodes of the groups whose devices they take."""
    if not isinstance(work.action, Start):
        return work
    return replace(work, action=replace(work.action, nodes=groups.nodes_among(key, taken)))


def _would_do(problem: Problem, devices: Mapping[str, int], until_us: int) -> bool:
    """Return whether so many devices of each group, from now on, are enough."""
    pool = problem.pool
    groups = tuple(replace(group, count=devices[group.device_class]) for group in pool.groups)
    return replace(problem, pool=replace(pool, groups=groups)).fewest(until_us) is not None


def spread(assignments: Iterable[Assignment], free: Mapping[str, int], groups: DeviceGroups) -> Counter[str]:
    """Return how many devices of each group these workers take: first those that the fewest jobs may use."""
    left = Counter(assignment.device_class for assignment in assignments)
    taken: Counter[str] = Counter()
    for name in sorted(free, key=lambda name: (len(groups.by_name[name].users), -free[name], name)):
        device_class = groups.class_of(name)
        if count := min(left[device_class], free[name]):
            left[device_class] -= count
            taken[name] += count
    return taken


def by_class(free: Mapping[str, int], groups: DeviceGroups) -> Counter[str]:
    """Return the devices of each class, given those of each group."""
    counts: Counter[str] = Counter()
    for name, count in free.items():
        counts[groups.class_of(name)] += max(0, count)
    return counts


def _start(job: ScheduledJob, placement: Placement, room: Room, starting: list[Due]) -> WorkDecision:
    part_size = job.part_size or part_size_of(placement)
    plan = reserved_plan(placement, room.groups, now_us=job.now_us, starting=starting, part_size=part_size)
    first: StartReason = "Resumed" if job.parts_there else "Started"
    start = Start(
        assignments=assign_windows(job, starting, part_size=part_size),
        part_size=part_size,
        reason=_why_again(job) if job.has_started else first,
        by_windows=plan,
    )
    quiet_us = job.now_us + pause_us(each.window.choice.start_us for each in starting)
    return WorkDecision(
        action=start,
        lag=LagMemory(quiet_until_us=quiet_us),
        is_short=not placement.is_in_time,
        expected_finish_us=_forecast_us(job, placement)
        or job.now_us + expected_finish_us(placement.reservation, placement.job.problem),
    )


def keep_windows(job: ScheduledJob) -> WorkDecision:
    """Return that the job's windows no longer do by this reading, and are kept until the next one."""
    finish_us = expect_finish_us(job) if job.alive else None
    return WorkDecision(lag=job.lag, waits_for_windows=True, expected_finish_us=finish_us)


def _forecast_us(job: ScheduledJob, placement: Placement) -> int | None:
    """Return when a job's workers and its windows together will have done what is left; None if it has no workers."""
    return expect_finish_us(replace(job, reserved=reserved_workers(placement.reservation))) if job.alive else None


def _why_again(job: ScheduledJob) -> StartReason:
    return job.news or ("WorkerLost" if job.lost_all else "WindowBegins")


def _reserve(job: ScheduledJob, placement: Placement, calendar: Calendar, room: Room) -> WorkDecision:
    part_size = job.part_size or part_size_of(placement)
    plan = reserved_plan(placement, room.groups, now_us=job.now_us, starting=(), part_size=part_size)
    begins = begins_us(placement.reservation)
    if begins > EARLY_US:
        plan = plan.replace(proof_sentence=plan.proof_sentence + until_then_sentence(placement.job, calendar))
    starts_us = job.now_us + begins
    if placement.kept:
        # As the status has it: a window that waits for its device stays where it should have begun.
        windows = tuple(window for window in job.windows if parse_time_us(window.to_time) > job.now_us)
        plan = plan.replace(windows=windows)
        if begins <= EARLY_US:
            starts_us = min(parse_time_us(window.from_time) for window in windows)
    return WorkDecision(
        action=Reserve(plan=plan, starts_us=starts_us),
        lag=job.lag,
        is_short=not placement.is_in_time,
        expected_finish_us=_forecast_us(job, placement),
    )


def _unplaced(usable: Usable, placement: Placement, calendar: Calendar) -> WorkDecision:
    """Return that a job is refused, or what it waits for."""
    job = usable.job
    if job.goes_on or placement.action != "Refuse":
        return _wait(usable, placement, calendar)
    if placement.job.problem.fewest() is not None:
        return WorkDecision(action=refuse_beside_others(usable, placement, calendar), lag=job.lag)
    alone = decide_workers(job.with_more(usable.devices))
    # What a quota leaves no room for can be had once there is more room.
    if not isinstance(alone.action, Refuse) or job.has_quota:
        return _wait(usable, placement, calendar)
    if has_idle_devices(calendar, placement.job):
        return alone
    refuse = refuse_beside_others(usable, placement, calendar)
    return replace(alone, action=replace(refuse, verdict=alone.action.verdict))


def _wait(usable: Usable, placement: Placement, calendar: Calendar) -> WorkDecision:
    job, hold = usable.job, Wait(message=waiting_sentence(usable, placement, calendar))
    return WorkDecision(
        action=hold,
        lag=job.lag,
        is_short=job.has_started,
        expected_finish_us=_forecast_us(job, placement),
    )


class Turns:
    """What would be free if only these workers were there, while one job after the other is put into its queue."""

    def __init__(self, groups: DeviceGroups, holds: Sequence[HeldDevice], placed: Mapping[JobKey, Placement]) -> None:
        """`placed`: all jobs of the calendar."""
        self._groups, self._holds, self._placed = groups, holds, placed

    def queue_up(self, usable: Usable, placement: Placement) -> WorkDecision | None:
        """Return the start of a job that has no place in the calendar, if it is to wait in its queue."""
        key = usable.job.key
        if not self._waits_for_others(usable, placement):
            return None
        ledger = self._ledger
        calendar = make_calendar([placement.job], ledger.pool())
        verify_calendar(calendar)
        (found,) = calendar.placements
        there = {group.name: group.devices for group in self._groups.of(key)}
        room = Room(key=key, groups=self._groups, beside=BesideOthers(ledger, {}), idle=ledger.idle(key, there, 1))
        work = decide_placed(usable, found, calendar, room).work
        if not isinstance(work.action, Start):
            return None
        self._ledger = ledger.take(taken_by_placements({key: found}))
        return work

    def _waits_for_others(self, usable: Usable, placement: Placement) -> bool:
        job = usable.job
        takes_what_is_idle = job.deadline_class in YIELDING and not placement.is_urgent
        if placement.reservation or placement.action == "Refuse" or job.alive or takes_what_is_idle:
            return False
        limits = [limit for limit in self._groups.limits if limit.has_queue and job.key in limit.costs]
        return any(used_by_others(limit, self._holds) for limit in limits)

    @cached_property
    def _ledger(self) -> Ledger:
        """What is left beside those that were put into their queues."""
        alone = open_ledger(without_others(self._groups, self._holds), self._holds)
        return alone.take(taken_by_placements(self._placed))
