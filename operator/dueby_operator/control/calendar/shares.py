"""How much of a device class is promised to Hard jobs of one namespace, and until when: the chart's `promises`. Pure.

A namespace's share of a class is a quota of the calendar: its Hard jobs are placed one after the other within it. What
their workers have counts, too; a share that is lowered stops none of them, and what is reserved beyond it moves. A job
that would need more than the share, or longer than the horizon, even with nobody else there, is refused; one that has
no place now waits.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace

from dueby_api.conditions import Reason
from dueby_api.units import format_duration
from dueby_api.words import counted
from dueby_operator.control.calendar.entries import Entry
from dueby_operator.control.calendar.reserved import LeftAlone
from dueby_operator.control.work.decision import Refuse
from dueby_operator.model.job_snapshot import JobKey
from dueby_operator.model.stacks import Quota, Stacks
from dueby_operator.settings import Promises
from dueby_planner.calendar.jobs import CalendarJob
from dueby_planner.model.problem import Problem


def with_shares(stacks: Stacks, jobs: Iterable[Entry | LeftAlone], promises: Promises) -> Stacks:
    """Return the stacks with a quota for the Hard jobs of each namespace on each device class."""
    if promises.max_share >= 1:
        return stacks
    keys: dict[str, list[JobKey]] = defaultdict(list)
    used: Counter[tuple[str, str]] = Counter()
    for job in jobs:
        if job.deadline_class == "Hard":
            keys[job.key[0]].append(job.key)
            if isinstance(job, Entry):
                used.update((job.key[0], worker.assignment.device_class) for worker in job.model.alive)
    devices: Counter[str] = Counter()
    for stack in stacks.all:
        devices[stack.device_class] += stack.devices
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
    return replace(stacks, quotas=(*stacks.quotas, *shares))


def share_of(devices: int, promises: Promises) -> int:
    """Return how many of a class's devices may be promised to one namespace: one at least."""
    return max(1, math.floor(promises.max_share * devices + 1e-9))


def find_refusal(job: CalendarJob, entry: Entry, stacks: Stacks) -> Refuse | None:
    """Return why a Hard job that nothing is promised to can't be promised its end even on idle devices; None if it can.

    What could not be done with all devices, whatever is promised, is refused with its proof elsewhere.
    """
    promises, problem = entry.given.shared.promises, job.problem
    if job.deadline_class != "Hard" or job.goes_on or problem.fewest() is None:
        return None
    within_us = min(problem.time_us, job.until_us)
    if problem.fewest(within_us) is None:
        earliest_us = problem.earliest_us() or problem.time_us
        sentence = (
            f"Nothing is promised beyond {format_duration(job.until_us)} from now, by promises.horizon, and all "
            f"devices that the job may use take {format_duration(earliest_us)}. Ask for fewer images, or take "
            "another deadlineClass than Hard."
        )
        return Refuse(reason=Reason.NOT_PROMISED, sentence=sentence)
    if promises.max_share < 1 and _within_share(problem, stacks, promises).fewest(within_us) is None:
        sentence = (
            f"{_share_sentence(promises)}, and the job needs {counted(problem.fewest(within_us) or 0, 'device')}. "
            "Ask for a later deadline or fewer images, or take another deadlineClass than Hard."
        )
        return Refuse(reason=Reason.NOT_PROMISED, sentence=sentence)
    return None


def limits_sentence(entry: Entry) -> str:
    """Return what limits the promise that a Hard job waits for, after a space; empty if nothing does."""
    promises = entry.given.shared.promises
    if entry.deadline_class != "Hard" or entry.goes_on:
        return ""
    is_beyond = promises.horizon_us < entry.time_us
    horizon = f" Nothing is promised beyond {format_duration(promises.horizon_us)} from now." if is_beyond else ""
    return horizon if promises.max_share >= 1 else f"{horizon} {_share_sentence(promises)}."


def _share_sentence(promises: Promises) -> str:
    share = f"{promises.max_share:.0%}".replace("%", " %")
    return f"Hard jobs of one namespace are promised at most {share} of a device class, by promises.maxShare"


def _within_share(problem: Problem, stacks: Stacks, promises: Promises) -> Problem:
    """Return the problem with no more devices of a stack than its namespace may have of the class."""
    whole: Counter[str] = Counter()
    for stack in stacks.all:
        whole[stack.device_class] += stack.devices
    groups = tuple(
        replace(group, count=min(group.count, share_of(whole[stacks.class_of(group.device_class)], promises)))
        for group in problem.pool.groups
    )
    return replace(problem, pool=replace(problem.pool, groups=groups))
