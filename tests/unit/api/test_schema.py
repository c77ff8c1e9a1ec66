"""Jobs and profiles as users write them: the right value, or one sentence that names the field and says what to do."""

from datetime import UTC, datetime
from typing import Any

import pytest

from dueby_api.errors import Invalid
from dueby_api.gpu_profile import parse_profile
from dueby_api.inference_job import parse_job
from support.planner import job, job_document, profile, profile_document

NAN = float("nan")


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        pytest.param({"images": -1}, "spec.images: must be an integer of at least 1, but is -1", id="negative N"),
        pytest.param({"images": 0}, "spec.images: must be an integer of at least 1, but is 0", id="no images"),
        pytest.param({"images": NAN}, "spec.images: must be an integer, but is nan", id="N not a number"),
        pytest.param({"images": 1.5}, "spec.images: must be an integer, but is 1.5", id="half an image"),
        pytest.param({"images": "5"}, "spec.images: must be an integer, but is '5'", id="N as a text"),
        pytest.param({"images": True}, "spec.images: must be an integer, but is True", id="N as yes"),
        pytest.param(
            {"images": 10**12 + 1},
            "spec.images: must be an integer of at most 1000000000000, but is 1000000000001",
            id="N above a million millions",
        ),
        pytest.param(
            {"images": 10**30},
            f"spec.images: must be an integer of at most 1000000000000, but is {10**30}",
            id="N beyond 64 bits",
        ),
        pytest.param(
            {"confidence": NAN},
            "spec.confidence: must be a number of at least 0.5, but is nan",
            id="confidence not a number",
        ),
        pytest.param(
            {"confidence": 0.49}, "spec.confidence: must be a number of at least 0.5, but is 0.49", id="below a half"
        ),
        pytest.param({"confidence": 1}, "spec.confidence: must be a number of at most 0.999, but is 1", id="certainty"),
        pytest.param({"deadline": "0s"}, "spec.deadline: must be longer than 0", id="no time"),
        pytest.param(
            {"deadline": "-5m"},
            "spec.deadline: '-5m' is not a duration; write hours, minutes and seconds, such as 10m, 1h30m or 90s; "
            "a time, with its date, is a deadlineTime",
            id="negative time",
        ),
        pytest.param(
            {"deadline": 600},
            "spec.deadline: must be a text, but is 600; write its unit, such as 600s",
            id="time without a unit",
        ),
        pytest.param({"deadline": "1h" * 40}, "spec.deadline: must be a text of length at most 32", id="a long text"),
        pytest.param({"deadline": None}, "spec: give exactly one of deadline and deadlineTime", id="no deadline"),
        pytest.param(
            {"deadlineTime": "2026-12-01T06:00:00Z"},
            "spec: give exactly one of deadline and deadlineTime",
            id="two deadlines",
        ),
        pytest.param(
            {"deadline": None, "deadlineTime": "2026-12-01T06:00:00"},
            "spec.deadlineTime: 2026-12-01T06:00:00 has no offset from UTC; end it with Z or +01:00",
            id="a time of no zone",
        ),
        pytest.param(
            {"deadlineClass": "Softt"},
            "spec.deadlineClass: must be one of Hard, Soft, Relaxed, BestEffort, but is 'Softt'; did you mean Soft?",
            id="an unknown class",
        ),
        pytest.param({"image": 3}, "spec.image: there is no such field; did you mean images?", id="a field misspelt"),
        pytest.param(
            {"gpus": {"count": 3}},
            "spec.gpus.count: there is no such field; there are max, classes, reserve, maxIterations, spot",
            id="a field made up",
        ),
        pytest.param(
            {"sink": {"uri": "https://example.org/rows"}},
            "spec.sink.uri: a web server can only be read from; use a folder, s3://, gs:// or az://",
            id="a sink on a web server",
        ),
        pytest.param({"gpus": {"max": 0}}, "spec.gpus.max: must be an integer of at least 1, but is 0", id="no GPUs"),
        pytest.param(
            {"gpus": {"reserve": -1}}, "spec.gpus.reserve: must be an integer of at least 0, but is -1", id="reserve"
        ),
        pytest.param(
            {"gpus": {"maxIterations": -1}},
            "spec.gpus.maxIterations: must be an integer of at least 0, but is -1",
            id="negative M",
        ),
        pytest.param({"gpus": {"classes": ["a", 3]}}, "spec.gpus.classes[1]: must be a text, but is 3", id="in a list"),
        pytest.param(
            {"gpus": {"max": 2, "reserve": 3}},
            "spec.gpus.reserve: devices that may be lost count within max, and can't be more; raise max or lower "
            "reserve",
            id="more to lose than there may be",
        ),
        pytest.param(
            {"gpus": {"classes": ["cpu-0"]}},
            "spec.gpus.classes: slices of cores are called cpu-1, cpu-2 and so on, in small letters, by the cores of "
            "one",
            id="slices of no core",
        ),
        pytest.param({"gpus": 4}, "spec.gpus: must be a mapping of fields, but is 4", id="a number for a mapping"),
        pytest.param(
            {"maxFailedImages": 1.5},
            "spec.maxFailedImages: must be an integer or a text, but is 1.5",
            id="neither of two types",
        ),
        pytest.param(
            {"source": {}},
            "spec.source: give exactly one of uri, manifest, parquet, lance and synthetic",
            id="a source of nothing",
        ),
        pytest.param({"source": None}, "spec.source: is missing", id="no source"),
        pytest.param(
            {"source": {"uri": "a", "parquet": {"uri": "b"}}},
            "spec.source: give exactly one of uri, manifest, parquet, lance and synthetic",
            id="two sources",
        ),
        pytest.param(
            {"source": {"uri": "a", "decode": "tolerant", "decoder": "gpu"}},
            "spec.source.decoder: a GPU can't decode tolerantly; set decoder to cpu, or decode to strict",
            id="tolerance on a GPU",
        ),
        pytest.param(
            {"source": {"uri": "a", "color": "srgb", "decoder": "gpu"}},
            "spec.source.decoder: a GPU doesn't convert colours; set decoder to cpu, or color to stored",
            id="colours on a GPU",
        ),
        pytest.param(
            {"images": 9, "source": {"synthetic": {}, "decoder": "gpu"}},
            "spec.source.decoder: synthetic images aren't decoded; leave it out",
            id="nothing to decode on a GPU",
        ),
        pytest.param(
            {"images": 9, "source": {"synthetic": {}, "keep": ["label"]}},
            "spec.source.keep: synthetic images have no columns; leave it out",
            id="nothing to keep",
        ),
        pytest.param(
            {"source": {"uri": "a.tar", "keep": ["cls", "cls"]}},
            "spec.source.keep: names a column twice",
            id="kept twice",
        ),
        pytest.param(
            {"source": {"uri": "a.tar", "keep": ["labels"]}},
            "spec.source.keep: names labels, which the rows have anyhow; give the source's column another name",
            id="kept under a name of the rows",
        ),
        pytest.param(
            {"source": {"uri": "a.tar", "keep": ["generation"]}},
            "spec.source.keep: names generation, which the rows have anyhow; give the source's column another name",
            id="kept under a name that rows have when they are read",
        ),
        pytest.param(
            {"source": {"uri": "a.tar", "keep": [f"c{number}" for number in range(33)]}},
            "spec.source.keep: must be a list of length at most 32, but is ['c0', 'c1', 'c2', 'c3', 'c4', 'c5', ...]",
            id="too much to keep",
        ),
        pytest.param(
            {"source": {"uri": "a", "decoder": "gpu"}, "model": {"engine": "openvino"}},
            "spec.model.engine: runs on CPUs, but source.decoder is gpu; set it to auto or to an engine for GPUs, or "
            "set source.decoder to cpu",
            id="a GPU that decodes beside an engine for CPUs",
        ),
        pytest.param({"source": {"parquet": {}}}, "spec.source.parquet.uri: is missing", id="Parquet files nowhere"),
        pytest.param(
            {"source": {"parquet": {"uri": "a", "columns": "b"}}},
            "spec.source.parquet.columns: there is no such field; did you mean column?",
            id="a column misspelt",
        ),
        pytest.param(
            {"source": {"parquet": {"uri": "a", "column": ""}}},
            "spec.source.parquet.column: must be a text of length at least 1, but is ''",
            id="a column without a name",
        ),
        pytest.param(
            {"source": {"lance": {"uri": "a", "version": 0}}},
            "spec.source.lance.version: must be an integer of at least 1, but is 0",
            id="a version that there can't be",
        ),
        pytest.param(
            {"source": {"lance": {"uri": "https://example.com/a.lance"}}},
            "spec.source.lance.uri: Lance datasets are read at file and s3; copy this one there",
            id="a Lance dataset at a web server",
        ),
        pytest.param(
            {"source": {"synthetic": {}}, "images": None},
            "spec.images: is missing; a synthetic source has as many images as you say",
            id="synthetic without N",
        ),
        pytest.param(
            {"source": {"synthetic": {}}, "images": 9, "sink": {"uri": "b", "ifExists": "Append"}},
            "spec.sink.ifExists: Append takes what is new in a source, and synthetic images are always the same; use "
            "Resume",
            id="synthetic images that are to grow",
        ),
        pytest.param(
            {"source": {"lance": {"uri": "a.lance"}}, "sink": {"uri": "b", "ifExists": "Append"}},
            "spec.source.lance.name: is missing; Append knows images by their names, and the numbers of a Lance "
            "dataset's rows change with its versions",
            id="a Lance dataset that grows without names",
        ),
        pytest.param(
            {"source": {"uri": "a"}, "sink": {"uri": "b", "changed": True}},
            "spec.sink.changed: classifies images again beside the rows that there are, which is what ifExists: Append "
            "does; add that",
            id="changed images of a sink that is not added to",
        ),
        pytest.param(
            {"source": {"manifest": {"uri": "a.csv"}}, "sink": {"uri": "b", "ifExists": "Append", "changed": True}},
            "spec.sink.changed: compares files by what their store says of them when it lists a folder; give a folder "
            "or a glob as source.uri",
            id="changed images of a list",
        ),
    ],
)
def test_a_wrong_job_is_refused_in_a_sentence_that_names_the_field(spec: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Invalid) as error:
        job(**spec)
    assert str(error.value) == sentence


