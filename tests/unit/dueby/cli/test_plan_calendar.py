"""`dueby plan` of several jobs: the document to the letter, exit codes, and the table at 80 columns."""

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dueby.cli.main import main
from support.plan_command import profile
from support.planner import A100, named_job_document
from support.report_page import Elements, words_of

PlanAll = Callable[..., tuple[int, str, str]]
FIELDS = ["feasible", "proof", "jobs", "pool", "cut", "warnings"]
JOB_FIELDS = [
    *("name", "deadlineClass", "action", "gpus", "lowerBound", "probability", "expectedSeconds", "slackSeconds"),
    *("starts", "gpuSeconds", "windows"),
]
WINDOW_FIELDS = ["deviceClass", "engine", "from", "to", "count", "miniBatchSize", "images", "pool"]
CUT_FIELDS = ["jobs", "until", "neededGpuSeconds", "availableGpuSeconds", "sentence"]
# The study's own model: 64 images in 14 ms, the first after 900 ms. In 10 s a device does 651 times 64 = 41,664.
EXACT: dict[str, Any] = {"confidence": 0.5, "deadline": "10s", "deadlineClass": "Hard"}


@pytest.fixture
def plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> PlanAll:
    """`dueby plan` of jobs by name, on A100s, or on what these profiles are of."""

    def call(
        *options: str,
        devices: int = 2,
        machine: list[dict[str, Any]] | None = None,
        jobs: dict[str, dict[str, Any]],
    ) -> tuple[int, str, str]:
        profiles = tmp_path / "profile.yaml"
        profiles.write_text(yaml.safe_dump_all(machine or [profile()]))
        pool = [] if machine else ["--pool", f"{A100}={devices}"]
        words = ["plan", "--profiles", str(profiles), *pool, *options]
        for number, (name, spec) in enumerate(jobs.items()):
            file = tmp_path / f"job-{number}.yaml"
            file.write_text(yaml.safe_dump(named_job_document(name.rstrip("'"), **(EXACT | spec))))
            words += ["-f", str(file)]
        code = main(words)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_jobs_that_fit_are_a_calendar(plan: PlanAll) -> None:
    code, out, err = plan(
        "-o", "json", devices=1, jobs={"late": {"deadline": "25s", "images": 41_664}, "a": {"images": 41_664}}
    )
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert list(document) == FIELDS
    assert [list(job) for job in document["jobs"]] == [JOB_FIELDS] * 2
    assert (document["feasible"], document["proof"], document["cut"]) == (True, "Calendar", None)
    assert document["pool"] == [{"deviceClass": A100, "devices": 1, "peak": 1, "pool": None}]
    late, first = document["jobs"]
    assert [first[name] for name in ("name", "action", "gpus", "lowerBound", "starts")] == ["a", "Start", 1, 1, 1]
    window = {
        "deviceClass": A100,
        "engine": "cudagraph",
        "count": 1,
        "miniBatchSize": 64,
        "images": 41_664,
        "pool": None,
    }
    assert first["windows"] == [{**window, "from": 0.0, "to": 10.0}]
    # 651 mini-batches end after 0.9 s and 650 steps. Then the device takes 5 s to change hands.
    assert (first["expectedSeconds"], first["slackSeconds"], first["gpuSeconds"]) == (10.0, 0.0, 10.0)
    assert (late["action"], late["windows"]) == ("Reserve", [{**window, "from": 15.0, "to": 25.0}])
    assert list(first["windows"][0]) == WINDOW_FIELDS
    assert first["probability"] == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize(
    ("uri", "begins"),
    [("s3://photos/in/", 15.0), ("/photos/", 0.0)],
    ids=["S3 serves one device", "nothing limits a disk"],
)
def test_jobs_on_one_bucket_share_what_it_serves(plan: PlanAll, uri: str, begins: float) -> None:
    source = {"source": {"uri": uri}, "images": 41_664}
    _, out, _ = plan("-o", "json", devices=2, jobs={"a": source, "late": {**source, "deadline": "25s"}})
    document = json.loads(out)
    first, late = ([window["from"] for window in job["windows"]] for job in document["jobs"])
    # A device takes 4,571 photos a second, and S3 promises 5,500 requests for all of them.
    assert (first, set(late)) == ([0.0], {begins})
    assert [pool["deviceClass"] for pool in document["pool"]] == [A100]


def test_a_refusal_beside_others_names_the_store(plan: PlanAll) -> None:
    source = {"source": {"uri": "s3://photos/in/"}, "images": 41_664}
    code, out, _ = plan(devices=2, jobs={"a": source, "b": {**source, "deadline": "11s"}})
    assert code == 3
    assert "which take the 5,500 requests/s of s3://photos" in " ".join(out.split())


