"""`dueby plan` to the letter: field names, exit codes, what is on stdout, and the table that people read."""

import io
import json
import re
from collections.abc import Callable
from math import hypot, sqrt
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pytest
import yaml
from rich.console import Console

from dueby.cli.main import main
from dueby.cli.plan_table import CLAIM, print_plan
from dueby_api.input_cost import InputCost
from dueby_planner.deadline_classes import judge
from support.planner import A100, choice, group, job_document, problem, profile_document, step_document

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

Plan = Callable[..., tuple[int, str, str]]


@pytest.fixture
def plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Plan:
    """Call `dueby plan` on a job with these fields and return exit code, stdout and stderr.

    By default there are eight A100 that do 64 images in 14 ms after a first 900 ms (990 at p95), and no start-up.
    """

    def call(
        *options: str, profiles: list[dict[str, Any]] | None = None, pool: str | None = f"{A100}=8", **spec: Any
    ) -> tuple[int, str, str]:
        folder = tmp_path / "profiles"
        folder.mkdir(exist_ok=True)
        for number, document in enumerate([profile()] if profiles is None else profiles):
            (folder / f"{number}.yaml").write_text(yaml.safe_dump(document))
        path = tmp_path / "job.yaml"
        path.write_text(yaml.safe_dump(job_document(**({"images": 200_000, "deadline": "10s"} | spec))))
        words = ["plan", "-f", str(path), "--profiles", str(folder), *(["--pool", pool] if pool else []), *options]
        code = main(words)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def profile(**spec: Any) -> dict[str, Any]:
    """The profile of those A100."""
    fields: dict[str, Any] = {
        "startupMicros": {"p50": 0, "p95": 0},
        "spread": {"run": 0.01, "node": 0.02},
        "steps": [step_document(64, 14_000, 990_000, p50=900_000)],
    } | spec
    return profile_document(**fields)


# ---- -o json


def test_a_plan_has_the_fields_that_are_promised_and_no_others(plan: Plan) -> None:
    code, out, err = plan("-o", "json")
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert list(document) == FIELDS
    assert [list(row) for row in document["groups"]] == [GROUP_FIELDS]


def test_the_figures_of_the_study_s_own_model_are_those_on_paper(plan: Plan) -> None:
    # In 10 s each does 1 + floor(9.1 s / 14 ms) = 651 mini-batches: 4 do 166,656 images, 5 do 208,320. 1 % of 40,000 is
    # 400, so parts of 256: 157 of them each, which 628 mini-batches hold. At z a start takes z / 1.645 x 90 ms more and
    # x of steps z / 100 x more: with 3 mini-batches less, 207,360 images are 2.70 sigma above N, so z may be what makes
    # it 3, where 647 steps take (1 + z / 100) x; with 4 less, they would be 2.58 sigma above N.
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
        "partSize": 256,
        "images": 200_000,
        "planned": 200_000,
        "expectedSeconds": 9.636,  # 0.9 s + 624 x 14 ms
        "slackSeconds": 0.322,
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


# ---- where things come from


