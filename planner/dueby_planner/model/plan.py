"""From a problem to a plan: the least number of devices, each one's mini-batch size and iterations, and the proof.

In this order, and each step holds what the ones before it fixed:

1. k: the first number of devices that the rule accepts (closed form).
2. The part size: the largest power of two that keeps k accepted.
3. Devices and sizes: those of the earliest time at which any k devices of the pool are accepted.
4. Iterations: at those sizes, the least common finish with sum (t + 1) b >= N, with S and W as expected (p50), so that
   the expected finish is what one should see.
5. The proof: PuLP's answer to model (1), or to (2) where there is no plan, and the exact verification of everything.
"""

import time
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import NormalDist

from dueby_planner.model.alternatives import Alternatives, find_alternatives
from dueby_planner.model.capacity import Capacity, Choice, Margins, capacity, iterations_within
from dueby_planner.model.problem import Problem, least, runs, take
from dueby_planner.model.proof import CLOSED_FORM, judge_fewest, judge_most
from dueby_planner.model.rule import Run
from dueby_planner.model.solver import ask_fewest, ask_most
from dueby_planner.model.verify import verify_fewest, verify_plan

_MAX_PART = 65_536
# Normal quantiles beyond which a probability is 0 or 1, and how finely it is searched.
_SURE_Z, _Z_STEP = 8.0, 1e-10


@dataclass(frozen=True, kw_only=True)
class PlanGroup:
    """Devices of one class that do the same."""

    device_class: str
    available_us: int
    count: int
    choice: Choice
    iterations: int
    """t: mini-batches after the warm-up one."""

    @property
    def images_each(self) -> int:
        """(t + 1) b."""
        return (self.iterations + 1) * self.choice.mini_batch_size

    @property
    def expected_finish_us(self) -> int:
        """a + S + W + t L, with S and W at p50."""
        return self.available_us + self.choice.expected_start_us + self.iterations * self.choice.latency_us


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Who does what, and why no fewer can. Times count from now."""

    problem: Problem
    """What was asked."""
    groups: tuple[PlanGroup, ...]
    part_size: int
    lower_bound: int
    """No fewer devices are accepted, for the measured sizes, this confidence and this pool."""
    proof: str
    """ClosedForm+CBC where both agree, ClosedForm where the solver had no valid answer."""
    probability: float
    """Of being in time, by the same rule."""
    finish_at_confidence_us: int
    """The least time at which these devices and sizes are accepted."""
    warnings: tuple[str, ...]
    solve_us: int
    """What it took to find, prove and verify the plan."""

    @property
    def gpus(self) -> int:
        """N_G."""
        return sum(group.count for group in self.groups)

    @property
    def planned_images(self) -> int:
        """sum (t + 1) b, at least N."""
        return sum(group.count * group.images_each for group in self.groups)

    @property
    def expected_finish_us(self) -> int:
        """The latest group's."""
        return max(group.expected_finish_us for group in self.groups)

    @property
    def slack_us(self) -> int:
        """Deadline less the finish at the confidence; negative where the plan is late."""
        return self.problem.time_us - self.finish_at_confidence_us

    @cached_property
    def most_of_fewer(self) -> int:
        """The largest N that one device fewer can do by the deadline."""
        return self.problem.largest_images(self.gpus - 1)

    @property
    def is_in_time(self) -> bool:
        """Whether the deadline is met at the confidence."""
        return self.slack_us >= 0


@dataclass(frozen=True, kw_only=True)
class Infeasible:
    """No number of devices is accepted; what could be asked instead."""

    problem: Problem
    proof: str
    alternatives: Alternatives


def plan_fewest(problem: Problem) -> Plan | Infeasible:
    """The plan with the fewest devices, or the proof that there is none and its alternatives."""
    started = time.perf_counter_ns()
    gpus = problem.fewest()
    if gpus is not None:
        return _plan_for(problem, gpus, started)
    found = runs(problem.capacities())
    second = ask_most(found, problem.most) if found else None
    verify_fewest(problem, problem.most + 1)
    alternatives = find_alternatives(problem)
    proof = judge_most(second.result(), found, most=problem.most) if second else CLOSED_FORM
    return Infeasible(problem=problem, proof=proof, alternatives=alternatives)


def plan_earliest(problem: Problem) -> Plan | None:
    """The plan that ends earliest, for a job that is started although it will be late; None where it never ends.

    The fewest devices that are accepted at the earliest possible time, which is where it ends: its slack is negative.
    """
    started = time.perf_counter_ns()
    earliest_us = problem.earliest_us()
    if earliest_us is None:
        return None
    late = replace(problem, time_us=earliest_us)
    gpus = late.fewest()
    if gpus is None:
        raise RuntimeError(f"no number of devices is accepted at the earliest time {earliest_us} us")
    plan = _plan_for(late, gpus, started)
    return replace(
        plan,
        problem=problem,
        probability=_probability(problem, plan.groups, plan.part_size),
        # The job is refused with what is assumed of hand-overs. The part size may lose less: perhaps even in time.
        finish_at_confidence_us=earliest_us,
    )