@pytest.mark.parametrize("document", [None, 3, "job", ["a"]], ids=["nothing", "a number", "a text", "a list"])
def test_what_is_no_mapping_is_no_job(document: Any) -> None:
    with pytest.raises(Invalid, match=r"^catalog\.yaml: expected a mapping of fields, as every InferenceJob is$"):
        parse_job(document, origin="catalog.yaml")


def test_the_file_stands_in_front_of_the_field() -> None:
    with pytest.raises(Invalid) as error:
        parse_profile({**profile_document(), "kind": "InferenceJob"}, origin="a100.yaml")
    assert str(error.value) == "a100.yaml: kind: must be one of GPUProfile, but is 'InferenceJob'"
    assert error.value.field == "a100.yaml: kind"


def test_the_name_of_a_job_can_be_that_of_its_pods() -> None:
    document = job_document()
    document["metadata"]["name"] = "My_Job"
    with pytest.raises(
        Invalid, match=r"^metadata\.name: must be a text that matches '\^\[a-z0-9\][^\\]*\$', but is 'My_Job'$"
    ):
        parse_job(document)


def test_unknown_fields_of_the_metadata_and_the_device_are_passed_over() -> None:
    document = job_document()
    document["metadata"] |= {"uid": "1", "labels": {"a": "b"}}
    assert parse_job(document).metadata.name == "catalog"
    assert profile(device={"node": "node-a", "colour": "green"}).spec.device.node == "node-a"


