"""The exact check that every plan passes before it leaves the planner, from the model's own inequalities.

It shares no intermediate result with the search. Capacities, sums and the margin are computed again from the groups,
and the certificate ("every j < k fails") is checked the plain way, one j after another. Only if the rule is known to
rise with every device of a class, that is if C (1 - z node) >= P(1), is the last j of the class checked for all of
them: otherwise thousands of GPUs would take too long.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import sqrt
from typing import Protocol

from dueby_api.errors import DueByError
from dueby_planner.model.capacity import BILLION, DeviceChoice, capacity
from dueby_planner.model.problem import Problem
from dueby_planner.model.rule import quantile


class WrongPlan(DueByError):
    """A plan breaks the model. That is a bug in the planner, never the user's fault."""


class CheckedGroup(Protocol):
    """What the check has to know of a plan's group."""

    @property
    def device_class(self) -> str: ...
    @property
    def available_us(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def choice(self) -> DeviceChoice: ...
    @property
    def iterations(self) -> int: ...


def verify_plan(problem: Problem, groups: Sequence[CheckedGroup], *, finish_at_confidence_us: int) -> None:
    """Raise WrongPlan unless the groups keep every constraint of (1) and are accepted.

    They must be accepted at the deadline, and also at the finish that the plan states.
    """
    gpus = sum(group.count for group in groups)
    _require(1 <= gpus <= problem.most, f"it has {gpus} devices, not 1..{problem.most}")
    _verify_counts(problem, groups)
    for group in groups:
        _verify_group(problem, group)
    done = sum(group.count * (group.iterations + 1) * group.choice.mini_batch_size for group in groups)
    _require(done >= problem.images, f"it does {done} of {problem.images} images")
    for time_us in (problem.time_us, finish_at_confidence_us):
        able = [(_capacity(problem, group.choice, group.available_us, time_us), group.count) for group in groups]
        sums = _sums(problem, sorted(able, reverse=True))
        _require(_is_accepted(problem, *sums), f"it is not accepted at {time_us} us")


def verify_fewest(problem: Problem, gpus: int) -> None:
    """Raise WrongPlan if any number of devices below `gpus` is accepted. For an infeasible problem pass NGPU + 1."""
    steady = 1 - Fraction(quantile(problem.confidence)) * Fraction(problem.pool.spreads.node)
    able: list[tuple[int, int]] = []
    for images, devices in _capacities(problem):
        left = min(devices, gpus - 1 - sum(n for _, n in able))
        rises = images * steady >= problem.rule.loss(1)
        for count in [left] if rises else range(1, left + 1):
            fails = not _is_accepted(problem, *_sums(problem, [*able, (images, count)]))
            _require(fails, f"fewer devices than {gpus} are accepted: {able} and {count} x {images}")
        able.append((images, left))


def _verify_counts(problem: Problem, groups: Sequence[CheckedGroup]) -> None:
    there: Counter[tuple[str, int]] = Counter()
    planned: Counter[tuple[str, int]] = Counter()
    for known in problem.groups:
        there[known.device_class, known.available_us] += known.count
    for group in groups:
        _require(group.count >= 1, f"it has a group of {group.count} x {group.device_class}")
        planned[group.device_class, group.available_us] += group.count
    for (name, free_us), count in planned.items():
        _require(count <= there[name, free_us], f"it uses {count} x {name}, but there are {there[name, free_us]}")


def _verify_group(problem: Problem, group: CheckedGroup) -> None:
    name, size = group.device_class, group.choice.mini_batch_size
    there = [g for g in problem.groups if (g.device_class, g.available_us) == (name, group.available_us)]
    is_known = any(group.choice in g.choices for g in there)
    _require(is_known, f"mini-batches of {size} on {name} were neither measured nor interpolated with these times")
    most = problem.max_iterations
    is_allowed = group.iterations >= 0 and (most is None or group.iterations <= most)
    _require(is_allowed, f"{name} has {group.iterations} iterations, not 0..{'' if most is None else most}")
    expected_us, margin_squared = _finish_us(group)
    spare_us = problem.time_us - expected_us
    ends_us = float(expected_us) + sqrt(margin_squared)
    _require(
        spare_us >= 0 and spare_us**2 >= margin_squared, f"{name} ends at {ends_us:.0f} us, after {problem.time_us} us"
    )


def _finish_us(group: CheckedGroup) -> tuple[Fraction, Fraction]:
    """Return the group's expected finish, with the steps that the rule counts, and the square of its margin.

    Of (1 + q) x the rule counts x. These steps are late by q x and the start by s, so together they are late by the
    root of the squares.
    """
    choice = group.choice
    q = Fraction(choice.common_margin, BILLION)
    counted_us = group.iterations * choice.planned_latency_us / (1 + q)
    expected_us = group.available_us + choice.expected_start_us + counted_us
    return expected_us, choice.late_us**2 + (q * counted_us) ** 2


def _capacities(problem: Problem) -> list[tuple[int, int]]:
    """Return (C, count) of every group that can do anything, the largest first."""
    best = [
        (max((_capacity(problem, choice, g.available_us, problem.time_us) for choice in g.choices), default=0), g.count)
        for g in problem.groups
    ]
    return sorted((pair for pair in best if pair[0] and pair[1]), reverse=True)


def _capacity(problem: Problem, choice: DeviceChoice, available_us: int, time_us: int) -> int:
    return capacity(choice, time_us=time_us, available_us=available_us, max_iterations=problem.max_iterations)


def _sums(problem: Problem, able: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Return what counts towards N, and sum C^2, of devices less the reserve. The largest must come first."""
    counted, squares, taken, spare = 0, 0, 0, problem.reserve
    for images, devices in able:
        dropped = min(spare, devices)
        spare, kept = spare - dropped, devices - dropped
        counted += kept * problem.rule.counted(images)
        squares += kept * images * images
        taken += kept
    return counted - problem.rule.loss(taken), squares


def _is_accepted(problem: Problem, counted: int, squares: int) -> bool:
    z, spreads = Fraction(quantile(problem.confidence)), problem.pool.spreads
    surplus = counted - problem.images
    return surplus >= 0 and surplus**2 >= z**2 * (
        (Fraction(spreads.run) * problem.images) ** 2 + Fraction(spreads.node) ** 2 * squares
    )


def _require(holds: bool, sentence: str) -> None:
    if not holds:
        raise WrongPlan(f"the plan failed its verification: {sentence}")
