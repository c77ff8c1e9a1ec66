"""A job without a manifest: its source, its sink, and fields of its spec."""

from pathlib import Path
from typing import Any

import pytest

from dueby.library.inputs import manifest_of
from dueby_api.errors import Invalid


def test_a_job_is_made_of_a_source_a_sink_and_fields_of_spec() -> None:
    output = {"kind": "Embedding"}
    made = manifest_of(Path("photos"), "out/My Results_2/", {"model": "resnet50", "deadline": "10m", "output": output})
    job = made.job
    assert (job.metadata.name, job.spec.source.uri, job.spec.sink.uri) == (
        "my-results-2",
        "photos",
        "out/My Results_2/",
    )
    assert (job.spec.model.name, job.spec.deadline, job.spec.output.kind) == ("resnet50", "10m", "Embedding")
    assert manifest_of(made.document).job == job


@pytest.mark.parametrize("sink", ["s3://bucket/", "/", "s3://bucket/ÄÖÜ", "x" * 63, f"{'x' * 39}-y"])
def test_whatever_the_sink_is_called_the_job_has_a_name(sink: str) -> None:
    assert manifest_of({"manifest": {"uri": "list.csv"}}, sink, {"deadline": "1m"}).job.metadata.name


@pytest.mark.parametrize(
    ("job", "sink", "spec", "sentence"),
    [
        ("photos", "results", {}, "spec: give exactly one of deadline and deadlineTime"),
        ("photos", "results", {"deadlin": "10m"}, "deadlin"),
        ("photos", "results", {"deadline": "10m", "model": "resnet999"}, ""),
        (3, "results", {"deadline": "10m"}, "source: must be a path or a URI, but is of type int"),
        ("photos", 3, {"deadline": "10m"}, "sink: must be a path, but is of type int"),
        (
            "job.yaml",
            None,
            {"tel": print},
            "tel: belongs to a job without a manifest, of which a source and a sink are given",
        ),
    ],
)
def test_what_makes_no_job_is_refused(job: Any, sink: Any, spec: dict[str, Any], sentence: str) -> None:
    if not sentence:  # which models there are is known to those who plan
        assert manifest_of(job, sink, spec).job.spec.model.name == "resnet999"
        return
    with pytest.raises(Invalid) as refused:
        manifest_of(job, sink, spec)
    assert sentence in str(refused.value)
