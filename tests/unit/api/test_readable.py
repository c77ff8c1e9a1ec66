"""What is read of a status that another version has written, or somebody by hand."""

import json
from typing import Any

import pytest

from dueby_api.errors import Invalid
from dueby_api.schema import MAX_EXPLAINED, MAX_WRONG, Raw, decode, decode_readable
from dueby_api.status import JobStatus, read_status

MADE = "2026-11-26T12:00:00Z"
WINDOW = {
    "deviceClass": "cpu-1",
    "engine": "eager",
    "from": MADE,
    "to": MADE,
    "count": 1,
    "miniBatchSize": 8,
    "images": 10,
}


def condition(kind: str, **changes: Any) -> dict[str, Any]:
    return {"type": kind, "status": "True", "reason": "Made", "lastTransitionTime": MADE} | changes


PLAN = {
    "revision": 1,
    "gpus": 1,
    "lowerBound": 1,
    "proof": "ClosedForm",
    "confidence": 0.95,
    "probability": 0.999,
    "partSize": 1,
    "expectedFinish": MADE,
    "finishAtConfidence": MADE,
    "slack": "1s",
    "windows": [WINDOW, WINDOW],
}
WHOLE: dict[str, Any] = {
    "phase": "Succeeded",
    "images": 60,
    "partSize": 20,
    "conditions": [condition("Complete"), condition("Indexed")],
    "plan": PLAN,
}


def read(document: object) -> JobStatus:
    return read_status(JobStatus, Raw(json.dumps(document).encode()))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, {}, id="nothing is wrong"),
        pytest.param({"phase": "Resting"}, {"phase": None}, id="a later version's phase"),
        pytest.param({"images": "sixty", "partSize": -1.5}, {"images": None, "partSize": None}, id="two numbers"),
        pytest.param(
            {"conditions": [condition("Complete"), condition("Indexed", status="Maybe")]},
            {"conditions": [condition("Complete")]},
            id="a condition",
        ),
        pytest.param(
            {"conditions": [{"type": "Complete"}, condition("Indexed"), 5]},
            {"conditions": [condition("Indexed")]},
            id="conditions that lack something",
        ),
        pytest.param({"conditions": "none"}, {"conditions": None}, id="no list of conditions"),
        pytest.param({"conditions": [condition("A")] * 17}, {"conditions": None}, id="too many conditions"),
        pytest.param(
            {"plan": PLAN | {"windows": [WINDOW | {"count": 0}, WINDOW]}},
            {"plan": PLAN | {"windows": [WINDOW]}},
            id="a window of a plan",
        ),
        pytest.param({"plan": PLAN | {"solveMicros": "few"}}, {}, id="what a plan can do without"),
        pytest.param({"plan": PLAN | {"gpus": "one"}}, {"plan": None}, id="what a plan can't do without"),
        pytest.param({"alternatives": {"extraGPUs": {"a.b": "one"}}}, {"alternatives": {}}, id="a value of a mapping"),
    ],
)
def test_a_wrong_field_costs_that_field(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    wanted = {name: value for name, value in (WHOLE | expected).items() if value is not None}
    assert read(WHOLE | changes) == decode_readable(JobStatus, Raw(json.dumps(wanted).encode()))
    assert read(wanted).document().items() >= {"phase": wanted.get("phase", "Pending")}.items()


@pytest.mark.parametrize("document", [[], "done", 5], ids=str)
def test_what_is_no_status_is_refused(document: object) -> None:
    with pytest.raises(Invalid, match="expected a mapping"):
        read(document)


def test_no_status_is_an_empty_one() -> None:
    assert read(None) == read({}) == JobStatus()


def test_of_very_much_that_is_wrong_nothing_is_believed() -> None:
    with pytest.raises(Invalid, match="groups"):
        read(WHOLE | {"plan": PLAN | {"groups": [{}] * (MAX_WRONG + 1)}})


def test_a_long_status_of_a_later_version_costs_the_field_that_it_knows_too() -> None:
    """It is explained without a second reading, so that what was found instead isn't known."""
    text = json.dumps({**WHOLE, "phase": "Resting", "ownWords": "x" * (MAX_EXPLAINED + 1)}).encode()
    with pytest.raises(Invalid, match=r"^phase: must be one of Pending, .*, Failed$"):
        decode(JobStatus, text)
    status = read_status(JobStatus, Raw(text))
    assert (status.phase, status.images) == (JobStatus().phase, 60)
