"""The objectives: a problem is planned by the function that its objective names in the table dueby_api/objectives.py.

A new objective is an entry of that table, a file here with a function Problem -> Plan | Infeasible, and its test. No
other code asks which objective a job has.
"""

from typing import cast

from dueby_api.objectives import OBJECTIVES
from dueby_api.references import resolve
from dueby_planner.model.plan import Infeasible, Plan
from dueby_planner.model.problem import Problem


def make_plan(problem: Problem) -> Plan | Infeasible:
    """Return the best plan for the problem's objective, or the proof that there is none, with alternatives."""
    # Resolving takes 2 us, and a plan milliseconds: nothing is kept.
    plan = resolve(OBJECTIVES[problem.objective].planner)
    return cast(Plan | Infeasible, plan(problem))
