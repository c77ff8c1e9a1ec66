"""Place the jobs that wait and those that lag in one calendar. What is wrong with one is its fault alone.

What was promised to others, by their statuses, is kept.

If no calendar of all of them can be made, they are placed one by one, and those first that others may not move.

Jobs whose windows no longer do by one reading keep them until the next one, which may say otherwise. Where a job gets a
new place in time for another reason, others that were placed again move with it, if their new places are in time, too:
they fit together only as they are now. What is late is no place to move to. Who has no other keeps its windows, and
those are promised to nobody else meanwhile: what the others get is found again beside them. Nobody hands devices over
because of one reading.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from dueby_api.conditions import Reason
from dueby_api.inference_job import DeadlineClass
from dueby_api.units import format_duration
from dueby_api.words import counted
from dueby_planner.deadline_classes import Promises
from dueby_planner.model.problem import Problem
from dueby_planner.schedule.calendar import Calendar, make_calendar
from dueby_planner.schedule.calendar_job import CalendarJob, Placement
from dueby_planner.schedule.devices import DeviceGroups, devices_by_class, share_of
from dueby_planner.schedule.explain import share_sentence
from dueby_planner.schedule.free_devices import CLASSES, PROMISED, CalendarPool, Taken
from dueby_planner.schedule.hand_over import RunningJob
from dueby_planner.schedule.job import JobKey, PromisedJob, ScheduledJob
from dueby_planner.schedule.request import Refuse
from dueby_planner.schedule.reservation import begins_us, charged
from dueby_planner.schedule.usable import stored_windows
from dueby_planner.schedule.verify import verify_calendar


def keep_promised(pool: CalendarPool, jobs: Iterable[PromisedJob | ScheduledJob], groups: DeviceGroups) -> CalendarPool:
    """Return what is free beside what was promised to these jobs. Soft jobs' is not kept from Hard ones."""
    claims: dict[DeadlineClass, list[tuple[str, Taken]]] = {kind: [] for kind in CLASSES}
    for job in jobs:
        with suppress(Exception):  # that may be why it is left alone, and the others don't suffer for it
            claims[job.deadline_class] += [*taken_by_status(job, groups)]
    for kind in PROMISED:
        pool = pool.less(claims[kind], of=CLASSES[CLASSES.index(kind) :])
    return pool


def taken_by_status(job: ScheduledJob | PromisedJob, groups: DeviceGroups) -> Iterable[tuple[str, Taken]]:
    """Yield what is still reserved for a job of each group and each limit, as its status says."""
    there = groups.by_name
    for window in (window for window in stored_windows(job, groups) if window.to_us > 0):
        left, times = window.count, (max(0, window.from_us), window.to_us)
        for name in window.devices:
            count = min(left, there[name].devices) if there[name].is_there(*times) else 0
            left -= count
            if count:
                yield from charged(name, Taken(*times, count), groups.costs(job.key))


def find_refusal(wanted: CalendarJob, job: ScheduledJob, groups: DeviceGroups) -> Refuse | None:
    """Return why a Hard job that nothing is promised to can't be promised its end even on idle devices; None if it can.

    What could not be done with all devices, whatever is promised, is refused with its proof elsewhere.
    """
    promises, problem = job.promises, wanted.problem
    if wanted.deadline_class != "Hard" or wanted.goes_on or problem.fewest() is None:
        return None
    within_us = min(problem.time_us, wanted.until_us)
    if problem.fewest(within_us) is None:
        earliest_us = problem.earliest_us() or problem.time_us
        sentence = (
            f"Nothing is promised beyond {format_duration(wanted.until_us)} from now, by promises.horizon, and all "
            f"devices that the job may use take {format_duration(earliest_us)}. Ask for fewer images, or take "
            "another deadlineClass than Hard."
        )
        return Refuse(reason=Reason.NOT_PROMISED, sentence=sentence)
    if promises.max_share < 1 and _within_share(problem, groups, promises).fewest(within_us) is None:
        sentence = (
            f"{share_sentence(promises)}, and the job needs {counted(problem.fewest(within_us) or 0, 'device')}. "
            "Ask for a later deadline or fewer images, or take another deadlineClass than Hard."
        )
        return Refuse(reason=Reason.NOT_PROMISED, sentence=sentence)
    return None


def _within_share(problem: Problem, groups: DeviceGroups, promises: Promises) -> Problem:
    """Return the problem with no more devices of a group than its namespace may have of the class."""
    whole = devices_by_class(groups.all)
    within = tuple(
        replace(each, count=min(each.count, share_of(whole[groups.class_of(each.device_class)], promises)))
        for each in problem.pool.groups
    )
    return replace(problem, pool=replace(problem.pool, groups=within))


Placements = Mapping[JobKey, tuple[Placement, Calendar]]
"""Each job's placement, and the calendar that it is from."""