def test_the_job_is_read_from_standard_input_where_the_file_is_a_dash(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan()
    monkeypatch.setattr("sys.stdin", io.StringIO(yaml.safe_dump(job_document(images=1_000))))
    options = ["--profiles", str(tmp_path / "profiles"), "--pool", f"{A100}=8", "-o", "json"]
    assert main(["plan", "-f", "-", *options]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 1_000


def test_a_deadline_time_counts_from_now(plan: Plan) -> None:
    _, out, _ = plan("-o", "json", deadline=None, deadlineTime="2999-01-01T00:00:00Z")
    assert json.loads(out)["slackSeconds"] > 900 * 365 * 86_400


def test_a_class_s_own_profile_wins_over_its_nodes(plan: Plan) -> None:
    slower = profile(name="on-a", device={"node": "a"}, steps=[step_document(8, 14_000, 990_000)])
    document = json.loads(plan("-o", "json", profiles=[slower, profile()])[1])
    assert document["groups"][0]["miniBatchSize"] == 64


def test_several_nodes_profiles_are_one_class(plan: Plan) -> None:
    nodes = [profile(name=f"on-{node}", device={"node": node}) for node in "ab"]
    code, out, _ = plan("-o", "json", profiles=nodes)
    assert code == 0
    assert [row["deviceClass"] for row in json.loads(out)["groups"]] == [A100]


def test_another_image_size_is_planned_on_a_prediction_that_is_marked(plan: Plan) -> None:
    code, out, _ = plan("-o", "json", images=50_000, model={"imageSize": 256})
    document = json.loads(out)
    assert code == 0
    assert any("is predicted from a100, at 224 px, and was not measured" in told for told in document["warnings"])
    assert plan("-o", "json", model={"imageSize": 512})[0] == 2


def test_a_folder_of_profiles_may_hold_other_things(plan: Plan, tmp_path: Path) -> None:
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "notes.md").write_text("# notes")
    (folder / "job.yaml").write_text(yaml.safe_dump(job_document()))
    assert plan()[0] == 0


def test_a_list_as_kubectl_prints_it_is_read(plan: Plan) -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": [profile()]}
    single, _, _ = plan("-o", "json", profiles=[profile()])
    listed_too, _, _ = plan("-o", "json", profiles=[listed])
    assert (single, listed_too) == (0, 0)


def test_without_a_pool_it_is_what_was_profiled_on_this_machine(plan: Plan) -> None:
    slices = profile(name="slices", device_class="cpu-1", engine="openvino", device={"slices": 6, "threads": 1})
    document = json.loads(plan("-o", "json", profiles=[slices], pool=None, images=230_000)[1])
    assert [(row["deviceClass"], row["count"]) for row in document["groups"]] == [("cpu-1", 6)]


def test_without_profiles_this_machine_s_are_read(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan()
    monkeypatch.setenv("DUEBY_PROFILES", str(tmp_path / "profiles"))
    assert main(["plan", "-f", str(tmp_path / "job.yaml"), "--pool", f"{A100}=8", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["feasible"] is True


# ---- wrong input


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        pytest.param(
            {"images": None},
            "spec.images: is missing; a plan needs N, because it doesn't count the images of the source",
            id="no N",
        ),
        pytest.param(
            {"objective": "MinCost"},
            "spec.objective: must be one of MinGPUs, but is 'MinCost'",
            id="an objective to come",
        ),
        pytest.param(
            {"deadline": None, "deadlineTime": "2020-01-01T00:00:00Z"},
            "spec.deadlineTime: is in the past, by ",
            id="a deadline in the past",
        ),
        pytest.param(
            {"profiles": [profile(), profile(name="again")]},
            "profiles: a100 and again both describe efficientnet_b0 at 224 px, fp32, engine cudagraph, on device class "
            f"{A100}. Remove one of them.",
            id="two profiles of a class",
        ),
        pytest.param(
            {"profiles": []},
            f"profiles: No profile of efficientnet_b0 at 224 px, fp32 for device class {A100}; there are no "
            "profiles at all. Run `dueby profile`.",
            id="no profile",
        ),
        pytest.param(
            {"pool": "H100=3"},
            "profiles: No profile of efficientnet_b0 at 224 px, fp32 for device class H100;",
            id="an unknown class",
        ),
        pytest.param({"pool": f"{A100}=0"}, "pool: is empty", id="an empty pool"),
        pytest.param(
            {"pool": f"{A100}=-1"}, f"--pool: '{A100}=-1' is not of the form CLASS=COUNT", id="a negative count"
        ),
        pytest.param({"pool": A100}, f"--pool: '{A100}' is not of the form CLASS=COUNT", id="no count"),
        pytest.param(
            {"confidence": 0.999, "profiles": [profile(spread={"run": 0.3, "node": 0.4})]},
            "spec.confidence: 0.999 is too high for these profiles",
            id="spreads beyond any margin",
        ),
        pytest.param({"images": -3}, "job.yaml: spec.images: must be an integer of at least 1", id="a wrong field"),
    ],
)
def test_wrong_input_is_one_sentence_on_stderr_and_code_2(plan: Plan, spec: dict[str, Any], sentence: str) -> None:
    code, out, err = plan("-o", "json", **spec)
    assert (code, out) == (2, "")
    assert err.startswith("dueby plan: ")
    assert sentence in err
    assert err.count("\n") == 1


def test_a_class_twice_in_the_pool_is_refused(plan: Plan) -> None:
    code, _, err = plan("--pool", f"{A100}=2")
    assert (code, err) == (2, f"dueby plan: --pool: names {A100} twice; give one count\n")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param(None, "can't be read: No such file or directory", id="no file"),
        pytest.param("a: [1, 2\nb: 3", "is not YAML in line 2", id="broken YAML"),
        pytest.param("", "expected one InferenceJob, found 0 documents", id="an empty file"),
        pytest.param("a: 1\n---\na: 2", "expected one InferenceJob, found 2 documents", id="two documents"),
        pytest.param("kind: GPUProfile", "kind: must be one of InferenceJob, but is 'GPUProfile'", id="another kind"),
        pytest.param("3", "expected a mapping of fields", id="no mapping"),
    ],
)
def test_a_file_that_is_no_job_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, sentence: str
) -> None:
    path = tmp_path / "job.yaml"
    if text is not None:
        path.write_text(text)
    assert main(["plan", "-f", str(path), "--pool", f"{A100}=8"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"dueby plan: {path}: ")
    assert sentence in captured.err


def test_without_any_profiles_at_all_it_says_how_to_measure_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job_document()))
    monkeypatch.setenv("DUEBY_PROFILES", str(tmp_path / "none"))
    assert main(["plan", "-f", str(tmp_path / "job.yaml")]) == 2
    assert f"measure this machine with: dueby profile -o {tmp_path / 'none'}" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["plan"], ["plan", "-f", "x", "-o", "xml"], ["plan", "--what"], ["plna"]])
