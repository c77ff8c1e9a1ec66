"""The table of objectives: each entry is planned by the function that it names, and no other code knows its name."""

import ast
from typing import get_args, get_type_hints

import pytest

from dueby_api.objectives import OBJECTIVES, ObjectiveName
from dueby_api.references import resolve
from dueby_planner.deadline_classes import make_plan
from dueby_planner.model.cost import Price, Tariff
from dueby_planner.model.plan import Infeasible, Plan
from dueby_planner.model.problem import Problem
from support.planner import choice, group, problem
from support.source_tree import PACKAGES, REPOSITORY

TABLE = "api/dueby_api/objectives.py"
# Where an objective may be named besides the table: as what a job and a problem have if they name none.
DEFAULTS = {"api/dueby_api/inference_job.py", "planner/dueby_planner/model/problem.py"}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_names_a_function_from_a_problem_to_a_plan(name: ObjectiveName) -> None:
    planner = resolve(OBJECTIVES[name].planner)
    hints = get_type_hints(planner)
    assert hints.pop("return") == Plan | Infeasible
    assert list(hints.values()) == [Problem]


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize(("images", "kind"), [(40, Plan), (41, Infeasible)])
def test_every_objective_has_a_plan_or_says_that_there_is_none(name: ObjectiveName, images: int, kind: type) -> None:
    tariff = Tariff(currency="USD", prices={"a": Price(hourly=1)})
    found = make_plan(problem(group(choice(10, 10), count=2), images=images, time=19, objective=name, tariff=tariff))
    assert isinstance(found, kind)
    assert found.problem.objective == name


def test_the_names_in_the_schema_are_those_of_the_table() -> None:
    assert get_args(ObjectiveName) == tuple(OBJECTIVES)
    assert [entry.name for entry in OBJECTIVES.values()] == list(OBJECTIVES)


def test_a_new_objective_touches_only_the_table_its_own_file_and_its_test() -> None:
    naming = {
        str(path.relative_to(REPOSITORY))
        for package in PACKAGES.values()
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in OBJECTIVES
    }
    assert naming - DEFAULTS == {TABLE}
