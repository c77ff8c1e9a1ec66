"""The exact check that every plan passes before it leaves the planner, from the model's own inequalities.

It shares no intermediate result with the search. Capacities, sums and the margin are computed again from the groups,
and the certificate ("every j < k fails") is checked the plain way, one j after another. Only if the rule is known to
rise with every device of a class, that is if C (1 - z node) >= P(1) + z start, is the last j of the class checked for
all of them: otherwise thousands of GPUs would take too long. What losses cost is the same for every j.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, inf, lcm, sqrt

from dueby_api.errors import DueByError
from dueby_api.inference_job import MIN_CONFIDENCE
from dueby_planner.model.capacity import BILLION, DeviceChoice, PlannedDevices, capacity
from dueby_planner.model.feed import MICRO
from dueby_planner.model.losses import HOUR_US, most_losses
from dueby_planner.model.problem import Problem
from dueby_planner.model.rule import quantile


class WrongPlan(DueByError):
    """A plan breaks the model. That is a bug in the planner, never the user's fault."""


def verify_plan(problem: Problem, groups: Sequence[PlannedDevices], *, finish_at_confidence_us: int) -> None:
    """Raise WrongPlan unless the groups keep every constraint of (1) and are accepted.

    They must be accepted at the deadline, and also at the finish that the plan states.
    """
    gpus = sum(group.count for group in groups)
    _require(1 <= gpus <= problem.most, f"it has {gpus} devices, not 1..{problem.most}")
    _verify_counts(problem, groups)
    measured: defaultdict[tuple[str, int], list[DeviceChoice]] = defaultdict(list)
    for known in problem.groups:
        measured[known.device_class, known.available_us] += known.choices
    for group in groups:
        _verify_group(problem, group, measured[group.device_class, group.available_us])
    done = sum(group.count * (group.iterations + 1) * group.choice.mini_batch_size for group in groups)
    _require(done >= problem.images, f"it does {done} of {problem.images} images")
    rule = _AcceptanceRule(problem)
    for time_us in (problem.time_us, finish_at_confidence_us):
        sums = _Sums(spare=problem.reserve)
        able = [(_capacity(problem, group.choice, group.available_us, time_us), group.count) for group in groups]
        for images, devices in sorted(able, reverse=True):
            sums = sums.adding(problem, images, devices)
        _require(rule.accepts(sums), f"it is not accepted at {time_us} us")


def verify_fewest(problem: Problem, gpus: int) -> None:
    """Raise WrongPlan if any number of devices below `gpus` is accepted. For an infeasible problem pass NGPU + 1."""
    z, spreads = Fraction(quantile(problem.confidence)), problem.pool.spreads
    steady = 1 - z * Fraction(spreads.node)
    rises_from = (problem.rule.loss(1) + z * Fraction(spreads.start)) / steady if steady > 0 else inf
    rule, sums, left = _AcceptanceRule(problem), _Sums(spare=problem.reserve), gpus - 1
    for images, devices in _capacities(problem):
        most = min(devices, left)
        for count in [most] if images >= rises_from else range(1, most + 1):
            if rule.accepts(sums.adding(problem, images, count)):
                raise _wrong(f"fewer devices than {gpus} are accepted: {gpus - 1 - left} and {count} x {images}")
        sums, left = sums.adding(problem, images, most), left - most


def verify_feed(problem: Problem, groups: Sequence[PlannedDevices]) -> None:
    """Raise WrongPlan if the devices, less a reserve, take more of the store together than it gives."""
    if problem.feed is None:
        return
    taken, spare = Fraction(0), problem.reserve
    for rate, count in sorted((Fraction(g.choice.mini_batch_size, g.choice.latency_us), g.count) for g in groups):
        counted = max(0, count - spare)
        spare -= count - counted
        taken += counted * rate * MICRO * MICRO
    _require(
        taken <= problem.feed.rate, f"its devices take {float(taken):.0f} of {problem.feed.rate} that the store has"
    )


