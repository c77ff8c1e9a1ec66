"""Say what a job waits for, why it is refused, and from when to when it runs: what people read of the schedule."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from dueby_api.conditions import Reason
from dueby_api.status import AlternativesStatus, PlanStatus
from dueby_api.units import (
    MICROS_PER_SECOND,
    clock_time,
    format_at_least,
    format_duration,
    format_time_at_least,
    parse_time_us,
)
from dueby_api.words import counted
from dueby_planner.answer import alternatives_sentence, device_word, limit_words, never_sentence, reason_sentence
from dueby_planner.deadline_classes import Promises
from dueby_planner.model.plan import Infeasible, plan_fewest
from dueby_planner.model.problem import NEVER_US, Problem
from dueby_planner.schedule.calendar import Calendar
from dueby_planner.schedule.calendar_job import CalendarJob, Placement
from dueby_planner.schedule.cut import Cut
from dueby_planner.schedule.devices import DeviceGroup, DeviceGroups
from dueby_planner.schedule.free_devices import FreeDevices, least_free
from dueby_planner.schedule.job import ScheduledJob
from dueby_planner.schedule.place import usable
from dueby_planner.schedule.place_job import Advice, can_be_done, within_limits
from dueby_planner.schedule.request import Refuse
from dueby_planner.schedule.reservation import Reservation
from dueby_planner.schedule.stores import is_store
from dueby_planner.schedule.usable import Usable

_MINUTE_US, _HOUR_US = 60 * MICROS_PER_SECOND, 3600 * MICROS_PER_SECOND
# With so many less one, an hour and a microsecond more look different.
_MOST_DIGITS = 11
# Jobs that a sentence names; of more it says how many there are.
_NAMED = 3
FULL_QUOTA = "the namespace's ResourceQuota has no room for one (`kubectl describe quota`)"
"""What a job may wait for that has no device, as a clause."""
Called = Callable[[str], str | None]
"""What the reader of a sentence calls a job; None for one of another namespace, which is counted only."""


def waiting_sentence(usable: Usable, placement: Placement, calendar: Calendar) -> str:
    """Return what the job waits for, and what would help."""
    job, groups, problem = usable.job, usable.groups, placement.job.problem
    is_possible = problem.fewest(NEVER_US) is not None
    # Beyond its deadline no other one would help a job that goes on.
    if job.deadline_class == "Hard" and not (job.goes_on and job.time_us <= 0):
        sentence = refusal_sentence(calendar, placement, called=_called_by(job), class_of=groups.class_of)
    elif not is_possible:
        sentence = never_sentence(with_classes(problem, groups.class_of))
    else:
        if store := _store_in_the_way(placement.job, calendar):
            return (
                f"Other jobs take the {store}, or are promised them. The job waits until enough is left for a device."
            )
        full = f", or {FULL_QUOTA}" if job.has_quota else ""
        return f"Other jobs have the devices, or are promised them{full}. The job waits for one."
    sentence += limits_sentence(job)
    if job.has_quota:
        sentence += f" It may be that {FULL_QUOTA}."
    return f"{sentence} {_until_when(job, problem) if is_possible else 'The job waits.'}"


def refuse_beside_others(usable: Usable, placement: Placement, calendar: Calendar) -> Refuse:
    job, class_of, advice = usable.job, usable.groups.class_of, calendar.advice(placement.job.name)
    is_cut_alone = calendar.cut is not None and calendar.cut.jobs == (placement.job,)
    is_alone = is_cut_alone or placement.job.problem.fewest() is None
    return Refuse(
        reason=Reason.DEADLINE_TOO_EARLY if is_alone else Reason.PROMISED_TO_OTHERS,
        sentence=refusal_sentence(calendar, placement, called=_called_by(job), class_of=class_of),
        alternatives=AlternativesStatus(
            earliest_deadline=None
            if advice.earliest_us is None
            else format_time_at_least(job.now_us + advice.earliest_us),
            extra_gpus=fewest_by_class(advice, class_of),
        ),
    )


def refusal_sentence(
    calendar: Calendar, found: Placement, *, called: Called = str, class_of: Callable[[str], str] = str
) -> str:
    """Return why a Hard job has no place, and what would help. `class_of` is how devices of the pool are called."""
    cut, job = calendar.cut, found.job
    if cut is not None and job in cut.jobs:
        return cut_sentence(calendar, cut, called, class_of)
    if not isinstance(alone := plan_fewest(with_classes(job.problem, class_of)), Infeasible):
        reason = "It does not fit beside the jobs before it"
        if store := _store_in_the_way(job, calendar):
            reason += f", which take the {store}"
        if found.action == "Hold":
            reason += ", which is not proved to be impossible"
        return f"{reason}. {_advice(calendar, job, class_of)}"
    # The alternatives of a job hold on idle devices. Fewer images and less confidence are only sought there.
    if has_idle_devices(calendar, job):
        return alternatives_sentence(alone)
    return f"{reason_sentence(alone)} {_advice(calendar, job, class_of)}"


def _without_stores(job: CalendarJob) -> Iterator[tuple[str, CalendarJob]]:
    """Yield each limit of a store that binds the job, and the job without it."""
    for store in filter(is_store, job.limits):
        yield store, replace(job, limits={name: costs for name, costs in job.limits.items() if name != store})


def _store_in_the_way(job: CalendarJob, calendar: Calendar) -> str | None:
    """Return the limit of a store without which the job would have a place; None if there is no such one."""
    left, until_us = calendar.left[job.deadline_class], job.problem.time_us
    return next((store for store, without in _without_stores(job) if can_be_done(without, left, until_us)), None)


def until_then_sentence(job: CalendarJob, calendar: Calendar) -> str:
    """Return what a job that begins later waits for, after a space: a store, or spot devices; empty if neither."""
    now = within_limits(job, calendar.left[job.deadline_class])
    for store, unbound in _without_stores(job):
        without = within_limits(unbound, calendar.left[job.deadline_class])
        if any(least_free(without[name], 0, 1) > least_free(now[name], 0, 1) == 0 for name in now):
            return f" Until then other jobs take the {store}."
    return " Until then it waits for spot devices." if job.fallback_names else ""


def cut_sentence(calendar: Calendar, cut: Cut, called: Called, class_of: Callable[[str], str]) -> str:
    refused = cut.refused
    others = [called(job.name) for job in cut.jobs if job is not refused]
    word = device_word(refused.problem.pool)
    needed, there = (f"{time} {word}-{unit}" for time, unit in _apart(cut.needed_us, cut.available_us))
    who = _listed([called(refused.name) or refused.name, *_told_of(others)], "and")
    need, them = ("need", "them") if others else ("needs", "it")
    return (
        f"Within {format_duration(cut.until_us)} {who} {need} at least {needed}, and there are {there} for {them}. "
        f"{_advice(calendar, refused, class_of)}"
    )


def _told_of(jobs: Sequence[str | None]) -> Iterator[str]:
    """Yield the jobs' names, or their number if they are many, and the number of those without one."""
    names = [name for name in jobs if name is not None]
    yield from names if len(names) < _NAMED else [counted(len(names), "other job")]
    if hidden := len(jobs) - len(names):
        yield counted(hidden, "job of another namespace", "jobs of other namespaces")


