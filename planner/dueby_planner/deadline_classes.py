"""What each deadline class does with a job, given what the pool can do.

With A what the devices that are free now can do, B with those that come free in time, both at the job's confidence,
and B50 the same at 0.5:

               A >= N   A < N <= B   B < N <= B50   N > B50
    Hard       Start    Reserve      Refuse         Refuse
    Soft       Start    Reserve      StartLate      StartLate
    Relaxed    Start    Hold         StartLate      StartLate
    BestEffort Start    Wait         Wait           Wait
"""

from dataclasses import dataclass, replace
from typing import Literal

from dueby_api.inference_job import DeadlineClass
from dueby_planner.model.plan import Infeasible, Plan, plan_earliest
from dueby_planner.model.problem import Problem
from dueby_planner.objectives import make_plan

Action = Literal["Start", "Reserve", "Hold", "StartLate", "Refuse", "Wait"]

# Of each class: what to do when the devices that come free in time are enough, and when they are not.
_ACTIONS: dict[DeadlineClass, tuple[Action, Action]] = {
    "Hard": ("Reserve", "Refuse"),
    "Soft": ("Reserve", "StartLate"),
    "Relaxed": ("Hold", "StartLate"),
    "BestEffort": ("Wait", "Wait"),
}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What to do with the job now."""

    action: Action
    """Start: now. Reserve: devices are kept and the start is in time. Hold: the reservation is kept, the start is no
    earlier than needed. StartLate: the plan that ends earliest is started, though late. Refuse and Wait: nothing is."""
    plan: Plan | None = None
    """The plan that is started or reserved."""
    infeasible: Infeasible | None = None
    """Why the deadline can't be met, and what could."""


def judge(problem: Problem, deadline_class: DeadlineClass) -> Verdict:
    """The verdict of the class; the pool holds no device that another job has reserved."""
    free = tuple(group for group in problem.pool.groups if group.available_us == 0)
    idle = replace(problem, pool=replace(problem.pool, groups=free))
    is_enough = idle.fewest() is not None
    answer = make_plan(idle if is_enough else problem)
    in_time, too_late = _ACTIONS[deadline_class]
    if isinstance(answer, Plan):
        return Verdict(action="Start" if is_enough else in_time, plan=answer)
    if too_late == "StartLate":
        return Verdict(action=too_late, plan=plan_earliest(problem), infeasible=answer)
    return Verdict(action=too_late, infeasible=answer)