@dataclass(frozen=True, kw_only=True)
class Placing:
    """What came of placing."""

    placed: Placements = field(default_factory=dict)
    handing_over: Mapping[JobKey, Sequence[str]] = field(default_factory=dict)
    """Workers that are to stop, so that Hard jobs that have no place otherwise get their devices."""
    faults: Mapping[JobKey, Exception] = field(default_factory=dict)
    """What was raised for jobs without which the others can be placed."""
    errors: tuple[Exception, ...] = ()
    """Why they were placed one by one, where none of them alone is the reason."""


def place_all(
    wanted: Mapping[JobKey, CalendarJob], pool: CalendarPool, running: Mapping[JobKey, RunningJob]
) -> Placing:
    """Return each job's placement beside what is free; `running` are the Hard jobs that run.

    If that raises, each is placed beside those before it, and none hands devices over: what it would do later moves
    others.
    """
    if not wanted:
        return Placing()
    try:
        return _place(wanted, pool, running)
    except Exception as error:  # if one of them is the reason, it shows which without the others
        placed: dict[JobKey, tuple[Placement, Calendar]] = {}
        faults: dict[JobKey, Exception] = {}
        for key, job in sorted(wanted.items(), key=lambda item: _precedence(item[1])):
            left = pool.less(claim for placement, _ in placed.values() for claim in placement.claims())
            try:
                placed |= _place({key: job}, left, {}).placed
            except Exception as own:  # whatever it is, it is this job's alone
                faults[key] = own
        return Placing(placed=placed, faults=faults, errors=() if faults else (error,))


def _precedence(job: CalendarJob) -> tuple[int, bool, int]:
    """Return what jobs are sorted by that are placed one by one."""
    is_new = not (job.goes_on or job.stored)
    return CLASSES.index(job.deadline_class), is_new, job.problem.time_us


def _place(wanted: Mapping[JobKey, CalendarJob], pool: CalendarPool, running: Mapping[JobKey, RunningJob]) -> Placing:
    calendar = make_calendar(list(wanted.values()), pool, running=list(running.values()))
    verify_calendar(calendar)
    keys = {each.job.name: key for key, each in running.items()} | {job.name: key for key, job in wanted.items()}
    return Placing(
        placed={keys[placement.job.name]: (placement, calendar) for placement in calendar.placements},
        handing_over={keys[name]: workers for name, workers in calendar.handing_over.items()},
    )


def place_beside_noise(
    wanted: Mapping[JobKey, CalendarJob],
    jobs: Mapping[JobKey, ScheduledJob],
    pool: CalendarPool,
    groups: DeviceGroups,
    running: Mapping[JobKey, RunningJob],
) -> tuple[Placing, frozenset[JobKey]]:
    """Return the jobs' placements as place_all does, and the jobs that keep their windows instead of having one."""
    kept: frozenset[JobKey] = frozenset()
    faults: dict[JobKey, Exception] = {}
    errors: tuple[Exception, ...] = ()
    while True:
        beside = keep_promised(pool, [jobs[key] for key in sorted(kept)], groups)
        placing = place_all(wanted, beside, {key: job for key, job in running.items() if key not in kept})
        faults |= placing.faults
        errors = errors or placing.errors
        placing = replace(placing, faults=faults, errors=errors)
        again = {
            key: placement
            for key, (placement, _) in placing.placed.items()
            if placement.job.deadline_class in PROMISED and not placement.kept
        }
        noise = frozenset(key for key, placement in again.items() if _may_be_noise(jobs[key], placement))
        reasons = again.keys() - noise - placing.handing_over.keys()
        moving = {again[key].job.deadline_class for key in reasons if again[key].is_in_time}
        staying = frozenset(key for key in noise if not _moves_with(again[key], moving))
        if not staying:
            return placing, kept
        if not moving:
            # Who keeps its windows needs nobody's devices yet.
            gone = staying | placing.handing_over.keys()
            left = {key: placed for key, placed in placing.placed.items() if key not in gone}
            return replace(placing, placed=left, handing_over={}), kept | staying
        # Few passes come so far, and hardly any a third time.
        kept |= noise if kept else staying
        wanted = {key: wanted[key] for key in placing.placed if key in wanted and key not in kept}


def _may_be_noise(job: ScheduledJob, placement: Placement) -> bool:
    """Return whether nothing has happened to a job that has other windows, or none, and isn't to begin now."""
    begins_now = bool(placement.reservation) and begins_us(placement.reservation) <= 0
    return bool(job.windows) and not begins_now and job.news is None and job.may_wait


def _moves_with(placement: Placement, moving: Collection[DeadlineClass]) -> bool:
    """Return whether a job moves together with others of these classes. Soft jobs make room for Hard ones."""
    if placement.job.deadline_class == "Soft" and "Hard" in moving:
        return bool(placement.reservation)
    return bool(moving) and placement.is_in_time
