"""The device time that a job takes at least, whatever windows it is in.

Of a job that runs b images in L at best, N images take at least N L / b of device time. Each start loses at least
S + W - L of it, and no device does more than what it can from now to a time, which says how many starts there are at
least. There is no margin in it: what is impossible here is impossible at every confidence.

Workers that are there already need no start, and may be about to end a mini-batch: those images take no more time.
"""

from collections.abc import Sequence
from math import lcm

from dueby_planner.model.problem import Problem
from dueby_planner.replan import OngoingWorker


def needed_us(
    problem: Problem, until_us: int | None = None, *, at_work: Sequence[OngoingWorker] = (), elsewhere: int = 0
) -> int | None:
    """Return the device time that the job takes at least; None if no device does anything by then, or the deadline.

    `at_work` are workers that do some of its images; `elsewhere` are images that take none of this time.
    """
    time_us = problem.time_us if until_us is None else until_us
    choices = [choice for group in problem.groups for choice in group.choices]
    # Where the first mini-batch takes less than the others, nothing is lost, and many starts would be the fastest.
    paces = [(min(each.latency_us, each.expected_start_us), each.mini_batch_size) for each in choices]
    paces += [(worker.latency_us, worker.mini_batch_size) for worker in at_work]
    # Times of one image in a common unit, so that they are integers.
    unit = lcm(*(size for _, size in paces))
    pace = min(latency_us * (unit // size) for latency_us, size in paces)
    lost_us = max(0, min(choice.expected_start_us - choice.latency_us for choice in choices))
    if time_us <= lost_us:
        return None
    work = max(0, problem.images - elsewhere - sum(worker.mini_batch_size for worker in at_work)) * pace
    beside = max(0, work - len(at_work) * time_us * unit)
    starts = max(0 if at_work or not work else 1, _ceil(beside, (time_us - lost_us) * unit))
    return _ceil(work, unit) + starts * lost_us


def _ceil(over: int, under: int) -> int:
    return -(-over // under)
