"""Plan a problem for its objective, by the planner that the table of objectives names."""

from typing import cast

from dueby_api.objectives import OBJECTIVES
from dueby_api.references import resolve
from dueby_planner.model.plan import Infeasible, Plan
from dueby_planner.model.problem import Problem


def make_plan(problem: Problem) -> Plan | Infeasible:
    """Return the best plan for the problem's objective, or the proof that there is none, with alternatives."""
    plan = resolve(OBJECTIVES[problem.objective].planner)
    return cast(Plan | Infeasible, plan(problem))
