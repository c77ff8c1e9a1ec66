"""Whatever a job or a profile says, `dueby plan` and `dueby run` answer with a plan or a sentence, never a traceback.

`dueby run` is tried up to where it would start: what it refuses, it refuses before it has measured or written anything.
"""

import contextlib
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dueby.cli.main import main
from dueby.inputs.manifests import read_manifests
from dueby.runs.found_devices import find_devices
from dueby.terminal.console import people_console
from dueby_api.errors import Invalid
from dueby_operator.resources.crds import profile_crd
from support.hostile import SCHEMA, accepted
from support.planner import A100, job_document
from support.planner import profile_document as measured_document
from support.run import MODEL, profile_document
from support.schema_values import objects, plain, values_of

Document = dict[str, Any]
PROFILES: Document = profile_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
ALLOWED: dict[str, Document] = SCHEMA["properties"]["spec"]["properties"]
# What the CRD lets in, what it doesn't, and what has no field of that name.
_changes = st.fixed_dictionaries({}, optional={name: values_of(schema) for name, schema in ALLOWED.items()})
_spoiled = st.dictionaries(st.sampled_from(sorted(ALLOWED)), plain | objects, max_size=2)
jobs = st.builds(
    lambda changes, spoiled: job_document(**{**accepted({**job_document()["spec"], **changes}), **spoiled}),
    st.dictionaries(st.sampled_from(sorted(ALLOWED)), st.none(), max_size=2).flatmap(
        lambda names: _changes.map(lambda made: {name: made[name] for name in names if name in made})
    ),
    _spoiled,
)
_wrong_parts = st.fixed_dictionaries({}, optional={n: values_of(s) for n, s in PROFILES["properties"].items()})


def profile_with(changes: Document) -> Document:
    whole = profile_document()
    return {**whole, "spec": {**whole["spec"], **changes}}


profiles = st.builds(profile_with, _wrong_parts | st.dictionaries(st.sampled_from(sorted(PROFILES)), plain))


def written(path: Path, document: Document) -> str:
    # Not as YAML: its aliases would make another document of one that says something twice.
    path.write_text(json.dumps(document))
    return str(path)


@given(job=jobs, profile=profiles, pool=st.sampled_from([A100, "cpu-1"]))
def test_any_job_and_any_profile_are_planned_or_refused_with_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, job: Document, profile: Document, pool: str
) -> None:
    folder = tmp_path_factory.mktemp("plan")
    file, other = written(folder / "job.json", job), written(folder / "profile.json", profile)
    assert main(["plan", "-f", file, "--profiles", other, "--pool", f"{pool}=3", "-o", "json"]) in (0, 2, 3)


@given(first=jobs, second=jobs, pool=st.sampled_from([A100, "cpu-1"]))
def test_any_two_jobs_are_planned_together_or_refused_with_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, first: Document, second: Document, pool: str
) -> None:
    folder = tmp_path_factory.mktemp("plan")
    other = written(folder / "profile.json", measured_document())
    documents = []
    for name, job in (("first", first), ("second", second)):
        # Of the model that was measured, so that more than refusals comes of it.
        spec = {**job["spec"], "model": {"name": "efficientnet_b0", "weights": "none", "precision": "fp32"}}
        documents.append({**job, "metadata": {"name": name}, "spec": spec})
    file = folder / "jobs.yaml"
    file.write_text("\n---\n".join(map(json.dumps, documents)))
    assert main(["plan", "-f", str(file), "--profiles", other, "--pool", f"{pool}=3", "-o", "json"]) in (0, 2, 3)


