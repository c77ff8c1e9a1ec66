"""The device time that a job takes at least, whatever windows it is in.

Of a job that runs b images in L at best, N images take at least N L / b of device time. Each start loses at least
S + W - L of it, and no device does more than what it can from now to a time, which says how many starts there are at
least. There is no margin in it: what is impossible here is impossible at every confidence.
"""

from math import lcm

from dueby_planner.model.problem import Problem


def needed_us(problem: Problem, until_us: int | None = None) -> int | None:
    """Return the device time that the job takes at least; None if no device does anything by then, or the deadline."""
    time_us = problem.time_us if until_us is None else until_us
    choices = [choice for group in problem.groups for choice in group.choices]
    # Times of one image in a common unit, so that they are integers. Where the first mini-batch takes less than the
    # others, nothing is lost, and many starts would be the fastest.
    unit = lcm(*(choice.mini_batch_size for choice in choices))
    pace = min(min(each.latency_us, each.expected_start_us) * (unit // each.mini_batch_size) for each in choices)
    lost_us = max(0, min(choice.expected_start_us - choice.latency_us for choice in choices))
    if time_us <= lost_us:
        return None
    work = problem.images * pace
    starts = max(1, _ceil(work, (time_us - lost_us) * unit))
    return _ceil(work, unit) + starts * lost_us


def _ceil(over: int, under: int) -> int:
    return -(-over // under)