def test_a_hard_job_that_does_not_fit_is_refused_by_a_cut(plan: PlanAll) -> None:
    jobs = {name: {"images": 41_000} for name in ("a", "b", "c")}
    code, out, _ = plan("-o", "json", jobs=jobs)
    document = json.loads(out)
    assert code == 3
    assert (document["feasible"], document["proof"]) == (False, "Cut")
    assert [job["action"] for job in document["jobs"]] == ["Start", "Start", "Refuse"]
    refused = document["jobs"][2]
    assert refused["windows"] == []
    assert [refused[name] for name in JOB_FIELDS[3:-1]] == [None, 1, *[None] * 5]
    cut = document["cut"]
    assert list(cut) == CUT_FIELDS
    assert (cut["jobs"], cut["until"], cut["availableGpuSeconds"]) == (["a", "b", "c"], 10.0, 20.0)
    # Each takes 41,000 images of 14 ms / 64, and 0.9 s less one step for its start.
    assert cut["neededGpuSeconds"] == pytest.approx(3 * (41_000 * 0.014 / 64 + 0.886), abs=1e-5)
    assert cut["sentence"] == (
        "Within 10s c, a and b need at least 29.6 GPU-seconds, and there are 20.0 GPU-seconds for them. "
        f"A deadline of 21s from now or 1 more {A100} would be enough."
    )


def test_a_late_soft_job_is_no_success_and_a_waiting_one_of_best_effort_is(plan: PlanAll) -> None:
    hard = {"images": 80_000}
    code, out, _ = plan("-o", "json", jobs={"hard": hard, "soft": {"images": 80_000, "deadlineClass": "Soft"}})
    late = json.loads(out)["jobs"][1]
    assert (code, late["action"]) == (3, "StartLate")
    assert late["slackSeconds"] < 0
    assert late["probability"] < 0.5
    code, out, _ = plan("-o", "json", jobs={"hard": hard, "rest": {"deadlineClass": "BestEffort"}})
    assert (code, json.loads(out)["jobs"][1]["action"]) == (0, "Wait")


def test_yaml_says_the_same(plan: PlanAll) -> None:
    jobs = {"a": {"images": 1000}, "b": {"images": 1000}}
    _, as_json, _ = plan("-o", "json", jobs=jobs)
    _, as_yaml, _ = plan("-o", "yaml", jobs=jobs)
    assert yaml.safe_load(as_yaml) == json.loads(as_json)


