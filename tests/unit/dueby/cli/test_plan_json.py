"""`dueby plan -o json` to the letter: field names, figures, exit codes, what is null."""

import json
import re
from math import hypot, sqrt
from statistics import NormalDist

import pytest
import yaml

from support.plan_command import Plan, profile
from support.planner import A100, profile_document, step_document

FIELDS = [
    "feasible",
    "gpus",
    "lowerBound",
    "proof",
    "confidence",
    "probability",
    "partSize",
    "images",
    "planned",
    "expectedSeconds",
    "slackSeconds",
    "groups",
    "alternatives",
    "warnings",
]
GROUP_FIELDS = ["deviceClass", "engine", "count", "miniBatchSize", "iterations"]
ALTERNATIVES = ["earliestDeadlineSeconds", "largestImages", "extraGPUs", "possibleConfidence"]
TIMES = re.compile(r"(expectedSeconds|slackSeconds|earliestDeadlineSeconds)\"?: (\S+?),?$", re.MULTILINE)


def test_a_plan_has_the_fields_that_are_promised_and_no_others(plan: Plan) -> None:
    code, out, err = plan("-o", "json")
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert list(document) == FIELDS
    assert [list(row) for row in document["groups"]] == [GROUP_FIELDS]


def test_the_figures_of_the_study_s_own_model_are_those_on_paper(plan: Plan) -> None:
    # In 10 s each does 1 + floor(9.1 s / 14 ms) = 651 mini-batches: 4 do 166,656 images, 5 do 208,320. In a second each
    # does 71, so parts of 4,096: 10 of them each, which 640 mini-batches hold. At z a start takes z / 1.645 x 90 ms
    # more and x of steps z / 100 x more: with 3 mini-batches less, 207,360 images are 2.70 sigma above N, so z may be
    # what makes it 3, where 647 steps take (1 + z / 100) x; with 4 less, they would be 2.58 sigma above N.
    _, out, _ = plan("-o", "json", confidence=0.5)
    z = NormalDist().inv_cdf(json.loads(out)["probability"])
    assert [(320 * m - 200_000) / hypot(0.01 * 200_000, 0.02 * sqrt(5) * 64 * m) > z for m in (648, 647)] == [
        True,
        False,
    ]
    x = 647 * 0.014 / (1 + z / 100)
    assert x + hypot(z / NormalDist().inv_cdf(0.95) * 0.09, z / 100 * x) == pytest.approx(9.1, abs=1e-6)
    assert json.loads(out) == {
        "feasible": True,
        "gpus": 5,
        "lowerBound": 5,
        "proof": "ClosedForm+CBC",
        "confidence": 0.5,
        "probability": pytest.approx(0.9965, abs=5e-5),
        "partSize": 4_096,
        "images": 200_000,
        "planned": 200_000,
        "expectedSeconds": 9.636,  # 0.9 s + 624 x 14 ms
        "slackSeconds": 0.154,  # 640 mini-batches take 9.846 s
        "groups": [{"deviceClass": A100, "engine": "cudagraph", "count": 5, "miniBatchSize": 64, "iterations": 624}],
        "alternatives": None,
        "warnings": [],
    }


def test_the_expected_finish_is_of_the_medians_and_the_slack_at_the_confidence(plan: Plan) -> None:
    document = json.loads(plan("-o", "json", images=100_000)[1])
    (row,) = document["groups"]
    assert document["confidence"] == 0.95
    assert document["planned"] == row["count"] * (row["iterations"] + 1) * 64 >= 100_000
    assert document["expectedSeconds"] == 0.9 + row["iterations"] * 0.014
    assert 0 <= document["slackSeconds"] < 10 - document["expectedSeconds"]


@pytest.mark.parametrize("output", ["json", "yaml"])
@pytest.mark.parametrize("deadline", ["10s", "3s"], ids=["in time", "late"])
def test_times_are_seconds_to_the_microsecond(plan: Plan, output: str, deadline: str) -> None:
    _, out, _ = plan("-o", output, deadline=deadline)
    times = [time for _, time in TIMES.findall(out) if time != "null"]
    assert len(times) == (2 if deadline == "10s" else 3)
    assert all(re.fullmatch(r"-?\d+\.\d{1,6}", time) for time in times)


