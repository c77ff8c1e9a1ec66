"""A job's limit of money, spec.maxCost: a plan in time that costs no more, or why there is none.

A plan for the job's objective that costs more gives way to the one of least cost (cheapest.py). If that costs more,
too, the job can't be done as asked: the least cost is said, with its bound, and what would be affordable.

Devices that are in time by T are in time by any later deadline, and cost the same. So a later deadline never makes the
least cost higher, and neither do fewer images: both are sought as the edge of what is affordable. The cheapest devices
are searched for a limited number of steps: what is said to be affordable is, and there may be more.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from dueby_api.errors import Invalid
from dueby_api.objectives import OBJECTIVES, ObjectiveName
from dueby_api.prices import format_amount
from dueby_api.units import MICROS_PER_SECOND
from dueby_planner.model.alternatives import Alternatives
from dueby_planner.model.cheapest import Search, plan_cheapest
from dueby_planner.model.cost import CostLimit, Tariff, micro_units
from dueby_planner.model.plan import Infeasible, Plan
from dueby_planner.model.probability import probability_in_time
from dueby_planner.model.problem import NEVER_US, Problem, find_least, find_least_near

_BOXES = 256
"""How long the cheapest devices are sought for each deadline and each number of images that is tried."""


@dataclass(frozen=True, kw_only=True)
class OverCost(Infeasible):
    """The deadline can be met, and no plan that meets it costs as little as the job may."""

    limit: CostLimit
    least: int
    """What the cheapest plan costs, in millionths of the currency's unit."""
    bound: int
    """No plan in time costs less, in millionths: the same if the cheapest plan is proved to be the cheapest."""
    is_late: bool = False
    """Whether the job's own deadline can't be met anyhow; the problem's is then the earliest possible end."""

    @cached_property
    def alternatives(self) -> Alternatives:
        """An affordable deadline, and how many images are affordable by the job's own."""
        problem = self.problem
        first_s = problem.time_us // MICROS_PER_SECOND + 1

        def is_affordable(images: int, time_us: int) -> bool:
            cost = _least_found(problem.about(images=images, time_us=time_us))
            return cost is not None and self.limit.allows(cost)

        earliest_s = find_least_near(
            lambda time_s: is_affordable(problem.images, time_s * MICROS_PER_SECOND),
            first_s,
            near=first_s,
            most=NEVER_US // MICROS_PER_SECOND,
        )
        least_dear = find_least(lambda images: not is_affordable(images, problem.time_us), 1, problem.images)
        return Alternatives(
            earliest_us=None if earliest_s is None else earliest_s * MICROS_PER_SECOND,
            largest_images=least_dear - 1,
            extra_gpus={},
            possible_confidence=None,
        )


def require_prices(
    limit: CostLimit | None, objective: ObjectiveName, tariff: Tariff | None, classes: Sequence[str] = ()
) -> None:
    """Raise Invalid if a job with this limit or objective can't be judged by these prices on these classes."""
    if limit is not None:
        _require_all(limit.origin, "", tariff, classes).require_currency(limit.most, origin=limit.origin)
    if OBJECTIVES[objective].needs_prices:
        _require_all("spec.objective", f"{objective} ", tariff, classes)


def _require_all(origin: str, subject: str, tariff: Tariff | None, classes: Sequence[str]) -> Tariff:
    """Return the prices; raise Invalid, with the field that needs them, if that of any class isn't known."""
    if tariff is None:
        give = "give them with --prices FILE, in a cluster as prices in the chart's values"
        raise Invalid(origin, f"{subject}needs prices; {give}")
    if unpriced := tariff.unpriced(classes):
        names, have, their = (
            ", ".join(unpriced),
            *(("have", "their prices") if len(unpriced) > 1 else ("has", "its price")),
        )
        raise Invalid(
            origin,
            f"{subject}needs a price of every device class that the job may use, and {names} {have} none; add {their} "
            "(--prices FILE, in a cluster prices in the chart's values), or name other classes in spec.gpus.classes",
        )
    return tariff


def within_max_cost(plan: Plan) -> Plan | OverCost:
    """Return the plan, or the cheapest one that ends in time if only that is within the job's limit, or why none is.

    Beside a plan that is late, it is the cheapest one that ends by then.
    """
    limit, problem = plan.problem.cost_limit, plan.problem
    if limit is None or limit.allows(_cost(plan)):
        return plan
    if not plan.is_in_time:
        problem = replace(problem, time_us=plan.finish_at_confidence_us)
    cheapest = plan if plan.cost_bound is not None else plan_cheapest(problem)
    if isinstance(cheapest, Infeasible):
        raise RuntimeError("a plan ends in time, and none of least cost does")
    least = _cost(cheapest)
    if not limit.allows(least):
        bound = least if cheapest.cost_bound is None else cheapest.cost_bound
        return OverCost(
            problem=problem,
            proof=cheapest.proof,
            limit=limit,
            least=least,
            bound=bound,
            is_late=not plan.is_in_time,
        )
    dearer = format_amount(_cost(plan), limit.most.currency)
    allowed = f"{limit.origin} allows ({limit.most.text})"
    replaced = f"the fewest devices cost {dearer}, more than {allowed}: these are the cheapest"
    cheapest = replace(cheapest, warnings=(replaced, *cheapest.warnings))
    if plan.is_in_time:
        return cheapest
    return replace(
        cheapest,
        problem=plan.problem,
        probability=probability_in_time(plan.problem, cheapest.groups, part_size=cheapest.part_size),
        finish_at_confidence_us=plan.finish_at_confidence_us,
    )


def _cost(plan: Plan) -> int:
    """Return what a plan costs, in millionths. Its classes have prices: require_prices() has seen to that."""
    if plan.cost is None:
        raise RuntimeError("a plan of a job with a limit of money has a class without a price")
    return plan.cost.total


def _least_found(problem: Problem) -> int | None:
    """Return the least cost that is found in a few steps, in millionths; None if the deadline can't be met."""
    charges = []
    for way in problem.ways:
        if way.fewest() is not None:
            search = Search(way)
            search.run(_BOXES, patience=1)
            charges += [] if search.crew is None else [search.crew.charge]
    return micro_units(min(charges)) if charges else None
