"""`dueby plan --compare`: what a job takes and costs on each of several fleets."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.plan_command import Plan, profile
from support.planner import A100, step_document

L4 = "NVIDIA-L4"
# Half as fast as the A100, and a quarter of its price.
BOTH = [profile(), {**profile(deviceClass=L4, steps=[step_document(64, 28_000, 990_000, p50=900_000)])}]
BOTH[1]["metadata"] = {"name": "l4"}


@pytest.fixture
def prices(tmp_path: Path) -> str:
    classes = [{"class": A100, "perHour": 4}, {"class": L4, "perHour": 1}]
    (tmp_path / "prices.yaml").write_text(yaml.safe_dump({"prices": {"currency": "EUR", "classes": classes}}))
    return str(tmp_path / "prices.yaml")


def compared(plan: Plan, *options: str, **spec: Any) -> tuple[int, list[dict[str, Any]]]:
    code, out, err = plan("-o", "json", *options, profiles=BOTH, **spec)
    assert out, err
    return code, json.loads(out)["fleets"]


def test_each_fleet_has_its_plan_and_the_cheapest_is_marked(plan: Plan, prices: str, tmp_path: Path) -> None:
    file = tmp_path / "l4.yaml"
    file.write_text(yaml.safe_dump({"classes": [{"name": L4, "count": 16}]}))
    code, fleets = compared(plan, "--prices", prices, "--compare", str(file), f"{L4}=1", f"{A100}=1,{L4}=12")
    assert code == 0
    assert [(fleet["fleet"], fleet["devices"]) for fleet in fleets] == [
        (f"{A100}=8", {A100: 8}),
        (str(file), {L4: 16}),
        (f"{L4}=1", {L4: 1}),
        (f"{A100}=1,{L4}=12", {A100: 1, L4: 12}),
    ]
    assert [(fleet["plan"]["feasible"], fleet["cheapest"]) for fleet in fleets] == [
        (True, False),
        (True, True),
        (False, False),
        (True, False),
    ]
    alone = json.loads(plan("-o", "json", "--prices", prices, profiles=BOTH, pool=str(file))[1])
    for name in ("gpus", "groups", "cost", "slackSeconds"):
        assert fleets[1]["plan"][name] == alone[name]


def test_people_read_a_row_for_each_fleet_and_why_some_are_too_small(
    plan: Plan, prices: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    code, out, _ = plan("--compare", f"{L4}=12", f"{L4}=1", "--prices", prices, profiles=BOTH, deadlineClass="Hard")
    rows = [line.split() for line in out.splitlines()]
    assert code == 0
    assert rows[0] == ["FLEET", "DEVICES", "CLASSES", "FINISH", "COST", "DEADLINE"]
    assert rows[2][:6] == [f"{L4}=12", "10", "of", "12", "10", L4]
    assert "(cheapest)" in rows[2]
    assert rows[3] == [f"{L4}=1", "none", "infeasible"]
    assert f"{L4}=1: infeasible: 1 GPU can do at most" in " ".join(out.split())
    assert "COST" not in plan("--compare", f"{L4}=12", profiles=BOTH)[1]


def test_where_no_fleet_is_enough_the_code_is_3(plan: Plan) -> None:
    code, fleets = compared(plan, "--compare", f"{L4}=1", f"{L4}=2", pool=None)
    assert (code, [fleet["cheapest"] for fleet in fleets]) == (3, [False, False])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        pytest.param(["--compare", "x"], "--compare: 'x' is not of the form CLASS=COUNT", id="no fleet"),
        pytest.param(["--compare", "X=1"], "for device class X; there are profiles of", id="no profile"),
        pytest.param(["--compare", "X=1"], "(fleet X=1)", id="the fleet is named"),
        pytest.param(["--compare", f"{A100}=1", "--curve"], "--compare: is a table, or json or yaml", id="a curve"),
        pytest.param(["--compare", f"{A100}=1", "-o", "html"], "--compare: is a table, or json or yaml", id="a page"),
    ],
)
def test_what_cannot_be_compared_is_refused(plan: Plan, options: list[str], sentence: str) -> None:
    code, out, err = plan(*options)
    assert (code, out) == (2, "")
    assert sentence in " ".join(err.split())


def test_devices_that_come_and_go_are_not_compared(plan: Plan, tmp_path: Path) -> None:
    file = tmp_path / "nights.yaml"
    nights = [{"class": A100, "count": 8, "weekly": {"days": "*", "start": "00:00", "hours": 23}}]
    file.write_text(yaml.safe_dump({"capacity": nights}))
    assert "has capacity or nodePools; compare fleets of classes alone" in plan("--compare", str(file))[2]
    assert "--compare: takes one job at a time" in plan("--compare", f"{A100}=1", pool=str(file))[2]
