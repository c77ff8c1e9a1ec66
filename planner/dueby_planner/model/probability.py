"""The probability that given devices, at given mini-batch sizes, are in time.

It is the confidence at which the acceptance rule only just accepts them. The rule's margins rise with the normal
quantile z, so the search is a bisection over z.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import NormalDist

from dueby_planner.model.capacity import ChosenDevices, Margins, capacity
from dueby_planner.model.problem import Problem

# Normal quantiles beyond which a probability is 0 or 1, and how finely z is searched.
_SURE_Z, _Z_STEP = 8.0, 1e-10


def probability_in_time(problem: Problem, groups: Sequence[ChosenDevices], *, part_size: int) -> float:
    """Return the probability that the groups do N images by the deadline, with parts of this size."""
    rule = replace(problem.rule, part_size=part_size)

    def suffice(z: float) -> bool:
        margins = Margins(z, run=rule.spreads.run, start=rule.spreads.start)
        able = [
            (
                capacity(
                    group.choice,
                    time_us=problem.time_us,
                    available_us=group.available_us,
                    max_iterations=problem.max_iterations,
                    margins=margins,
                ),
                group.count,
            )
            for group in groups
        ]
        return rule.surplus(sorted(able, reverse=True), z) >= 0

    return confidence_of(suffice)


def confidence_of(suffice: Callable[[float], bool]) -> float:
    """Return the confidence of the largest normal quantile at which devices suffice."""
    low, high = -_SURE_Z, _SURE_Z
    if not suffice(low):
        return 0.0
    if suffice(high):
        return 1.0
    while high - low > _Z_STEP:
        middle = (low + high) / 2
        low, high = (middle, high) if suffice(middle) else (low, middle)
    return NormalDist().cdf(low)
