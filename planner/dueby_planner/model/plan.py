"""From a problem to a plan: the least number of devices, each one's mini-batch size and iterations, and the proof.

The steps run in this order, and each keeps what the steps before it have fixed:

1. k: the first number of devices that the rule accepts (closed form).
2. The part size: the largest useful one that keeps k accepted (part_size.py).
3. Devices and sizes: those of the earliest time at which any k devices of the pool are accepted.
4. Iterations: at those sizes, the least common finish with sum (t + 1) b >= N. S and W are taken as expected (p50), so
   that the expected finish is what one should see.
5. The proof: PuLP's answer to model (1), or to model (2) if there is no plan, and the exact check of everything.

Where the store limits what all devices take together, all of this is done for one of the plain problems that it makes
of the job (feed.py): of those for which k devices are enough, the one with the earliest such time.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, wraps
from typing import ParamSpec, TypeVar, cast

from dueby_api.units import MICROS_PER_SECOND, format_at_least
from dueby_api.words import counted
from dueby_planner.model.alternatives import Alternatives, fewer_in_squares, fewer_with_cores, find_alternatives
from dueby_planner.model.capacity import Capacity, DeviceChoice, iterations_within
from dueby_planner.model.cost import PlanCost, cost_of
from dueby_planner.model.feed import Within, rate_of
from dueby_planner.model.part_size import part_size_for
from dueby_planner.model.probability import probability_in_time
from dueby_planner.model.problem import Problem, equal_devices, find_least, take_largest
from dueby_planner.model.proof import CLOSED_FORM, judge_fewest, judge_most
from dueby_planner.model.solver import ask_fewest, ask_most
from dueby_planner.model.verify import verify_feed, verify_fewest, verify_plan

SQUARES = "tars of squares of the model's size, of which answers may differ a little"
"""What saves GPUs that wait for decoding."""


@dataclass(frozen=True, kw_only=True)
class PlanGroup:
    """Devices of one class that do the same."""

    device_class: str
    available_us: int
    count: int
    choice: DeviceChoice
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
    """Which devices do what, and why no fewer can. Times count from now."""

    problem: Problem
    """The question that this plan answers."""
    groups: tuple[PlanGroup, ...]
    part_size: int
    lower_bound: int
    """No fewer devices are accepted for the measured sizes, this confidence and this pool. It is less than the plan's
    devices only where the store limits a pool of several classes, and fewer might do by another division of it."""
    proof: str
    """ClosedForm+CBC if both agree, ClosedForm if the solver had no valid answer."""
    probability: float
    """Probability of being in time, by the same rule."""
    finish_at_confidence_us: int
    """The least time at which these devices and sizes are accepted."""
    warnings: tuple[str, ...]
    solve_us: int = 0
    """Time that finding, proving and verifying the plan took."""
    cost_bound: int | None = None
    """No plan on this pool costs less, in millionths of the currency's unit; None if cost is not what was asked for."""

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
        """The expected finish of the group that ends last."""
        return max(group.expected_finish_us for group in self.groups)

    @property
    def device_us(self) -> int:
        """For how long devices are held until the expected finish, added up over all of them, in microseconds."""
        return sum(group.count * (self.expected_finish_us - group.available_us) for group in self.groups)

    @property
    def slack_us(self) -> int:
        """Deadline less the finish at the confidence; negative if the plan is late."""
        return self.problem.time_us - self.finish_at_confidence_us

    @cached_property
    def max_images_of_fewer(self) -> int:
        """The largest N that one device fewer can do by the deadline."""
        return self.problem.largest_images(self.gpus - 1)

    @property
    def is_in_time(self) -> bool:
        """Whether the deadline is met at the confidence."""
        return self.slack_us >= 0

    @property
    def is_paced(self) -> bool:
        """Whether the store gives the devices less than they could take."""
        return any(group.choice.unpaced is not None for group in self.groups)

    @cached_property
    def cost(self) -> PlanCost | None:
        """What the plan is expected to cost; None if the price of one of its devices isn't known."""
        tariff = self.problem.tariff
        return None if tariff is None else cost_of(self.groups, tariff)

    @property
    def rate(self) -> int:
        """What the devices take of the store while they work, in millionths of an image a second."""
        return sum(group.count * rate_of(group.choice) for group in self.groups)


