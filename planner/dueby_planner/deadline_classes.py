"""The deadline policies: what each deadline class does with a job, given what the pool can do. One table, _ACTIONS.

A new deadline policy is a new row of that table, its name in `DeadlineClass` (dueby_api/inference_job.py), and its row
in the test's table. `judge` and everything that calls it stay as they are, unless the policy needs a new action.

With A the images that the devices which are free now can do, B the same including the devices that come free in time,
both at the job's confidence, and B50 the same as B at the confidence 0.5:

               A >= N   A < N <= B   B < N <= B50   N > B50
    Hard       Start    Reserve      Refuse         Refuse
    Soft       Start    Reserve      StartLate      StartLate
    Relaxed    Start    Hold         StartLate      StartLate
    BestEffort Start    Wait         Wait           Wait

Every class starts a job that the free devices can do in time, so the table below has no column for it. The last two
columns are one, because they differ only in the alternatives that are offered. A job whose plan would cost more than
spec.maxCost is refused, whatever its class (model/max_cost.py).

A problem is planned by the function that its objective names in the table dueby_api/objectives.py. No other code asks
which objective a job has.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Annotated, Literal, cast

from dueby_api.inference_job import DeadlineClass
from dueby_api.objectives import OBJECTIVES
from dueby_api.references import resolve
from dueby_api.schema import Duration, Meta, Spec, field, require_duration
from dueby_api.units import parse_duration_us
from dueby_planner.model.max_cost import OverCost, require_prices, within_max_cost
from dueby_planner.model.plan import Infeasible, Plan, plan_earliest
from dueby_planner.model.problem import NEVER_US, Problem

# In place of a namespace: those that are not named.
ANY_NAMESPACE = "*"
Action = Literal["Start", "Reserve", "Hold", "StartLate", "Refuse", "Wait"]

# What to do if the devices that come free in time are enough, and if they are not.
_ACTIONS: Mapping[DeadlineClass, tuple[Action, Action]] = {
    "Hard": ("Reserve", "Refuse"),
    "Soft": ("Reserve", "StartLate"),
    "Relaxed": ("Hold", "StartLate"),
    "BestEffort": ("Wait", "Wait"),
}


def make_plan(problem: Problem) -> Plan | Infeasible:
    """Return the best plan for the problem's objective, or the proof that there is none, with alternatives.

    One that costs more than the job may gives way to the cheapest.
    """
    # Resolving takes 2 us, and a plan milliseconds: nothing is kept.
    plan = resolve(OBJECTIVES[problem.objective].planner)
    answer = cast(Plan | Infeasible, plan(problem))
    return within_max_cost(answer) if isinstance(answer, Plan) else answer


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What to do with the job now."""

    action: Action
    """Start: start it now. Reserve: keep devices for it, so that it starts in time. Hold: keep the reservation, and
    start no earlier than needed. StartLate: start the plan that ends earliest, although it will be late. Refuse and
    Wait: start nothing."""
    plan: Plan | None = None
    """The plan to start or to reserve devices for."""
    infeasible: Infeasible | None = None
    """Why the deadline can't be met, and what could be asked for instead."""


def judge(problem: Problem, deadline_class: DeadlineClass, *, slower: Fraction = Fraction(0)) -> Verdict:
    """Return what the class does with the job. The pool must hold no device that another job has reserved.

    A job that will be late may end later than the earliest by the share `slower`, for the sake of fewer devices.
    One that has no plan within its limit of money is refused, whatever its class. Raise Invalid if its limit or its
    objective can't be judged by the prices that there are.
    """
    classes = [group.device_class for group in problem.pool.groups if group.count]
    require_prices(problem.cost_limit, problem.objective, problem.tariff, classes)
    free = tuple(group for group in problem.pool.groups if group.available_us == 0)
    idle = replace(problem, pool=replace(problem.pool, groups=free))
    is_enough = idle.fewest() is not None
    answer = make_plan(idle if is_enough else problem)
    if is_enough and isinstance(answer, OverCost) and free != problem.pool.groups:
        # Devices that come free later may cost less.
        is_enough, answer = False, make_plan(problem)
    if isinstance(answer, OverCost):
        return Verdict(action="Refuse", infeasible=answer)
    in_time, too_late = _ACTIONS[deadline_class]
    if isinstance(answer, Plan):
        return Verdict(action="Start" if is_enough else in_time, plan=answer)
    if too_late == "StartLate":
        earliest = plan_earliest(problem, slower=slower)
        late = None if earliest is None else within_max_cost(earliest)
        if isinstance(late, OverCost):
            return Verdict(action="Refuse", infeasible=late)
        return Verdict(action=too_late, plan=late, infeasible=answer)
    return Verdict(action=too_late, infeasible=answer)


class Promises(Spec, frozen=True, kw_only=True):
    """What may be promised to jobs. By default everything, as on one machine."""

    horizon: Duration | None = None
    """Beyond this time from now nothing is promised to a Hard job; None: no limit."""
    max_share: Annotated[float, Meta(gt=0, le=1)] = 1.0
    """How much of a device class Hard jobs of one namespace may have and have reserved at a time."""
    classes: dict[str, tuple[DeadlineClass, ...]] = field(default_factory=dict)
    """By namespace, the deadline classes of its jobs; `*`: of namespaces that are not named. Without either all."""

    def __post_init__(self) -> None:
        require_duration("horizon", self.horizon)

    @property
    def horizon_us(self) -> int:
        """The horizon in microseconds; NEVER_US if there is none."""
        return NEVER_US if self.horizon is None else parse_duration_us(self.horizon)

    def classes_of(self, namespace: str) -> tuple[DeadlineClass, ...]:
        """Return the deadline classes that jobs of the namespace may have; empty: any."""
        return self.classes.get(namespace, self.classes.get(ANY_NAMESPACE, ()))


NO_LIMITS = Promises()