@given(job=jobs, profile=profiles)
def test_any_job_can_be_started_or_is_refused_before_anything_is_written(
    tmp_path_factory: pytest.TempPathFactory, job: Document, profile: Document
) -> None:
    folder = tmp_path_factory.mktemp("run")
    file, other = written(folder / "job.json", job), written(folder / "profile.json", profile)
    with contextlib.suppress(Invalid):
        find_devices([manifest.job for manifest in read_manifests([file])], [other], people_console(stderr=True))
    assert sorted(path.name for path in folder.iterdir()) == ["job.json", "profile.json"]


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """`dueby run` ends on SIGTERM in its own way, which the tests after it shall not."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def refusals(folder: Path, capsys: pytest.CaptureFixture[str], **spec: Any) -> list[str]:
    """What `dueby plan` and `dueby run` say of the job, without the program's name."""
    places = {"source": {"uri": str(folder / "photos")}, "sink": {"uri": str(folder / "rows")}}
    (folder / "job.yaml").write_text(yaml.safe_dump(job_document(**places | spec)))
    (folder / "profile.yaml").write_text(yaml.safe_dump(profile_document()))
    said = []
    for command in ("plan", "run"):
        words = ["-f", str(folder / "job.yaml"), "--profiles", str(folder / "profile.yaml")]
        assert main([command, *words]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        said.append(captured.err.removeprefix(f"dueby {command}: "))
    return said


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"model": {"name": "resnet999"}}, "spec.model.name: There is no model 'resnet999'; did you mean resnet"),
        (
            {"model": {"name": "zzz"}},
            "spec.model.name: There is no model 'zzz'. There are alexnet, convnext*,",
        ),
        ({"model": {"name": "google/vit"}}, "There is no model 'google/vit'; did you mean hf/google/vit?"),
        ({"model": {"engine": "openvin"}}, "but is 'openvin'; did you mean openvino?"),
        ({"deadlineClass": "soft"}, "but is 'soft'; did you mean Soft?"),
        ({"deadline": 120}, "spec.deadline: must be a text, but is 120; write its unit, such as 120s"),
        ({"deadline": "1d"}, "1h30m or 90s; 1d is 24h"),
        ({"source": {"uri": "~/photos"}}, "'~/photos' begins with ~, which only shells replace"),
        ({"model": {"name": "resnet50"}}, "Run: dueby profile --model resnet50\n"),
        ({"model": MODEL, "sink": {"uri": "ftp://host/rows"}}, "spec.sink.uri: ftp:// is not supported; use one of"),
        ({"model": MODEL, "sink": {"uri": "s3://"}}, "spec.sink.uri: 's3://' has no bucket after s3://"),
        ({"model": MODEL, "source": {"uri": "file://other/a"}}, "spec.source.uri: 'file://other/a' is not the URI"),
        ({"model": MODEL, "gpus": {"classes": ["cpu-9"]}}, "No profile for device class cpu-9; there are profiles of"),
    ],
)
def test_what_plan_refuses_run_refuses_in_the_same_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spec: dict[str, Any], sentence: str
) -> None:
    plan, run = refusals(tmp_path, capsys, **spec)
    assert sentence in plan
    assert plan == run
    assert plan.count("\n") == 1


def test_a_link_to_the_source_is_the_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "rows").symlink_to(tmp_path / "photos")
    places = {"source": {"uri": str(tmp_path / "photos")}, "sink": {"uri": str(tmp_path / "rows")}}
    plan, run = refusals(tmp_path, capsys, model=MODEL, **places)
    assert "spec.sink.uri: " in plan
    assert "is the folder of the source" in plan
    assert plan == run


def test_profile_refuses_a_folder_that_can_t_be_written_to_before_it_measures(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["profile", "-o", "/proc"]) == 2
    assert "dueby profile: --output: nothing can be written into /proc: " in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["profile", "-o", ""])
    assert "is empty; name a folder, or . for this one" in capsys.readouterr().err


def test_profile_refuses_a_model_that_there_is_not_before_it_measures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["profile", "--model", "resnet999", "-o", str(tmp_path / "profiles")]) == 2
    assert "did you mean resnet" in capsys.readouterr().err
    assert not (tmp_path / "profiles").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "the model: weights: a model onnx/NAME is a file: give the path of one that ends with .onnx"),
        (["--weights", "a.onnx"], "spec.model.weights: there is no file a.onnx"),
        (["--weights", "a.onnx", "--engine", "eager"], "the model: engine: eager doesn't run ONNX files"),
        (["--weights", "a.onnx", "--monitor"], "--monitor: counts a network's operations"),
        (["--weights", "a.onnx", "--memory-map"], "--memory-map: compares image sizes"),
    ],
)
def test_profile_refuses_what_can_not_be_measured_of_an_onnx_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    assert main(["profile", "--model", "onnx/mine", "-o", str(tmp_path / "profiles"), *options]) == 2
    assert words in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "there is no module nowhere"),
        (["--weights", "none"], "the model: weights: the function makes the weights, too; leave weights out"),
    ],
)
def test_profile_takes_the_weights_of_a_function_if_none_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    assert main(["profile", "--model", "python/nowhere:make", "-o", str(tmp_path / "profiles"), *options]) == 2
    assert words in capsys.readouterr().err.replace("\n", " ")