@dataclass(frozen=True, kw_only=True)
class Infeasible:
    """No number of devices is accepted: the proof, and what could be asked instead."""

    problem: Problem
    proof: str

    @cached_property
    def alternatives(self) -> Alternatives:
        """What could be asked for instead."""
        return find_alternatives(self.problem)

    @cached_property
    def serial_warnings(self) -> tuple[str, ...]:
        """For each class whose GPUs would wait for their workers however many cores these had: that it would."""
        if self.alternatives.worker_cores is not None:
            return ()
        fed = self.problem.with_cores(self.problem.enough_cores)
        return serial_warnings((capacity.group.device_class, capacity.choice) for capacity in fed.capacities())


P = ParamSpec("P")
Answer = TypeVar("Answer")


def timed(make: Callable[P, Answer]) -> Callable[P, Answer]:
    """Have the plans that a function makes say how long that took."""

    @wraps(make)
    def make_timed(*args: P.args, **kwargs: P.kwargs) -> Answer:
        started_ns = time.perf_counter_ns()
        answer = make(*args, **kwargs)
        if not isinstance(answer, Plan):
            return answer
        return cast(Answer, replace(answer, solve_us=(time.perf_counter_ns() - started_ns) // 1000))

    return make_timed


@timed
def plan_fewest(problem: Problem) -> Plan | Infeasible:
    """Return the plan with the fewest devices, or the proof that there is none, with alternatives."""
    gpus = problem.fewest()
    if gpus is not None:
        plan = _plan_for(problem, gpus)
        serial = serial_warnings((group.device_class, group.choice) for group in plan.groups)
        return replace(plan, warnings=plan.warnings + _cores_warnings(problem, plan) + serial)
    # Of several ways, the one that does the most.
    way = max(problem.ways, key=lambda each: each.largest_sum)
    able = equal_devices(way.capacities())
    # The solver works on its answer while the certificate is computed.
    second = ask_most(able, way.most, _within(problem, way)) if able else None
    for each in problem.ways:
        verify_fewest(each, each.most + 1)
    proof = judge_most(second.result(), able, most=way.most) if second else CLOSED_FORM
    return Infeasible(problem=problem, proof=proof)


def _within(problem: Problem, way: Problem, time_us: int | None = None) -> Within | None:
    """Return what the store leaves to the devices of a way's capacities, for the solver; None without a store.

    Devices of a reserve come on top: of all, those that don't count are taken to be the fastest.
    """
    if problem.feed is None:
        return None
    rates = tuple(rate_of(capacity.choice) for capacity in way.capacities(time_us))
    return Within(rates, problem.feed.rate + problem.reserve * max(rates, default=0))


@timed
def plan_earliest(problem: Problem, *, slower: Fraction = Fraction(0)) -> Plan | None:
    """Return the plan that ends earliest, for a job that is started although it will be late; None if it never ends.

    It has the fewest devices that are accepted at the earliest possible time, or at one that is later by a share of it.
    That is its finish, so its slack is negative.
    """
    soonest_us = problem.earliest_us()
    if soonest_us is None:
        return None
    earliest_us = soonest_us + int(soonest_us * slower)
    late = replace(problem, time_us=earliest_us)
    gpus = late.fewest()
    if gpus is None:
        raise RuntimeError(f"no number of devices is accepted at the earliest time {earliest_us} us")
    # At the earliest time for these: large parts would take what may be later only for the sake of fewer devices.
    soonest_of_these_us = late.earliest_us(gpus, within_us=earliest_us) or earliest_us
    plan = _plan_for(replace(late, time_us=soonest_of_these_us), gpus)
    return replace(
        plan,
        problem=problem,
        probability=probability_in_time(problem, plan.groups, part_size=plan.part_size),
        # Not the finish with the plan's own part size. That one may lose less in hand-overs than was assumed when the
        # job was found infeasible, and even be in time.
        finish_at_confidence_us=max(soonest_us, plan.finish_at_confidence_us),
    )


def _plan_for(problem: Problem, gpus: int) -> Plan:
    way = _way_to(problem, gpus)
    able = equal_devices(way.capacities())
    needed = way.images + way.rule.margin(able, gpus)
    # The solver works on its answer while the plan is made.
    second = ask_fewest(able, needed, _within(problem, way))
    chosen = [capacity.choice for capacity, _ in take_largest(way.capacities(), gpus)]
    part_size = way.part_size or part_size_for(way, able, chosen, gpus=gpus)
    held = way.with_part_size(part_size)
    earliest_us = held.earliest_us(gpus, within_us=way.time_us)
    if earliest_us is None:
        raise RuntimeError(f"{gpus} devices are accepted at {way.time_us} us, but at no earlier time")
    groups = with_iterations(held, take_largest(held.capacities(earliest_us), gpus))
    verify_plan(held, groups, finish_at_confidence_us=earliest_us)
    verify_feed(problem, groups)
    for each in problem.ways:
        verify_fewest(each, min(gpus, each.most + 1))
    lower_bound = gpus if problem.feed is None else lower_bound_of(problem)
    proof, doubt = judge_fewest(second.result(), able, needed=needed, gpus=gpus)
    return Plan(
        problem=problem,
        groups=groups,
        part_size=part_size,
        lower_bound=lower_bound,
        proof=proof,
        probability=probability_in_time(held, groups, part_size=part_size),
        # The least time for these devices and sizes, because at any earlier time no k devices are accepted at any size.
        finish_at_confidence_us=earliest_us,
        warnings=problem.pool.warnings + interpolation_warnings(groups) + doubt,
    )


def _way_to(problem: Problem, gpus: int) -> Problem:
    """Return the plain problem by which so many devices are enough, and soonest."""
    ways = [way for way in problem.ways if way.is_accepted(gpus)]
    if not ways:
        raise RuntimeError(f"{gpus} devices are accepted by none of {len(problem.ways)} plain problems")
    if len(ways) == 1:
        return ways[0]
    return min(ways, key=lambda way: way.earliest_us(gpus, within_us=way.time_us) or way.time_us)


def lower_bound_of(problem: Problem) -> int:
    """Return a number of devices of which no fewer are enough, however the store is divided among them: it is checked.

    Some number must be enough.
    """
    alone = problem.unfed
    least = alone.fewest()
    if least is None:
        raise RuntimeError("some devices are accepted, and none if the store limited them less")
    verify_fewest(alone, least)
    return least


def with_iterations(problem: Problem, chosen: list[tuple[Capacity, int]]) -> tuple[PlanGroup, ...]:
    """Return the chosen devices with the iterations of their least common finish.

    A device that is not warm by then does its first mini-batch all the same. No device gets more iterations than fit
    before the deadline with S and W as planned: constraint (1) of the study.
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

    finish_us = find_least(suffices, 0, problem.time_us)
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


def _cores_warnings(problem: Problem, plan: Plan) -> tuple[str, ...]:
    """Return that more cores, or smaller images, would save devices, where they wait for decoding."""
    warnings, wait = [], "GPUs wait for decoding: "
    if fewer := fewer_with_cores(problem, plan.gpus):
        warnings.append(
            f"{wait}with {counted(fewer.cores, 'core')} for each worker, in place of {fewer.present}, {fewer.gpus:,} "
            f"of the {plan.gpus:,} would do (spec.worker.resources, up to a GPU's share of its node)"
        )
    if smaller := fewer_in_squares(problem, plan.gpus):
        takes = format_at_least(smaller.transcoding_us)
        warnings.append(
            f"{wait}{smaller.gpus:,} of the {plan.gpus:,} would do if the images were transcoded once into {SQUARES}; "
            f"that takes one core at least {takes}, on any machine"
        )
    return tuple(warnings)


def serial_warnings(chosen: Iterable[tuple[str, DeviceChoice]]) -> tuple[str, ...]:
    """Return a warning for each class whose GPUs would wait for their workers however many cores these had."""
    rates = {
        device_class: choice.mini_batch_size * MICROS_PER_SECOND // choice.latency_us
        for device_class, choice in chosen
        if choice.is_bound_by_serial_work
    }
    return tuple(
        f"no number of cores feeds one worker on {name} more than {rate:,} images/s, and its GPU could do more: "
        "more devices are faster; more cores, tars or another store are not"
        for name, rate in rates.items()
    )


def interpolation_warnings(groups: tuple[PlanGroup, ...]) -> tuple[str, ...]:
    """Return a warning for each group whose mini-batch size was not measured."""
    return tuple(
        f"mini-batches of {group.choice.mini_batch_size} on {group.device_class} were not measured: "
        f"{group.choice.interpolation}"
        for group in groups
        if group.choice.interpolation
    )
