"""What is done now about a job that the calendar has placed, or for which it has found no place.

Of its windows those begin that are due, and the others are kept in its status.

The calendar has no place for a job that waits in its Kueue queue for quota that others use: nobody knows until when, so
that counts as taken permanently. But only what is in the queue has its turn there. So the workers of a job that would
begin now without these others are created, and Kueue admits them as soon as it can. Jobs that take what is idle don't
wait so.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from dueby_api.status import PlanStatus
from dueby_api.units import parse_time_us
from dueby_planner.model.cost import PlanCost
from dueby_planner.model.part_size import part_size_for
from dueby_planner.model.problem import NEVER_US, Problem
from dueby_planner.schedule.calendar import Calendar, make_calendar
from dueby_planner.schedule.calendar_job import EARLY_US, Placement
from dueby_planner.schedule.devices import DeviceGroups
from dueby_planner.schedule.explain import (
    has_idle_devices,
    refuse_beside_others,
    until_then_sentence,
    waiting_sentence,
)
from dueby_planner.schedule.free_devices import CLASSES, PROMISED, YIELDING, CalendarPool
from dueby_planner.schedule.held_devices import (
    FreeNow,
    HeldDevice,
    claims_of_all,
    pool_beside,
    used_by_others,
    without_others,
)
from dueby_planner.schedule.job import Assignment, JobKey, ScheduledJob, StartReason
from dueby_planner.schedule.lag import LagMemory, OngoingWorker, workers_of_window
from dueby_planner.schedule.planned_windows import plan_of_windows
from dueby_planner.schedule.request import Refuse, Reserve, Start, Wait, WorkDecision
from dueby_planner.schedule.reservation import (
    Reservation,
    Window,
    begins_us,
    cost_of_windows,
    devices_in,
    done_by,
    ends_us,
    expected_finish_us,
    finish_at_confidence_us,
)
from dueby_planner.schedule.usable import Usable
from dueby_planner.schedule.verify import verify_calendar
from dueby_planner.schedule.watch import NewWorker, assign, decide_workers, expect_finish_us, pause_us

Begun = tuple[WorkDecision, Mapping[str, int]]
"""What is done about a job, and the devices by group on which workers are started now."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A job of the calendar, and what there is for it now."""

    usable: Usable
    placement: Placement
    calendar: Calendar
    now: FreeNow
    """What is free beside all others."""
    idle: Mapping[str, int]
    """Devices by group on which a worker could be started now."""

    @property
    def job(self) -> ScheduledJob:
        """The job."""
        return self.usable.job

    @property
    def groups(self) -> DeviceGroups:
        """The devices of all jobs."""
        return self.usable.groups

    @cached_property
    def part_size(self) -> int:
        """The images of a part: those of its sink's grid, or of one for its windows."""
        problem, reservation = self.placement.job.problem, self.placement.reservation
        if size := self.job.part_size or problem.part_size:
            return size
        until_us = max(problem.time_us, finish_at_confidence_us(reservation, problem))
        able = done_by(reservation, until_us, problem.max_iterations, again=problem.rule.again)
        choices = [window.choice for lane in reservation for window in lane.windows]
        return part_size_for(problem, able, choices, gpus=devices_in(reservation))

    def due(self) -> tuple[int, ...]:
        """Return how many devices of each lane of the reservation begin now.

        A window that begins soon has begun if its device is idle until then. One that is shorter than _least_us(), or
        in which nothing can be done any more, is not worth a start.
        """
        left, counts = Counter(self.idle), []
        for lane in self.placement.reservation:
            first, name = lane.windows[0], lane.group
            is_worth_it = first.images > 0 and first.to_us - max(0, first.from_us) >= self._least_us(first)
            count = min(lane.count, max(0, left[name])) if first.from_us <= EARLY_US and is_worth_it else 0
            # What is kept for nobody leaves alone what others wait to begin on.
            if count and (first.from_us > 0 or self.placement.job.deadline_class in YIELDING):
                before = self.idle[name] - left[name]
                others = self.now.devices(self.job.key, {name: count + before}, first.from_us)[name]
                count = max(0, others - before)
            left[name] -= count
            counts.append(count)
        return tuple(counts)

    def _least_us(self, window: Window) -> int:
        """Return how long a window has to be: for a job that gives way and won't end in it, two starts and a part."""
        first = sum(lane.count * lane.windows[0].images for lane in self.placement.reservation)
        if self.job.deadline_class in PROMISED or first >= self.placement.job.problem.images:
            return 0
        choice = window.choice
        return pause_us([choice.start_us]) + -(-self.part_size // choice.mini_batch_size) * choice.latency_us

    @cached_property
    def cost(self) -> PlanCost | None:
        """What the windows are expected to cost; None if the price of one isn't known."""
        return cost_of_windows(self.placement.reservation, self.placement.job.problem, self.groups.class_of)

    def plan(self, counts: Sequence[int] = ()) -> PlanStatus:
        """Return status.plan of a job that is planned by windows; `counts` are of due()."""
        return plan_of_windows(
            self.placement, self.groups, counts, part_size=self.part_size, now_us=self.job.now_us, cost=self.cost
        )

    def forecast_us(self) -> int | None:
        """Return when its workers and its windows together will have done what is left; None if it has no workers."""
        if not self.job.alive:
            return None
        return expect_finish_us(replace(self.job, reserved=reserved_workers(self.placement.reservation)))


def reserved_workers(reservation: Reservation) -> tuple[OngoingWorker, ...]:
    """Return what the workers will do that have the windows, whether these begin now or later."""
    return tuple(
        worker
        for number, lane in enumerate(reservation)
        for from_us, to_us, choice, _ in lane.windows
        for worker in workers_of_window(number, choice, from_us=from_us, to_us=to_us, count=lane.count)
    )


def urgency(placement: Placement) -> tuple[bool, int, int, str]:
    """Order jobs by when they are to begin: first those that will be in time, and of equals the more important ones."""
    begin = begins_us(placement.reservation) if placement.reservation else NEVER_US
    is_late = placement.action not in ("Start", "Reserve")
    return is_late, begin, CLASSES.index(placement.job.deadline_class), placement.job.name


def decide_placed(candidate: Candidate) -> Begun:
    """Return what to do now about a job for which there is a placement in the calendar."""
    if not candidate.placement.reservation:
        return _unplaced(candidate), {}
    if not candidate.job.has_started and (begun := _at_once(candidate)):
        return begun
    if any(counts := candidate.due()):
        return _start(candidate, counts)
    if candidate.job.deadline_class == "BestEffort":  # nothing is kept for it
        return _wait(candidate), {}
    return _reserve(candidate), {}


def _at_once(candidate: Candidate) -> Begun | None:
    """Return the start of an ordinary plan, if devices that nobody needs before its end are enough for one."""
    job, placement = candidate.job, candidate.placement
    problem, groups = placement.job.problem, candidate.groups
    horizon_us = max(problem.time_us, ends_us(placement.reservation))
    there = {group.name: 0 if group.provision else max(0, candidate.idle.get(group.name, 0)) for group in groups.all}
    # Fallback devices are begun on as late as the calendar says.
    idle = {group.device_class: 0 if group.is_fallback else there[group.device_class] for group in problem.groups}
    if not _would_do(problem, idle, horizon_us):
        return None
    free = candidate.now.devices(job.key, idle, horizon_us)
    if not _would_do(problem, free, horizon_us):
        return None
    work = decide_workers(with_devices(job, free, groups))
    if not isinstance(work.action, Start) or work.action.verdict is None:
        return None
    plan = work.action.verdict.plan
    if plan is None or plan.finish_at_confidence_us > horizon_us or placement.is_in_time > plan.is_in_time:
        return None
    if problem.is_by_cost and placement.is_in_time and (plan.cost is None or _costs_less(candidate.cost, plan.cost)):
        return None
    taken = spread(work.action.assignments, free, groups)
    return on_nodes(work, work.action, job, taken, groups), taken


def _costs_less(windows: PlanCost | None, plan: PlanCost) -> bool:
    """Return whether the windows cost less than what could be started now."""
    return windows is not None and windows.charge < plan.charge


def on_nodes(
    work: WorkDecision, start: Start, job: ScheduledJob, taken: Mapping[str, int], groups: DeviceGroups
) -> WorkDecision:
    """Return the decision to start workers with the nodes of the groups whose devices they take, and their kind."""
    assignments = start.assignments
    if groups.fallbacks(job):
        spot = Counter[str]()
        for name, count in taken.items():
            spot[groups.class_of(name)] += count if groups.by_name[name].is_spot else 0
        marked = []
        for assignment in assignments:
            marked.append(replace(assignment, is_spot=spot[assignment.device_class] > 0))
            spot[assignment.device_class] -= 1
        assignments = tuple(marked)
    return replace(work, action=replace(start, assignments=assignments, nodes=groups.nodes_among(job.key, taken)))


def _would_do(problem: Problem, devices: Mapping[str, int], until_us: int) -> bool:
    """Return whether so many devices of each group, from now on, are enough."""
    pool = problem.pool
    groups = tuple(replace(group, count=devices[group.device_class]) for group in pool.groups)
    return replace(problem, pool=replace(pool, groups=groups)).fewest(until_us) is not None


def spread(assignments: Iterable[Assignment], free: Mapping[str, int], groups: DeviceGroups) -> Counter[str]:
    """Return how many devices of each group these workers take: first spot, then those that the fewest jobs may use."""

    def order(name: str) -> tuple[bool, int, int, str]:
        group = groups.by_name[name]
        return not group.is_spot, len(group.users), -free[name], name

    left = Counter(assignment.device_class for assignment in assignments)
    taken: Counter[str] = Counter()
    for name in sorted(free, key=order):
        device_class = groups.class_of(name)
        if count := min(left[device_class], free[name]):
            left[device_class] -= count
            taken[name] += count
    return taken


def with_devices(job: ScheduledJob, free: Mapping[str, int], groups: DeviceGroups) -> ScheduledJob:
    """Return the job with so many more devices of each group."""
    counts: Counter[str] = Counter()
    for name, count in free.items():
        counts[groups.class_of(name)] += max(0, count)
    return job.with_more(counts, groups.losses_among(name for name, count in free.items() if count > 0))


def _start(candidate: Candidate, counts: Sequence[int]) -> Begun:
    """Return the start of the windows that begin now."""
    job, placement = candidate.job, candidate.placement
    lanes = [(lane, count) for lane, count in zip(placement.reservation, counts, strict=True) if count]
    fallbacks = candidate.groups.fallbacks(job)
    workers = [
        NewWorker(
            device_class=candidate.groups.class_of(lane.group),
            choice=lane.windows[0].choice,
            images=min(lane.windows[0].images, job.images),
            # Kueue would start all workers of a Job again if one were stopped: they end with the job.
            until_us=None if job.is_queued else job.now_us + lane.windows[0].to_us,
            pool=candidate.groups.by_name[lane.group].asked_pool or "",
            provision=candidate.groups.by_name[lane.group].provision,
            is_spot=candidate.groups.by_name[lane.group].is_spot if fallbacks else None,
        )
        for lane, count in lanes
        for _ in range(count)
    ]
    reason: StartReason = "Resumed" if job.parts_there else "Started"
    if job.has_started:
        reason = job.news or ("WorkerLost" if job.lost_all else "WindowBegins")
    start = Start(
        assignments=assign(job, workers, part_size=None if job.has_started else candidate.part_size),
        part_size=candidate.part_size,
        reason=reason,
        by_windows=candidate.plan(counts),
    )
    taken: Counter[str] = Counter()
    for lane, count in lanes:
        taken[lane.group] += count
    start = replace(start, nodes=candidate.groups.nodes_among(job.key, taken))
    work = WorkDecision(
        action=start,
        lag=LagMemory(quiet_until_us=job.now_us + pause_us(worker.choice.start_us for worker in workers)),
        is_short=not placement.is_in_time,
        expected_finish_us=candidate.forecast_us()
        or job.now_us + expected_finish_us(placement.reservation, placement.job.problem),
    )
    return work, taken


def keep_windows(job: ScheduledJob) -> WorkDecision:
    """Return that the job's windows no longer do by this reading, and are kept until the next one."""
    finish_us = expect_finish_us(job) if job.alive else None
    return WorkDecision(lag=job.lag, waits_for_windows=True, expected_finish_us=finish_us)


def _reserve(candidate: Candidate) -> WorkDecision:
    job, placement, plan = candidate.job, candidate.placement, candidate.plan()
    if not placement.begins_soon:
        until_then = until_then_sentence(placement.job, candidate.calendar)
        plan = plan.replace(proof_sentence=plan.proof_sentence + until_then)
    starts_us = job.now_us + begins_us(placement.reservation)
    if placement.kept:
        # As the status has it: a window that waits for its device stays where it should have begun.
        own = candidate.groups.of(job.key)
        announced = {group.device_class for group in own if group.is_announced}
        pools = {group.asked_pool for group in own}
        windows = tuple(
            window.replace(
                announced=window.announced if window.device_class in announced else None,
                pool=window.pool if window.pool in pools else None,
            )
            for window in job.windows
            if parse_time_us(window.to_time) > job.now_us
        )
        plan = plan.replace(windows=windows)
        if placement.begins_soon:
            starts_us = min(parse_time_us(window.from_time) for window in windows)
    return WorkDecision(
        action=Reserve(plan=plan, starts_us=starts_us),
        lag=job.lag,
        is_short=not placement.is_in_time,
        expected_finish_us=candidate.forecast_us(),
    )


def _unplaced(candidate: Candidate) -> WorkDecision:
    """Return that a job is refused, or what it waits for."""
    job, placement, calendar = candidate.job, candidate.placement, candidate.calendar
    if job.goes_on or placement.action != "Refuse":
        return _wait(candidate)
    if placement.job.problem.fewest() is not None:
        return WorkDecision(action=refuse_beside_others(candidate.usable, placement, calendar), lag=job.lag)
    alone = decide_workers(with_devices(job, candidate.usable.devices, candidate.groups))
    must_ask = any(group.provision for group in candidate.groups.of(job.key))
    # What a quota leaves no room for can be had once there is more room.
    if job.has_quota or not (must_ask or isinstance(alone.action, Refuse)):
        return _wait(candidate)
    refuse = refuse_beside_others(candidate.usable, placement, calendar)
    if not isinstance(alone.action, Refuse):  # it could be done on nodes that were there
        return replace(alone, action=refuse)
    if has_idle_devices(calendar, placement.job):
        return alone
    return replace(alone, action=replace(refuse, verdict=alone.action.verdict))


def _wait(candidate: Candidate) -> WorkDecision:
    message = waiting_sentence(candidate.usable, candidate.placement, candidate.calendar)
    return WorkDecision(
        action=Wait(message=message),
        lag=candidate.job.lag,
        is_short=candidate.job.has_started,
        expected_finish_us=candidate.forecast_us(),
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
        calendar = make_calendar([placement.job], self._pool)
        verify_calendar(calendar)
        (alone,) = calendar.placements
        now = FreeNow(self._groups, self._pool)
        idle = now.devices(key, {group.name: group.devices for group in self._groups.of(key)}, 1)
        work, _ = decide_placed(Candidate(usable=usable, placement=alone, calendar=calendar, now=now, idle=idle))
        if not isinstance(work.action, Start):
            return None
        self._pool = self._pool.less(alone.claims())
        return work

    def _waits_for_others(self, usable: Usable, placement: Placement) -> bool:
        job = usable.job
        takes_what_is_idle = job.deadline_class in YIELDING and not placement.is_urgent
        if placement.reservation or placement.action == "Refuse" or job.alive or takes_what_is_idle:
            return False
        limits = [limit for limit in self._groups.limits if limit.has_queue and job.key in limit.costs]
        return any(used_by_others(limit, self._holds) for limit in limits)

    @cached_property
    def _pool(self) -> CalendarPool:
        """What is left beside those that were put into their queues."""
        alone = pool_beside(without_others(self._groups, self._holds), self._holds)
        return alone.less(claims_of_all(self._placed))
