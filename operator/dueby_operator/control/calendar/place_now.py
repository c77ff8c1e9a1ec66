"""What is done now about a job that the calendar has placed, or for which it has found no place. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from dueby_api.status import AlternativesStatus
from dueby_api.units import clock_time, format_time_at_least, parse_time_us
from dueby_operator.control.calendar.entries import Entry
from dueby_operator.control.calendar.shares import limits_sentence
from dueby_operator.control.calendar.usable import Usable
from dueby_operator.control.calendar.windows import (
    EARLY_US,
    Due,
    Room,
    assign_windows,
    devices_by_stack,
    due,
    part_size_of,
    reserved_plan,
    reserved_workers,
)
from dueby_operator.control.policies.plan import FULL_QUOTA
from dueby_operator.control.work.decide import decide_workers
from dueby_operator.control.work.decision import Hold, Refuse, Reserve, Start, WorkDecision
from dueby_operator.control.work.watch import expect_finish_us, pause_us
from dueby_operator.model.job_model import Assignment, JobModel, StartReason
from dueby_operator.model.job_snapshot import JobKey
from dueby_operator.model.stacks import Stacks
from dueby_planner.answer import never_sentence
from dueby_planner.calendar.answer import fewest_by_class, has_idle_devices, refusal_sentence
from dueby_planner.calendar.calendar import Calendar, Placement
from dueby_planner.calendar.pool import CLASSES, PROMISED
from dueby_planner.calendar.reservation import Window, begins_us, ends_us, expected_finish_us
from dueby_planner.model.problem import NEVER_US, Problem
from dueby_planner.replan import LagMemory


@dataclass(frozen=True, kw_only=True)
class Placed:
    """What is done about the job."""

    work: WorkDecision
    begun: Mapping[str, int] = field(default_factory=dict)
    """Devices by stack on which workers are started now."""


def urgency(placement: Placement) -> tuple[bool, int, int, str]:
    """Order jobs by when they are to begin: first those that will be in time, and of equals the more important ones."""
    begin = begins_us(placement.reservation) if placement.reservation else NEVER_US
    is_late = placement.action not in ("Start", "Reserve")
    return is_late, begin, CLASSES.index(placement.job.deadline_class), placement.job.name


def decide_placed(usable: Usable, placement: Placement, calendar: Calendar, room: Room) -> Placed:
    """Return what to do now about a job for which there is a placement in the calendar."""
    entry, reservation = usable.entry, placement.reservation
    if not reservation:
        return Placed(work=_unplaced(usable, placement, calendar))
    if not entry.has_started and (found := _at_once(usable, placement, room)):
        return found
    if starting := due(placement, room, least_us=_least_us(entry, placement)):
        return _begin(usable, _start(entry, placement, room, starting), devices_by_stack(starting))
    if entry.deadline_class == "BestEffort":  # nothing is kept for it
        return Placed(work=_wait(usable, placement, calendar))
    return Placed(work=_reserve(entry, placement, room))


def _least_us(entry: Entry, placement: Placement) -> Callable[[Window], int]:
    """Return how long a window has to be: for a job that gives way and won't end in it, two starts and a part."""
    first = sum(lane.count * lane.windows[0].images for lane in placement.reservation)
    if entry.deadline_class in PROMISED or first >= placement.job.problem.images:
        return lambda window: 0
    part_size = entry.model.part_size or part_size_of(placement)

    def least_us(window: Window) -> int:
        choice = window.choice
        return pause_us([choice.start_us]) + -(-part_size // choice.mini_batch_size) * choice.latency_us

    return least_us


def _at_once(usable: Usable, placement: Placement, room: Room) -> Placed | None:
    """Return the start of an ordinary plan, if devices that nobody needs before its end are enough for one."""
    entry, problem = usable.entry, placement.job.problem
    horizon_us = max(problem.time_us, ends_us(placement.reservation))
    idle = {group.device_class: max(0, room.idle.get(group.device_class, 0)) for group in problem.groups}
    if not _would_do(problem, idle, horizon_us):
        return None
    free = room.beside.idle(entry.key, idle, horizon_us)
    if not _would_do(problem, free, horizon_us):
        return None
    work = decide_workers(entry.with_more(by_class(free, room.stacks)))
    action = work.action
    if not isinstance(action, Start) or action.verdict is None:
        return None
    plan = action.verdict.plan
    if plan is None or plan.finish_at_confidence_us > horizon_us or placement.is_in_time > plan.is_in_time:
        return None
    return _begin(usable, work, spread(action.assignments, free, room.stacks))


def _begin(usable: Usable, work: WorkDecision, taken: Mapping[str, int]) -> Placed:
    return Placed(work=on_nodes(work, usable.entry.key, taken, usable.stacks), begun=taken)


def on_nodes(work: WorkDecision, key: JobKey, taken: Mapping[str, int], stacks: Stacks) -> WorkDecision:
    """Return the start of workers with the nodes of the stacks whose devices they take."""
    if not isinstance(work.action, Start):
        return work
    return replace(work, action=replace(work.action, nodes=stacks.nodes_among(key, taken)))


def _would_do(problem: Problem, devices: Mapping[str, int], until_us: int) -> bool:
    """Return whether so many devices of each stack, from now on, are enough."""
    pool = problem.pool
    groups = tuple(replace(group, count=devices[group.device_class]) for group in pool.groups)
    return replace(problem, pool=replace(pool, groups=groups)).fewest(until_us) is not None


def spread(assignments: Iterable[Assignment], free: Mapping[str, int], stacks: Stacks) -> Counter[str]:
    """Return how many devices of each stack these workers take: first those that the fewest jobs may use."""
    left = Counter(assignment.device_class for assignment in assignments)
    taken: Counter[str] = Counter()
    for name in sorted(free, key=lambda name: (len(stacks.by_name[name].users), -free[name], name)):
        device_class = stacks.class_of(name)
        if count := min(left[device_class], free[name]):
            left[device_class] -= count
            taken[name] += count
    return taken


def by_class(free: Mapping[str, int], stacks: Stacks) -> Counter[str]:
    """Return the devices of each class, given those of each stack."""
    counts: Counter[str] = Counter()
    for name, count in free.items():
        counts[stacks.class_of(name)] += max(0, count)
    return counts


def _start(entry: Entry, placement: Placement, room: Room, starting: list[Due]) -> WorkDecision:
    model = entry.model
    part_size = model.part_size or part_size_of(placement)
    plan = reserved_plan(
        placement, room.stacks, now_us=model.now_us, starting=starting, part_size=part_size, revision=0
    )
    first: StartReason = "Resumed" if model.parts_there else "Started"
    start = Start(
        assignments=assign_windows(model, starting, part_size=part_size),
        part_size=part_size,
        reason=_why_again(entry) if entry.has_started else first,
        by_windows=plan,
    )
    quiet_us = model.now_us + pause_us(each.window.choice.start_us for each in starting)
    return WorkDecision(
        action=start,
        lag=LagMemory(quiet_until_us=quiet_us),
        is_short=not placement.is_in_time,
        expected_finish_us=_forecast_us(model, placement)
        or model.now_us + expected_finish_us(placement.reservation, placement.job.problem),
    )


def keep_windows(entry: Entry) -> WorkDecision:
    """Return that the job's windows no longer do by this reading, and are kept until the next one."""
    finish_us = expect_finish_us(entry.model) if entry.model.alive else None
    return WorkDecision(lag=entry.model.lag, waits_for_windows=True, expected_finish_us=finish_us)


def _forecast_us(model: JobModel, placement: Placement) -> int | None:
    """Return when a job's workers and its windows together will have done what is left; None if it has no workers."""
    return expect_finish_us(replace(model, reserved=reserved_workers(placement.reservation))) if model.alive else None


def _why_again(entry: Entry) -> StartReason:
    return entry.model.news or ("WorkerLost" if entry.given.memory.lost_all else "WindowBegins")


def _reserve(entry: Entry, placement: Placement, room: Room) -> WorkDecision:
    model = entry.model
    plan = reserved_plan(
        placement,
        room.stacks,
        now_us=model.now_us,
        starting=(),
        part_size=model.part_size or part_size_of(placement),
        revision=0,
    )
    begins = begins_us(placement.reservation)
    starts_us = model.now_us + begins
    if placement.kept:
        # As the status has it: a window that waits for its device stays where it should have begun.
        windows = tuple(window for window in entry.windows if parse_time_us(window.to_time) > model.now_us)
        plan = plan.replace(windows=windows)
        if begins <= EARLY_US:
            starts_us = min(parse_time_us(window.from_time) for window in windows)
    return WorkDecision(
        action=Reserve(plan=plan, starts_us=starts_us),
        lag=model.lag,
        is_short=not placement.is_in_time,
        expected_finish_us=_forecast_us(model, placement),
    )


def _unplaced(usable: Usable, placement: Placement, calendar: Calendar) -> WorkDecision:
    """Return that a job is refused, or what it waits for."""
    entry, model = usable.entry, usable.entry.model
    if entry.goes_on or placement.action != "Refuse":
        return _wait(usable, placement, calendar)
    if placement.job.problem.fewest() is not None:
        return WorkDecision(action=_refuse_beside_others(usable, placement, calendar), lag=model.lag)
    alone = decide_workers(entry.with_more(usable.devices))
    # What a quota leaves no room for can be had once there is more room.
    if not isinstance(alone.action, Refuse) or entry.given.shared.devices.has_quota(entry.given.job.namespace):
        return _wait(usable, placement, calendar)
    if has_idle_devices(calendar, placement.job):
        return alone
    refuse = _refuse_beside_others(usable, placement, calendar)
    return replace(alone, action=replace(refuse, verdict=alone.action.verdict))


def _refuse_beside_others(usable: Usable, placement: Placement, calendar: Calendar) -> Refuse:
    called, class_of = _called_by(usable.entry), usable.stacks.class_of
    return Refuse(
        sentence=refusal_sentence(calendar, placement, called=called, class_of=class_of),
        alternatives=_alternatives(placement, calendar, usable),
    )


def _wait(usable: Usable, placement: Placement, calendar: Calendar) -> WorkDecision:
    entry, hold = usable.entry, Hold(message=_waiting_sentence(usable, placement, calendar))
    return WorkDecision(
        action=hold,
        lag=entry.model.lag,
        is_short=entry.has_started,
        expected_finish_us=_forecast_us(entry.model, placement),
    )


def _waiting_sentence(usable: Usable, placement: Placement, calendar: Calendar) -> str:
    """Return what the job waits for, and what would help."""
    entry, stacks, problem = usable.entry, usable.stacks, placement.job.problem
    has_quota = entry.given.shared.devices.has_quota(entry.given.job.namespace)
    is_possible = problem.fewest(NEVER_US) is not None
    # Beyond its deadline no other one would help a job that goes on.
    if entry.deadline_class == "Hard" and not (entry.goes_on and entry.time_us <= 0):
        sentence = refusal_sentence(calendar, placement, called=_called_by(entry), class_of=stacks.class_of)
    elif not is_possible:
        sentence = never_sentence(_with_classes(problem, stacks))
    else:
        full = f", or {FULL_QUOTA}" if has_quota else ""
        return f"Other jobs have the devices, or are promised them{full}. The job waits for one."
    sentence += limits_sentence(entry)
    if has_quota:
        sentence += f" It may be that {FULL_QUOTA}."
    return f"{sentence} {_until_when(entry, problem) if is_possible else 'The job waits.'}"


def _until_when(entry: Entry, problem: Problem) -> str:
    """Return until when a Hard job is tried that could be done if no other job had devices."""
    if entry.goes_on:
        return "It goes on as soon as there are devices for it."
    latest_us, now_us = entry.model.deadline_us - (problem.earliest_us() or 0), entry.model.now_us
    if latest_us <= now_us:
        return "It is tried again at each change until its deadline."
    return f"It is tried again at each change until {clock_time(latest_us, now_us=now_us)}, its latest start."


def _with_classes(problem: Problem, stacks: Stacks) -> Problem:
    """Return the problem with the device classes of its stacks."""
    groups = (replace(group, device_class=stacks.class_of(group.device_class)) for group in problem.pool.groups)
    return replace(problem, pool=replace(problem.pool, groups=tuple(groups)))


def _called_by(entry: Entry) -> Callable[[str], str | None]:
    """Return how the job's owner calls jobs: by their names in its own namespace, and not at all in others."""
    own = entry.name.removesuffix(entry.key[1])
    return lambda name: name.removeprefix(own) if name.startswith(own) else None


def _alternatives(placement: Placement, calendar: Calendar, usable: Usable) -> AlternativesStatus:
    advice, model = calendar.advice[placement.job.name], usable.entry.model
    earliest_us = advice.earliest_us
    return AlternativesStatus(
        earliest_deadline=None if earliest_us is None else format_time_at_least(model.now_us + earliest_us),
        extra_gpus=fewest_by_class(advice, usable.stacks.class_of),
    )
