"""`dueby plan`: where the job, its profiles and the pool come from, and what wrong input is told."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from dueby.cli.main import main
from support.index import JPEG, write_files
from support.plan_command import Plan, profile
from support.planner import A100, job_document, step_document


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


AGREEMENT = {"photos": 1000, "sameTop1": 0.999, "maxDifference": 0.012, "weightsDigest": "3dd342dfa4f1" * 4}
SAID = "99.9% of 1,000 photos have fp32's best class, its probability differs by up to 0.012 (weights 3dd342dfa4f1)"
UNKNOWN = "how far its results are from fp32's was not measured (`dueby profile --photos`)"


def at(precision: str, latency_us: int, **spec: Any) -> dict[str, Any]:
    model = {"name": "efficientnet_b0", "imageSize": 224, "precision": precision}
    step = step_document(64, latency_us, 990_000, p50=900_000)
    return profile(**({"name": f"a100-{precision}", "model": model, "steps": [step]} | spec))


@pytest.mark.parametrize(
    ("others", "job", "warnings"),
    [
        pytest.param(
            [at("fp16", 6_000, agreement=AGREEMENT)],
            {},
            [f"at fp16, 3 GPUs would be enough instead of 5; {SAID}"],
            id="fewer, and how far its results are from fp32's",
        ),
        pytest.param(
            [at("tf32", 9_000), at("fp16", 1_000)],
            {},
            [
                f"at tf32, 4 GPUs would be enough instead of 5; {UNKNOWN}",
                f"at fp16, 1 GPU would be enough instead of 5; {UNKNOWN}",
            ],
            id="two, where that was not measured",
        ),
        pytest.param(
            [at("fp16", 6_000, agreement=AGREEMENT)],
            {"gpus": {"max": 3}},
            [f"at fp16, 3 GPUs would be enough; {SAID}"],
            id="in time, where the job's own precision is late",
        ),
        pytest.param(
            [at("bf16", 60_000, agreement=AGREEMENT)],
            {"model": {"precision": "bf16"}, "images": 40_000},
            ["at fp32, 2 GPUs would be enough instead of 5"],
            id="fp32, which agrees with itself",
        ),
        pytest.param([at("fp16", 14_000)], {}, [], id="no fewer"),
        pytest.param([at("fp16", 6_000, device_class="NVIDIA-L4")], {}, [], id="another class"),
        pytest.param([at("fp16", 6_000, assumed=True, source="a table")], {}, [], id="nothing but published figures"),
    ],
)
def test_a_plan_says_at_which_other_precisions_fewer_devices_would_be_enough(
    others: list[dict[str, Any]], job: dict[str, Any], warnings: list[str], plan: Plan
) -> None:
    _, out, _ = plan("-o", "json", profiles=[profile(), *others], **job)
    assert json.loads(out)["warnings"] == warnings


def test_the_table_says_of_other_precisions_what_the_document_says(plan: Plan) -> None:
    _, _, told = plan(profiles=[profile(), at("fp16", 6_000, agreement=AGREEMENT)])
    assert " ".join(told.split()) == f"Warning: at fp16, 3 GPUs would be enough instead of 5; {SAID}."


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


@pytest.mark.parametrize(
    "source",
    [
        pytest.param({"uri": "{}"}, id="a folder"),
        pytest.param({"uri": "{}/*.jpg"}, id="a glob"),
        pytest.param({"manifest": {"uri": "{}/list.txt"}}, id="a list"),
        pytest.param({"uri": "{}/photos.tar"}, id="a tar"),
        pytest.param({"parquet": {"uri": "{}/photos.parquet"}}, id="a Parquet file"),
    ],
)
def test_the_images_of_a_source_on_this_machine_are_counted(plan: Plan, tmp_path: Path, source: dict[str, Any]) -> None:
    photos = tmp_path / "photos"
    write_files(photos, *(f"{number}.jpg" for number in range(7)))
    (photos / "list.txt").write_text("".join(f"{number}.jpg\n" for number in range(7)))
    pq.write_table(pa.table({"image": [JPEG] * 7}), photos / "photos.parquet")
    with tarfile.open(photos / "photos.tar", "w") as tar:
        for number in range(7):
            tar.add(photos / f"{number}.jpg", f"{number}.jpg")
    named = json.loads(json.dumps(source).replace("{}", str(photos)))
    code, out, err = plan("-o", "json", images=None, source=named)
    assert (code, json.loads(out)["images"]) == (0, 7), err


def test_the_images_of_another_source_can_be_said(plan: Plan) -> None:
    source = {"uri": "s3://bucket/photos"}
    code, out, err = plan("-o", "json", "--images", "7000", images=None, source=source)
    assert (code, json.loads(out)["images"]) == (0, 7000), err
    assert plan("--images", "0", images=None, source=source)[0] == 2


# ---- wrong input


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        pytest.param(
            {"images": None, "source": {"uri": "s3://bucket/photos"}},
            "spec.images: is missing, and s3://bucket/photos is not on this machine; say --images N",
            id="no N",
        ),
        pytest.param(
            {"images": None, "source": {"uri": "/there/is/nothing"}},
            "spec.source.uri: file:///there/is/nothing: there is no such folder",
            id="nothing to count",
        ),
        pytest.param(
            {"objective": "MinEnergy"},
            "spec.objective: must be one of MinGPUs, MinCost, but is 'MinEnergy'",
            id="an objective to come",
        ),
        pytest.param(
            {"objective": "MinCost"},
            "spec.objective: MinCost needs prices; give them with --prices FILE",
            id="an objective that needs prices",
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
            "profiles at all. Run: dueby profile --model efficientnet_b0",
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
        pytest.param("", "expected an InferenceJob, found none among 0 documents", id="an empty file"),
        pytest.param("kind: A\n---\nkind: B", "found none among 2 documents", id="two of other kinds"),
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
    assert "measure this machine: dueby profile --model efficientnet_b0\n" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["plan"], ["plan", "-f", "x", "-o", "xml"], ["plan", "--what"], ["plna"]])
def test_a_wrong_option_is_code_2_too(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    assert capsys.readouterr().out == ""