def _verify_counts(problem: Problem, groups: Sequence[PlannedDevices]) -> None:
    there: Counter[tuple[str, int]] = Counter()
    planned: Counter[tuple[str, int]] = Counter()
    for known in problem.groups:
        there[known.device_class, known.available_us] += known.count
    for group in groups:
        _require(group.count >= 1, f"it has a group of {group.count} x {group.device_class}")
        planned[group.device_class, group.available_us] += group.count
    for (name, free_us), count in planned.items():
        _require(count <= there[name, free_us], f"it uses {count} x {name}, but there are {there[name, free_us]}")


def _verify_group(problem: Problem, group: PlannedDevices, measured: Collection[DeviceChoice]) -> None:
    name, size = group.device_class, group.choice.mini_batch_size
    _require(
        group.choice in measured,
        f"mini-batches of {size} on {name} were neither measured nor interpolated with these times",
    )
    most = problem.max_iterations
    is_allowed = group.iterations >= 0 and (most is None or group.iterations <= most)
    _require(is_allowed, f"{name} has {group.iterations} iterations, not 0..{'' if most is None else most}")
    expected_us, margin_squared = _finish_us(group)
    spare_us = problem.time_us - expected_us
    ends_us = float(expected_us) + sqrt(margin_squared)
    _require(
        spare_us >= 0 and spare_us**2 >= margin_squared, f"{name} ends at {ends_us:.0f} us, after {problem.time_us} us"
    )


def _finish_us(group: PlannedDevices) -> tuple[Fraction, Fraction]:
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


@dataclass(frozen=True, kw_only=True)
class _Sums:
    """What the rule asks of some devices, the largest of which came first: of the first ones, `spare` don't count."""

    spare: int
    kept: int = 0
    counted: int = 0
    """What counts towards N, before the rule's loss."""
    squares: int = 0
    """sum C^2."""

    def adding(self, problem: Problem, images: int, devices: int) -> "_Sums":
        """Return the sums with so many devices more, each of which does so many images, none more than one before."""
        dropped = min(self.spare, devices)
        kept = devices - dropped
        return _Sums(
            spare=self.spare - dropped,
            kept=self.kept + kept,
            counted=self.counted + kept * problem.rule.counted(images),
            squares=self.squares + kept * images * images,
        )


class _AcceptanceRule:
    """sum counted - loss - Q - N >= z sqrt((s_run N)^2 + s_node^2 sum C^2 + k s_start^2), squared, in integers."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        z, spreads = Fraction(quantile(problem.confidence)), problem.pool.spreads
        run, node = (z * Fraction(spreads.run) * problem.images) ** 2, (z * Fraction(spreads.node)) ** 2
        start = (z * Fraction(spreads.start)) ** 2
        self._unit = lcm(run.denominator, node.denominator, start.denominator)
        self._run, self._node, self._start = (int(term * self._unit) for term in (run, node, start))
        self._wanted = problem.images + _taken_away(problem)

    def accepts(self, sums: _Sums) -> bool:
        surplus = sums.counted - self._problem.rule.loss(sums.kept) - self._wanted
        spread = self._run + self._node * sums.squares + self._start * sums.kept
        return surplus >= 0 and surplus**2 * self._unit >= spread


def _taken_away(problem: Problem) -> int:
    """Return Q of losses.py, from the capacities that are computed here."""
    per_image, images, most = Fraction(0), 0, 0
    for group in problem.groups:
        able = [(_capacity(problem, c, group.available_us, problem.time_us), c) for c in group.choices]
        done, choice = max(able, key=lambda pair: (pair[0], -pair[1].mini_batch_size))
        if group.losses and group.count and done:
            rate = Fraction(choice.mini_batch_size, choice.planned_latency_us)
            per_image = max(per_image, Fraction(group.losses.per_hour) / HOUR_US / rate)
            images = max(images, min(done, ceil(rate * (group.losses.replaced_us + choice.start_us))))
            most += done * group.count
    if problem.confidence <= MIN_CONFIDENCE or not per_image:
        return 0
    losses = most_losses(float(per_image * problem.images), problem.confidence)
    return min(most, losses * (images + problem.rule.loss(1)))


def _require(holds: bool, sentence: str) -> None:
    if not holds:
        raise _wrong(sentence)


def _wrong(sentence: str) -> WrongPlan:
    return WrongPlan(f"the plan failed its verification: {sentence}")