@pytest.mark.parametrize("deadline", ["10s", "3s"], ids=["in time", "late"])
def test_yaml_says_the_same_as_json(plan: Plan, deadline: str) -> None:
    assert yaml.safe_load(plan("-o", "yaml", deadline=deadline)[1]) == json.loads(
        plan("-o", "json", deadline=deadline)[1]
    )


def test_the_deadline_class_gives_the_confidence_where_the_job_does_not(plan: Plan) -> None:
    assert json.loads(plan("-o", "json", deadlineClass="Hard", images=100_000)[1])["confidence"] == 0.99


def test_warnings_are_in_the_document_and_not_on_stderr(plan: Plan) -> None:
    _, out, err = plan("-o", "json", profiles=[profile(startupMicros=None)])
    (warning,) = json.loads(out)["warnings"]
    assert "no start-up time; 0 is assumed" in warning
    assert err == ""


# ---- infeasible


def test_a_hard_job_that_can_not_be_met_has_alternatives_instead_of_a_plan(plan: Plan) -> None:
    code, out, err = plan("-o", "json", images=400_000, deadlineClass="Hard", confidence=0.5)
    document = json.loads(out)
    assert (code, err) == (3, "")
    assert list(document) == FIELDS
    assert document["feasible"] is False
    nulls = ("gpus", "lowerBound", "planned", "probability", "expectedSeconds", "slackSeconds")
    assert all(document[field] is None for field in nulls)
    assert document["groups"] == []
    assert document["proof"] == "ClosedForm+CBC"
    assert list(document["alternatives"]) == ALTERNATIVES
    assert document["alternatives"] == {
        "earliestDeadlineSeconds": 11.834,  # 0.9 s + 781 x 14 ms
        "largestImages": 8 * 651 * 64,
        "extraGPUs": {A100: 2},
        "possibleConfidence": None,
    }


@pytest.mark.parametrize("deadline_class", ["Soft", "Relaxed"])
def test_a_soft_or_relaxed_one_prints_the_plan_that_ends_earliest_too(plan: Plan, deadline_class: str) -> None:
    code, out, _ = plan("-o", "json", images=400_000, deadlineClass=deadline_class, confidence=0.5)
    document = json.loads(out)
    assert code == 3
    assert document["feasible"] is False
    assert document["gpus"] == sum(row["count"] for row in document["groups"]) == 8
    assert document["alternatives"]["earliestDeadlineSeconds"] == 11.834
    assert document["slackSeconds"] == -1.834
    assert document["probability"] < 0.5


def test_best_effort_has_no_late_plan(plan: Plan) -> None:
    code, out, _ = plan("-o", "json", images=400_000, deadlineClass="BestEffort")
    assert code == 3
    assert json.loads(out)["groups"] == []


def test_what_no_deadline_and_no_confidence_would_help_is_null(plan: Plan) -> None:
    _, out, _ = plan("-o", "json", images=400_000, gpus={"maxIterations": 9})
    found = json.loads(out)["alternatives"]
    assert found["earliestDeadlineSeconds"] is None
    assert found["possibleConfidence"] is None


def test_where_only_the_exact_mode_fits_the_possible_confidence_is_a_half(plan: Plan) -> None:
    _, out, _ = plan("-o", "json", images=8 * 651 * 64)
    assert json.loads(out)["alternatives"]["possibleConfidence"] == 0.5


def test_a_class_of_which_no_number_would_do_is_null(plan: Plan) -> None:
    slow = profile_document(name="slow", device_class="slow", steps=[step_document(64, 14_000, 60_000_000)])
    document = json.loads(
        plan("-o", "json", "--pool", "slow=3", profiles=[profile(), slow], images=400_000, confidence=0.5)[1]
    )
    assert document["alternatives"]["extraGPUs"] == {A100: 2, "slow": None}


def test_a_deadline_below_the_warm_up_is_infeasible_and_no_error(plan: Plan) -> None:
    code, out, _ = plan("-o", "json", images=1, deadline="100ms", deadlineClass="Hard")
    assert code == 3
    late_s = 0.09 * NormalDist().inv_cdf(0.99) / NormalDist().inv_cdf(0.95)  # Hard is 0.99, and W was 90 ms more at p95
    assert json.loads(out)["alternatives"]["earliestDeadlineSeconds"] == pytest.approx(0.9 + late_s, abs=1e-6)