def _advice(calendar: Calendar, job: CalendarJob, class_of: Callable[[str], str]) -> str:
    """Return what would give the job a place beside the others."""
    advice = calendar.advice(job.name)
    more = fewest_by_class(advice, class_of)
    ways = [f"{count:,} more {name}{limit_words(job.problem, count)}" for name, count in more.items()]
    if advice.earliest_us is not None:
        ways.insert(0, f"a deadline of {format_at_least(advice.earliest_us)} from now")
    if not ways:
        return "Neither a later deadline nor more devices would be enough."
    listed = _listed(ways, "or")
    return f"{listed[0].upper()}{listed[1:]} would be enough."


def fewest_by_class(advice: Advice, class_of: Callable[[str], str]) -> dict[str, int]:
    """Return how many more devices of each class would be enough: of several groups of it, where the fewest are."""
    more: dict[str, int] = {}
    for name, count in advice.more_devices.items():
        more[class_of(name)] = min(count, more.get(class_of(name), count))
    return more


def _until_when(job: ScheduledJob, problem: Problem) -> str:
    """Return until when a Hard job is tried that could be done if no other job had devices."""
    if job.goes_on:
        return "It goes on as soon as there are devices for it."
    latest_us, now_us = job.deadline_us - (problem.earliest_us() or 0), job.now_us
    if latest_us <= now_us:
        return "It is tried again at each change until its deadline."
    return f"It is tried again at each change until {clock_time(latest_us, now_us=now_us)}, its latest start."


def with_classes(problem: Problem, class_of: Callable[[str], str]) -> Problem:
    """Return the problem with the device classes of its groups."""
    of_class = (replace(each, device_class=class_of(each.device_class)) for each in problem.pool.groups)
    return replace(problem, pool=replace(problem.pool, groups=tuple(of_class)))