@pytest.mark.parametrize("columns", [80, 160])
def test_the_table_shows_who_has_what_when(plan: PlanAll, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    jobs: dict[str, dict[str, Any]] = {
        "catalog": {"images": 41_664},
        "sweep": {"images": 41_664, "deadline": "25s"},
        "hopeless": {"images": 10_000_000},
        "rest": {"images": 1000, "deadlineClass": "BestEffort"},
    }
    code, out, _ = plan(jobs=jobs, devices=1)
    lines = out.splitlines()
    assert code == 3
    assert max(map(len, lines)) <= columns or lines[0].startswith("JOB")
    assert lines[0].split()[:4] == ["JOB", "CLASS", "ACTION", "DEVICES"]
    rows = {line.split()[0]: line for line in lines[1:5]}
    assert rows["catalog"].split()[1:5] == ["Hard", "Start", "1", "now"]
    assert rows["sweep"].split()[1:5] == ["Hard", "Reserve", "1", "15s"]
    # One device of one is held for the first ten seconds, and for the last ten.
    assert rows["catalog"].endswith("█" * 9 + "▅" + " " * 14)
    assert rows["sweep"].endswith(" " * 14 + "▅" + "█" * 9)
    text = " ".join(out.split())
    assert f"{A100}: at most 1 of 1 GPU are held at once." in text
    assert "hopeless: Within 10s hopeless needs at least" in text
    assert "and there are 10.0 GPU-seconds for it. A deadline of" in text
    assert "rest waits: no device is left for it now." in text


@pytest.mark.parametrize(
    ("gpus", "limits"),
    [
        ({"reserve": 2, "max": 2}, "gpus.max and gpus.reserve"),
        ({"maxIterations": 0}, "gpus.maxIterations"),
    ],
)
@pytest.mark.parametrize("deadline_class", ["Soft", "BestEffort"])
def test_a_job_that_no_time_is_long_enough_for_does_not_wait_for_a_device(
    plan: PlanAll, deadline_class: str, gpus: dict[str, int], limits: str
) -> None:
    jobs: dict[str, dict[str, Any]] = {
        "never": {"images": 100_000, "deadlineClass": deadline_class, "gpus": gpus},
        "small": {"images": 1},
    }
    _, out, _ = plan(jobs=jobs, devices=4)
    text = " ".join(out.split())
    assert f"never can't be done: on these devices no time is long enough with its {limits}." in text


def test_without_a_pool_all_jobs_share_this_machine(plan: PlanAll) -> None:
    # The second job's image size is a prediction.
    jobs: dict[str, dict[str, Any]] = {"a": {"images": 1000}, "b": {"images": 1000, "model": {"imageSize": 256}}}
    code, out, _ = plan("-o", "json", machine=[slices(1, count=6)], jobs=jobs)
    assert (code, json.loads(out)["pool"]) == (0, [{"deviceClass": "cpu-1", "devices": 6, "peak": 2, "pool": None}])


def test_jobs_that_want_the_same_cores_in_other_slices_ask_for_a_pool(plan: PlanAll) -> None:
    machine = [
        slices(1, count=6),
        slices(2, count=3, model={"name": "resnet50", "imageSize": 224, "precision": "fp32"}),
    ]
    jobs: dict[str, dict[str, Any]] = {"a": {"images": 10}, "b": {"images": 10, "model": {"name": "resnet50"}}}
    code, out, err = plan(machine=machine, jobs=jobs)
    assert (code, out) == (2, "")
    assert "--pool: is missing: a is fastest on cpu-1=6 of this machine and b on cpu-2=3" in err


def slices(cores: int, *, count: int, **spec: Any) -> dict[str, Any]:
    """A profile of slices of this machine's cores."""
    device = {"slices": count, "threads": cores}
    return profile(name=f"slices-{cores}", device_class=f"cpu-{cores}", engine="openvino", device=device, **spec)


def test_the_page_shows_the_same_calendar(plan: PlanAll) -> None:
    jobs: dict[str, dict[str, Any]] = {name: {"images": 41_000} for name in ("a", "b", "c")}
    code, out, err = plan("-o", "html", jobs=jobs)
    words = words_of(out)
    assert (code, err) == (3, "")
    assert "3 jobs on 2 GPUs 1 job without a place" in words
    assert "c: Within 10s c, a and b need at least 29.6 GPU-seconds" in words
    assert f"{A100} · 2 GPUs, at most 2 held at once" in words
    titles = [attributes["title"] or "" for _, attributes in Elements(out).found if "title" in attributes]
    assert f"a (Hard): 1 × {A100}, 0s to 9.9s, 41,024 images in mini-batches of 64 with cudagraph" in titles


@pytest.mark.parametrize(
    ("spec", "code", "sign"),
    [
        pytest.param({"images": 80_000}, 0, "No job is late", id="in time"),
        pytest.param({"images": 90_000}, 3, "1 job without a place", id="refused"),
        pytest.param({"images": 90_000, "deadlineClass": "Relaxed"}, 3, "1 job late", id="late"),
    ],
)
def test_the_page_of_one_job_has_each_figure_of_its_table(
    plan: PlanAll, spec: dict[str, Any], code: int, sign: str
) -> None:
    shown = {output: plan("-o", output, jobs={"a": spec}) for output in ("table", "html")}
    assert {found for found, _, _ in shown.values()} == {code}
    page = words_of(shown["html"][1])
    # What solving took and the moment at which it was made are all that differs.
    table = re.sub(r", \d+\.\d ms\)|\(until \S+", "", shown["table"][1])
    assert set(re.findall(r"\d[\d,.]*\w*", table)) <= set(re.findall(r"\d[\d,.]*\w*", page))
    assert sign in page


def test_jobs_in_one_file_are_planned_as_those_of_several_are(
    plan: PlanAll, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    of_several = plan("-o", "json", jobs={name: {"images": 41_000} for name in ("a", "b", "c")})
    first, *others = (yaml.safe_load((tmp_path / f"job-{number}.yaml").read_text()) for number in range(3))
    words = ["plan", "--profiles", str(tmp_path / "profile.yaml"), "--pool", f"{A100}=2", "-o", "json"]
    monkeypatch.setattr("sys.stdin", io.StringIO(yaml.safe_dump_all([first, *others])))
    code = main([*words, "-f", "-"])
    assert (code, *capsys.readouterr()) == of_several
    monkeypatch.setattr("sys.stdin", io.StringIO(yaml.safe_dump({"kind": "List", "items": others})))
    code = main([*words, "-f", str(tmp_path / "job-0.yaml"), "-f", "-"])
    assert (code, *capsys.readouterr()) == of_several


def test_two_jobs_of_one_name_are_refused(plan: PlanAll) -> None:
    code, out, err = plan(jobs={"a": {"images": 10}, "a'": {"images": 10}})
    assert (code, out) == (2, "")
    assert err.startswith("dueby plan: metadata.name: two jobs are named a, in ")


def test_what_is_wrong_with_one_job_is_said_of_that_job(plan: PlanAll) -> None:
    code, out, err = plan(jobs={"a": {"images": 10}, "b": {"images": None, "source": {"uri": "s3://photos/*.jpg"}}})
    assert (code, out) == (2, "")
    assert "spec.images: is missing" in err
    assert err.endswith("(job b)\n")
