"""The section of other devices and deadlines: the bill beside what was expected, and the curve of the run's record."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from dueby.planned_curve import curve_answer
from dueby_planner.model.cost import Price, Tariff
from dueby_planner.model.curve import curve_of
from support.planner import choice, group, problem
from support.report import edit
from support.report_page import page_of, run_of, words_of
from support.simulation import SampleRun

COST = {
    "currency": "EUR",
    "total": 0.2,
    **dict.fromkeys(("startUp", "work", "waiting", "idle", "rounding"), 0.04),
    "cheapestClass": {"deviceClass": "cpu-2", "gpus": 1, "total": 0.15, "expectedSeconds": 61.0},
    "allDevices": {"gpus": 9, "total": 0.3, "expectedSeconds": 9.0},
}


def curve() -> dict[str, Any]:
    asked = problem(group(choice(8, 500_000, 2_000_000), count=4), images=160, time=9_000_000, confidence=0.95)
    priced = replace(asked, tariff=Tariff(currency="EUR", prices={"a": Price(hourly=10**6)}))
    answer = curve_answer("small", curve_of(priced, points=5))
    return json.loads(json.dumps(answer.document()))  # type: ignore[no-any-return]


def with_cost(sample: SampleRun, planned: dict[str, Any], **summary: Any) -> SampleRun:
    (first,) = sample.files["plan.json"]["revisions"]
    priced = {**first, "atSeconds": 2.0, "plan": {**first["plan"], "cost": planned}}
    return edit(edit(sample, "plan.json", revisions=[priced]), "summary.json", **summary)


def rows_of(page: str) -> list[list[str]]:
    section = page.partition("Other devices and other deadlines")[2].partition("</section>")[0]
    rows = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row) for row in section.split("<tr>")[1:]]
    return [[words_of(f"</head>{cell}").strip() for cell in row] for row in rows]


def test_the_bill_is_beside_the_plan_one_class_alone_and_all_devices(small: SampleRun) -> None:
    assert rows_of(page_of(run_of(with_cost(small, COST, cost="0.25 EUR")))) == [
        ["", "CPU slices", "cost", "finish"],
        ["this run", "2", "0.25 EUR", "23.2s"],
        ["its plan", "2", "0.200 EUR", "22.8s"],
        ["cpu-2 alone, the cheapest class", "1", "0.150 EUR", "1m03s"],
        ["all devices at once", "9", "0.300 EUR", "11s"],
    ]


def test_what_is_not_known_has_no_row(small: SampleRun) -> None:
    cost = {**COST, "cheapestClass": None, "allDevices": None}
    assert [row[0] for row in rows_of(page_of(run_of(with_cost(small, cost))))] == ["", "its plan"]
    assert "Other devices" not in page_of(run_of(small))


def test_the_curve_of_the_record_is_drawn(small: SampleRun) -> None:
    page = page_of(run_of(edit(small, "summary.json", curve=curve())))
    assert not rows_of(page)
    words = words_of(page)
    assert "small: 160 images, at confidence 0.95" in words
    assert "Cost, EUR" in words
    assert "deadline 9.0s" in words


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"deadlineSeconds": -1.0}, id="no time"),
        pytest.param({"images": 0}, id="no image"),
        pytest.param({"alone": {"a": {"gpus": 0}}}, id="no device"),
        pytest.param({"fewest": {"gpus": 1, "cost": -1.0}}, id="a cost below zero"),
    ],
)
def test_a_point_that_no_axis_has_makes_the_summary_unreadable(small: SampleRun, changes: dict[str, Any]) -> None:
    document = curve()
    document["points"][0] |= changes
    run = run_of(edit(small, "summary.json", curve=document))
    assert [note.partition(" (")[0] for note in run.notes] == ["summary.json can't be read"]
    assert page_of(run)