def _called_by(job: ScheduledJob) -> Callable[[str], str | None]:
    """Return how the job's owner calls jobs: by their names in its own namespace, and not at all in others."""
    own = job.name.removesuffix(job.key[1])
    return lambda name: name.removeprefix(own) if name.startswith(own) else None


def limits_sentence(job: ScheduledJob) -> str:
    """Return what limits the promise that a Hard job waits for, after a space; empty if nothing does."""
    promises = job.promises
    if job.deadline_class != "Hard" or job.goes_on:
        return ""
    is_beyond = promises.horizon_us < job.time_us
    horizon = f" Nothing is promised beyond {format_duration(promises.horizon_us)} from now." if is_beyond else ""
    return horizon if promises.max_share >= 1 else f"{horizon} {share_sentence(promises)}."


def share_sentence(promises: Promises) -> str:
    share = f"{promises.max_share:.0%}".replace("%", " %")
    return f"Hard jobs of one namespace are promised at most {share} of a device class, by promises.maxShare"


def reserved_sentence(plan: PlanStatus, *, starts_us: int, now_us: int) -> str:
    """Return from when to when the job runs, for people."""
    confident = f"{plan.confidence:.1%}".replace(".0%", "%").replace("%", " %")
    ends, surely = (parse_time_us(time) for time in (plan.expected_finish, plan.finish_at_confidence))
    return (
        f"Starts at {clock_time(starts_us, now_us=now_us)}, ends at {clock_time(ends, now_us=now_us)} (at {confident}: "
        f"{clock_time(surely, now_us=now_us)}), on {counted(plan.gpus, 'device')} at most. {plan.proof_sentence}"
    )


def missing_devices_sentence(reservation: Reservation, groups: DeviceGroups, *, now_us: int) -> str:
    """Return on which devices a reservation stands that are on no node yet, after a space; empty if it needs none."""
    counts: Counter[tuple[int, str]] = Counter()
    for lane in reservation:
        if not (group := groups.by_name[lane.group]).is_on_nodes:
            whence = {_whence(group, window.from_us, now_us=now_us) for window in lane.windows}
            counts.update(dict.fromkeys(whence, lane.count))
    named = [f"{count:,} {words}" for (_, words), count in sorted(counts.items())]
    more = [f"{len(named) - _NAMED:,} more"] if len(named) > _NAMED else []
    return f" It stands on {_listed([*named[:_NAMED], *more], 'and')}." if named else ""


def _whence(group: DeviceGroup, at_us: int, *, now_us: int) -> tuple[int, str]:
    """Return from when on devices are there that are on no node yet, and where they come from, as an object."""
    if group.provision is None:
        from_us = group.comes_us(at_us)
        return from_us, f"{group.device_class} announced from {clock_time(now_us + from_us, now_us=now_us)}"
    asked = f"asked for at {clock_time(now_us + at_us, now_us=now_us)}" if at_us else "asked for now"
    takes = f"which takes {group.provision.words}"
    return at_us + group.provision.expected_us, f"{group.device_class} of the pool {group.pool}, {asked}, {takes}"


def has_idle_devices(calendar: Calendar, job: CalendarJob) -> bool:
    """Return whether no other Hard job has devices, now or later, and no limit binds the job. Others would give way."""
    table, wanted = calendar.pool.free["Hard"], usable(job.problem)
    others = (found for found in calendar.placements if found.job is not job and found.job.deadline_class == "Hard")
    return (
        not job.limits
        and not any(found.reservation for found in others)
        and all(_is_idle(table.get(name, ()), count) for name, count in wanted.items() if count)
    )


def _is_idle(free: FreeDevices, count: int) -> bool:
    """Return whether none of so many devices is taken that comes free later: what is taken permanently is no job's."""
    most = max((step.free for step in free), default=0)
    return 0 < min(count, most) <= least_free(free, 0, NEVER_US)


def _listed(words: Sequence[str], last: str) -> str:
    """Return `a, b and c`."""
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _apart(more_us: int, less_us: int) -> list[tuple[str, str]]:
    """Return both times in one unit, such as 412.0 hours; where they would look the same, with more digits."""
    units = {"hours": _HOUR_US, "minutes": _MINUTE_US, "seconds": MICROS_PER_SECOND}
    unit = next((name for name, size in units.items() if less_us >= size), "seconds")
    for digits in range(1, _MOST_DIGITS):
        more, less = (f"{micros / units[unit]:,.{digits}f}" for micros in (more_us, less_us))
        if more != less:
            break
    return [(more, unit), (less, unit)]