def _plan_for(problem: Problem, gpus: int, started_ns: int) -> Plan:
    found = runs(problem.capacities())
    needed = problem.images + problem.rule.margin(found, gpus)
    second = ask_fewest(found, needed)
    part_size = problem.part_size or _part_size(problem, found, gpus)
    held = problem.with_part_size(part_size)
    earliest_us = held.earliest_us(gpus, within_us=problem.time_us)
    if earliest_us is None:
        raise RuntimeError(f"{gpus} devices are accepted at {problem.time_us} us, but at no earlier time")
    groups = _with_iterations(held, take(held.capacities(earliest_us), gpus))
    verify_plan(held, groups, finish_at_confidence_us=earliest_us)
    verify_fewest(problem, gpus)
    proof, doubt = judge_fewest(second.result(), found, needed=needed, gpus=gpus)
    return Plan(
        problem=problem,
        groups=groups,
        part_size=part_size,
        lower_bound=gpus,
        proof=proof,
        probability=_probability(held, groups, part_size),
        # The least time for these devices and sizes: at any earlier one no k devices are accepted, at any size.
        finish_at_confidence_us=earliest_us,
        warnings=problem.pool.warnings + _filled_in(groups) + doubt,
        solve_us=(time.perf_counter_ns() - started_ns) // 1000,
    )


def _part_size(problem: Problem, found: list[Run], gpus: int) -> int:
    """The largest power of two <= min(65,536, 1 % of ceil(N / k)) that keeps k accepted; 1 always does."""
    share = -(-problem.images // gpus)
    size = 1 << max(0, min(_MAX_PART, share // 100).bit_length() - 1)
    while size > 1 and not replace(problem.rule, part_size=size).accepts(found, gpus):
        size >>= 1
    return size


def _with_iterations(problem: Problem, chosen: list[tuple[Capacity, int]]) -> tuple[PlanGroup, ...]:
    """The chosen devices with the iterations of their least common finish.

    A device that isn't warm by then does its first mini-batch all the same. None gets more iterations than fit before
    the deadline with S and W as planned: constraint (1) of the study.
    """
    most = [
        iterations_within(
            c.choice, problem.time_us - c.group.available_us - c.choice.expected_start_us, problem.max_iterations
        )
        for c, _ in chosen
    ]

    def iterations(finish_us: int) -> list[int]:
        return [
            min(limit, max(0, finish_us - c.group.available_us - c.choice.expected_start_us) // c.choice.latency_us)
            for (c, _), limit in zip(chosen, most, strict=True)
        ]

    def suffices(finish_us: int) -> bool:
        rows = zip(chosen, iterations(finish_us), strict=True)
        return sum(count * (t + 1) * c.choice.mini_batch_size for (c, count), t in rows) >= problem.images

    finish_us = least(suffices, 0, problem.time_us)
    return tuple(
        PlanGroup(
            device_class=c.group.device_class,
            available_us=c.group.available_us,
            count=count,
            choice=c.choice,
            iterations=t,
        )
        for (c, count), t in zip(chosen, iterations(finish_us), strict=True)
    )


def _filled_in(groups: tuple[PlanGroup, ...]) -> tuple[str, ...]:
    """What is said of sizes that were not measured."""
    return tuple(
        f"mini-batches of {group.choice.mini_batch_size} on {group.device_class} were not measured: "
        f"{group.choice.filled_in}"
        for group in groups
        if group.choice.filled_in
    )


def _probability(problem: Problem, groups: tuple[PlanGroup, ...], part_size: int) -> float:
    """Of the plan's devices, at the plan's sizes, being in time: the confidence at which the rule only just accepts."""
    rule = replace(problem.rule, part_size=part_size)

    def surplus(z: float) -> float:
        margins = Margins(z, run=problem.pool.spreads.run)
        able = [
            (
                capacity(
                    margins.on(g.choice),
                    time_us=problem.time_us,
                    available_us=g.available_us,
                    max_iterations=problem.max_iterations,
                ),
                g.count,
            )
            for g in groups
        ]
        return rule.surplus(sorted(able, reverse=True), z)

    low, high = -_SURE_Z, _SURE_Z
    if surplus(low) < 0:
        return 0.0
    if surplus(high) >= 0:
        return 1.0
    while high - low > _Z_STEP:
        middle = (low + high) / 2
        low, high = (middle, high) if surplus(middle) >= 0 else (low, middle)
    return NormalDist().cdf(low)