def test_a_wrong_option_is_code_2_too(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    assert capsys.readouterr().out == ""


# ---- for people


def test_the_table_shows_the_groups(plan: Plan) -> None:
    code, out, err = plan(confidence=0.5)
    assert (code, out) == (0, "")  # there is no terminal here
    headings, row = err.splitlines()[:2]
    named = ["CLASS", "ENGINE", "COUNT", "BATCH", "ITERATIONS", "IMAGES EACH", "S + W", "STEP", "FINISH"]
    assert re.split(r" {2,}", headings.strip()) == named
    figures = [A100, "cudagraph", "5", "64", "1 + 624", "40,000", "900ms", "14.0 ms", "9.6s"]
    assert re.split(r" {2,}", row.strip()) == figures


def test_the_proof_is_a_sentence_and_says_what_it_holds_for(plan: Plan) -> None:
    _, _, err = plan(confidence=0.5)
    assert "4 GPUs can do at most 166,656 of 200,000 images by the deadline." in err
    assert CLAIM in err
    assert re.search(r"Proof \(ClosedForm\+CBC, \d+\.\d ms\): ", err)


def test_the_table_says_when_and_how_likely(plan: Plan) -> None:
    _, _, err = plan(confidence=0.5)
    assert "5 GPUs for 200,000 images in 10s: expected after 9.6s, at confidence 0.5 after 9.7s, slack 322ms." in err
    assert "Probability of being in time: 0.9965. Parts of 256 images." in err


def test_one_gpu_needs_no_proof_that_none_is_too_few(plan: Plan) -> None:
    assert "No plan has fewer than 1 GPU." in plan(images=1)[2]


def test_cpu_slices_are_not_called_gpus(plan: Plan) -> None:
    slices = profile(device_class="cpu-1", engine="openvino", device={"slices": 8, "threads": 1})
    _, _, err = plan(profiles=[slices], pool=None, confidence=0.5)
    assert "5 CPU slices for" in err
    assert "GPU" not in err


def test_warnings_are_under_the_table(plan: Plan) -> None:
    _, _, err = plan(profiles=[profile(startupMicros=None)])
    assert err.splitlines()[-1].startswith("Warning: a100 has no start-up time")


def test_an_infeasible_job_is_warned_of_the_same(plan: Plan) -> None:
    _, _, err = plan(profiles=[profile(startupMicros=None)], images=400_000, deadlineClass="Hard")
    assert err.splitlines()[-1].startswith("Warning: a100 has no start-up time")


def test_infeasible_is_told_with_what_would_do(plan: Plan) -> None:
    code, _, err = plan(images=400_000, confidence=0.5, deadlineClass="Hard")
    assert code == 3
    assert "all 8 GPUs can do at most 333,312 of 400,000 images in 10s at confidence 0.5" in err
    lines = [" ".join(line.split()) for line in err.splitlines()[1:]]
    assert lines == [
        "a deadline of 12s (11.834000 s)",
        "at most 333,312 images",
        "a confidence of none",
        f"more {A100} 2",
    ]


def test_a_late_plan_is_shown_under_the_alternatives(plan: Plan) -> None:
    _, _, err = plan(images=400_000, confidence=0.5)
    assert "The plan that ends earliest, which a Soft or Relaxed job starts although it is late:" in err
    assert "slack -1.8s" in err
    assert "No 7 GPUs of this pool end within 12s, as these 8 do." in err


def test_of_two_that_are_late_no_single_one_would_do(plan: Plan) -> None:
    assert (
        "No single GPU of this pool ends within 23s, as these 2 do."
        in plan(pool=f"{A100}=2", images=200_000, confidence=0.5)[2]
    )


def test_the_input_terms_are_shown_where_they_are_known() -> None:
    verdict = judge(problem(group(choice(64, 14_000, 900_000)), images=1_000, time=10_000_000), "Soft")
    out = io.StringIO()
    cost = InputCost(decode_us=4_210, get_us=300, bytes_per_image=110_000, bandwidth_bytes_per_s=80e6)
    print_plan(verdict, Console(file=out, width=200), cost=cost)
    said = "Input, per image in every step: 4.21 ms to decode and 0.30 ms to read 110 kB at 80 MB/s."
    assert out.getvalue().splitlines()[-1] == said
