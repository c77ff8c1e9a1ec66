"""`dueby.curve` and `dueby.plan(prices=...)`: what the command prints, as objects, a frame and a picture."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

import dueby
from dueby.cli.main import main
from dueby_api.errors import Invalid
from support.planner import A100, job_document, profile_document
from support.report_page import framed_page, words_of

JOB = job_document(images=1_000_000, deadline="1m")


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Any]:
    """Eight A100 with their profile and price."""
    documents = {
        "a100": profile_document(),
        "job": JOB,
        "prices": {"prices": {"currency": "EUR", "classes": [{"class": A100, "perHour": 3.6}]}},
    }
    for name, document in documents.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(document))
    return {"profiles": tmp_path / "a100.yaml", "prices": tmp_path / "prices.yaml", "pool": {A100: 8}}


@pytest.fixture
def printed(inputs: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """What the command prints as JSON, with these further options."""
    options = ["--profiles", str(inputs["profiles"]), "--prices", str(inputs["prices"]), "--pool", f"{A100}=8"]

    def call(*more: str) -> Any:
        assert main(["plan", "-f", str(tmp_path / "job.yaml"), *options, "-o", "json", *more]) == 0
        return json.loads(capsys.readouterr().out)

    return call


def test_a_plan_with_prices_has_the_cost_and_its_causes(inputs: dict[str, Any], printed: Any) -> None:
    cost = dueby.plan(JOB, **inputs).cost
    assert cost
    assert cost.complete_document() == printed()["cost"]
    assert cost.total == pytest.approx(cost.start_up + cost.work + cost.waiting + cost.idle + cost.rounding)
    assert "Cost: " in words_of(framed_page(dueby.plan(JOB, **inputs)))
    assert dueby.plan(JOB, **{**inputs, "prices": ()}).cost is None


@pytest.mark.parametrize("over", ["time", "images"])
def test_a_curve_is_the_one_that_the_command_prints(inputs: dict[str, Any], printed: Any, over: Any) -> None:
    document = dueby.curve(JOB, over=over, **inputs).complete_document()
    assert json.loads(json.dumps(document)) == printed("--curve", over)


def test_a_frame_has_a_row_for_each_point_and_a_notebook_the_picture(inputs: dict[str, Any]) -> None:
    curve = dueby.curve(JOB, **inputs)
    frame = curve.to_pandas()
    assert len(frame) == len(curve.points)
    (asked,) = frame[frame.deadline_seconds == 60].to_dict("records")
    assert asked["gpus"] == dueby.plan(JOB, **inputs).gpus == asked[f"{A100}_gpus"]
    assert asked["lower_bound"] <= asked["cheapest_cost"] <= asked["cost"] == asked[f"{A100}_cost"]
    assert ElementTree.fromstring(curve.svg).tag.endswith("svg")
    page = framed_page(curve)
    assert curve.svg in page
    assert "(asked for)" in words_of(page)


def test_what_is_never_possible_has_no_point(inputs: dict[str, Any]) -> None:
    never = dueby.curve(job_document(images=1_000_000, gpus={"maxIterations": 0}), **inputs)
    assert not never.points
    assert never.to_pandas().empty
    assert "is enough, whatever is asked for" in words_of(framed_page(never))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        pytest.param({"over": "money"}, "over: must be one of time, images, but is 'money'", id="over what"),
        pytest.param({"prices": 3}, "prices: must be a path or a sequence of paths", id="a number of prices"),
        pytest.param({"prices": (), "region": "x"}, "--region: is about prices", id="a region without prices"),
    ],
)
def test_what_makes_no_sense_is_refused(inputs: dict[str, Any], options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Invalid, match=sentence):
        dueby.curve(JOB, **(inputs | options))
