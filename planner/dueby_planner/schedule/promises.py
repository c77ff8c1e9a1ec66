"""What is promised: by what statuses say, by what was placed in this pass, and how much of it there may be.

How much of a device class is promised to Hard jobs of one namespace, and until when, is the chart's `promises`. A
namespace's share of a class is a quota: its Hard jobs are placed one after the other within it. What their workers have
counts, too; a share that is lowered stops none of them, and what is reserved beyond it moves. A job that would need
more than the share, or longer than the horizon, even with nobody else there, is refused; one that has no place now
waits.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from dueby_api.conditions import Reason
from dueby_api.inference_job import DeadlineClass
from dueby_api.units import format_duration
from dueby_api.words import counted
from dueby_planner.deadline_classes import Promises
from dueby_planner.model.problem import Problem
from dueby_planner.schedule.calendar_job import CalendarJob
from dueby_planner.schedule.devices import DeviceGroups, Quota, devices_by_class
from dueby_planner.schedule.explain import share_sentence
from dueby_planner.schedule.free_devices import CLASSES, PROMISED, Taken
from dueby_planner.schedule.job import JobKey, PromisedJob, ScheduledJob
from dueby_planner.schedule.ledger import Ledger
from dueby_planner.schedule.request import Refuse
from dueby_planner.schedule.tables import charged
from dueby_planner.schedule.usable import stored_windows


def keep_promised(ledger: Ledger, jobs: Sequence[PromisedJob | ScheduledJob], groups: DeviceGroups) -> Ledger:
    """Return what is free beside what was promised to these jobs. Soft jobs' is not kept from Hard ones."""
    for kind in PROMISED:
        taken = [each for job in jobs if job.deadline_class == kind for each in _promised_to(job, groups)]
        ledger = ledger.take(taken, of=CLASSES[CLASSES.index(kind) :])
    return ledger


def _promised_to(job: PromisedJob | ScheduledJob, groups: DeviceGroups) -> list[tuple[str, Taken]]:
    try:
        return list(taken_by_status(job, groups))
    except Exception:  # that may be why it is left alone, and the others don't suffer for it
        return []


def taken_by_status(job: ScheduledJob | PromisedJob, groups: DeviceGroups) -> Iterable[tuple[str, Taken]]:
    """Yield what is still reserved for a job of each group and each quota, as its status says."""
    there = groups.by_name
    for window in (window for window in stored_windows(job, groups) if window.to_us > 0):
        left, times = window.count, (max(0, window.from_us), window.to_us)
        for name in window.devices:
            count = min(left, there[name].devices) if there[name].is_there(*times) else 0
            left -= count
            if count:
                yield from charged(name, Taken(*times, count), groups.costs(job.key))


def taken_by_class(jobs: Iterable[ScheduledJob], kind: DeadlineClass, groups: DeviceGroups) -> list[tuple[str, Taken]]:
    """Return what is still reserved for the jobs of a deadline class, as their statuses say."""
    found = [job for job in jobs if job.deadline_class == kind and job.windows]
    return [taken for job in found for taken in taken_by_status(job, groups)]


def with_shares(groups: DeviceGroups, jobs: Iterable[ScheduledJob | PromisedJob], promises: Promises) -> DeviceGroups:
    """Return the groups with a quota for the Hard jobs of each namespace on each device class."""
    if promises.max_share >= 1:
        return groups
    keys: dict[str, list[JobKey]] = defaultdict(list)
    used: Counter[tuple[str, str]] = Counter()
    for job in jobs:
        if job.deadline_class == "Hard":
            keys[job.key[0]].append(job.key)
            if isinstance(job, ScheduledJob):
                used.update((job.key[0], worker.assignment.device_class) for worker in job.alive)
    devices = devices_by_class(groups.all)
    shares = [
        Quota(
            name=f"share/{namespace}/{name}",
            units=share_of(count, promises),
            used=used[namespace, name],
            others=0,
            costs={key: {name: 1} for key in own},
        )
        for namespace, own in keys.items()
        for name, count in devices.items()
    ]
    return replace(groups, quotas=(*groups.quotas, *shares))


def share_of(devices: int, promises: Promises) -> int:
    """Return how many of a class's devices may be promised to one namespace: one at least."""
    return max(1, math.floor(promises.max_share * devices + 1e-9))


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