@pytest.mark.parametrize(
    ("deadline_class", "confidence"), [("Hard", 0.99), ("Soft", 0.95), ("Relaxed", 0.95), ("BestEffort", 0.95)]
)
def test_the_confidence_is_the_deadline_class_s_unless_it_is_given(deadline_class: str, confidence: float) -> None:
    assert job(deadlineClass=deadline_class).spec.planned_confidence == confidence
    assert job(deadlineClass=deadline_class, confidence=0.5).spec.planned_confidence == 0.5


def test_a_deadline_counts_from_the_acceptance_and_a_deadline_time_does_not() -> None:
    assert job(deadline="10m").spec.deadline_us(accepted_us=7) == 600_000_007
    fixed = job(deadline=None, deadlineTime=datetime(1970, 1, 1, 0, 1, tzinfo=UTC))
    assert fixed.spec.deadline_us(accepted_us=7) == 60_000_000


def test_a_resource_is_written_in_its_own_spelling_without_what_is_absent() -> None:
    document = profile_document(maxMiniBatchSize=256)
    written = profile(maxMiniBatchSize=256).document()
    assert written["spec"]["steps"] == document["spec"]["steps"]
    assert written["spec"]["maxMiniBatchSize"] == 256
    assert "measuredAt" not in written["spec"]
    assert parse_profile(written) == parse_profile(document)
