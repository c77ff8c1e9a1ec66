"""What makes no sense is refused by the API server at once, with a sentence; what the resources say of themselves."""

import json
import re
from typing import Any

import pytest

from support.kind.cluster import Cluster
from support.kind.cluster_job import job, share_photos
from support.kind.largest_objects import largest_objects
from support.kind.model import profile_document

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900, func_only=True)]

# By what is wrong: the change to a good job's spec, and part of the sentence that comes back.
BAD_JOBS: dict[str, tuple[dict[str, Any], str]] = {
    "two deadlines": ({"deadlineTime": "2030-01-01T00:00:00Z"}, "give exactly one of deadline and deadlineTime"),
    "no deadline": ({"deadline": None}, "give exactly one of deadline and deadlineTime"),
    "no time at all": ({"deadline": "0s"}, "must be longer than 0"),
    "a deadline beyond all bounds": ({"deadline": "99999999h"}, "must be a duration such as 10m, 1h30m or 90s"),
    "days": ({"deadline": "1d"}, "must be a duration such as 10m, 1h30m or 90s, of at most 99999h; a day is 24h"),
    "a deadline in the past": ({"deadline": "-5m"}, "must be a duration such as 10m"),
    "an empty deadline": ({"deadline": ""}, "must be a duration such as 10m"),
    "a bare number": ({"deadline": 600}, 'spec.deadline in body must be of type string: "integer"'),
    "a time that is none": (
        {"deadline": None, "deadlineTime": "6 o'clock"},
        "spec.deadlineTime in body must be of type date-time",
    ),
    "a time of another age": (
        {"deadline": None, "deadlineTime": "0999-01-01T00:00:00Z"},
        "must be in the years 1970 to 2999, such as 2026-12-01T06:00:00Z",
    ),
    "a time that nobody sees": (
        {"deadline": None, "deadlineTime": "9999-12-31T23:59:59-14:00"},
        "must be in the years 1970 to 2999, such as 2026-12-01T06:00:00Z",
    ),
    "a class": ({"deadlineClass": "Tough"}, 'supported values: "BestEffort", "Hard", "Relaxed", "Soft"'),
    "a low confidence": ({"confidence": 0.4}, "must be a number of at least 0.5 and at most 0.999"),
    "certainty": ({"confidence": 1}, "must be a number of at least 0.5 and at most 0.999"),
    "what to do at the deadline": ({"onDeadline": "Panic"}, 'supported values: "Continue", "Stop"'),
    "a share too large": (
        {"maxFailedImages": "200%"},
        "must be a number of images from 0 to 10",
    ),
    "more than there are may fail": ({"maxFailedImages": 10**13}, "must be a number of images from 0 to"),
    "fewer than none may fail": (
        {"maxFailedImages": -1},
        "must be a number of images from 0 to 10",
    ),
    "an objective": ({"objective": "MaxFun"}, 'supported values: "MinCost", "MinGPUs"'),
    "no images": ({"images": 0}, "spec.images in body should be greater than or equal to 1"),
    "more images than there are numbers": ({"images": 10**15}, "spec.images in body should be less than or equal to"),
    "half an image": ({"images": 1.5}, 'spec.images in body must be of type integer: "number"'),
    "no source": ({"source": {}}, "give exactly one of uri, manifest, parquet, lance and synthetic"),
    "two sources": (
        {"source": {"uri": "a", "synthetic": {}}},
        "give exactly one of uri, manifest, parquet, lance and synthetic",
    ),
    "no N for synthetic images": ({"source": {"synthetic": {}}}, "images: is missing; a synthetic source has"),
    "a list beside Parquet files": (
        {"source": {"manifest": {"uri": "a"}, "parquet": {"uri": "b"}}},
        "give exactly one of uri, manifest, parquet, lance and synthetic",
    ),
    "tolerance on a GPU": (
        {"source": {"uri": "a", "decode": "tolerant", "decoder": "gpu"}},
        "decoder: a GPU can't decode tolerantly",
    ),
    "colours on a GPU": (
        {"source": {"uri": "a", "color": "srgb", "decoder": "gpu"}},
        "decoder: a GPU doesn't convert colours",
    ),
    "nothing to decode on a GPU": (
        {"images": 1, "source": {"synthetic": {}, "decoder": "gpu"}},
        "decoder: synthetic images aren't decoded",
    ),
    "nothing to keep": ({"images": 1, "source": {"synthetic": {}, "keep": ["a"]}}, "keep: synthetic images have no"),
    "kept twice": ({"source": {"uri": "a.tar", "keep": ["b", "b"]}}, "keep: names a column twice"),
    "kept under a name of the rows": (
        {"source": {"uri": "a.tar", "keep": ["labels"]}},
        "keep: names one of index, uri, name",
    ),
    "a GPU that decodes beside an engine for CPUs": (
        {"source": {"uri": "a", "decoder": "gpu"}, "model": {"engine": "openvino"}},
        "model.engine: runs on CPUs, but source.decoder is gpu",
    ),
    "Parquet files nowhere": ({"source": {"parquet": {}}}, "spec.source.parquet.uri: Required value"),
    "results among Parquet files": (
        {"source": {"parquet": {"uri": "a"}}, "sink": {"uri": "a"}},
        "sink.uri: is the folder of the source",
    ),
    "a Lance dataset at a web server": (
        {"source": {"lance": {"uri": "https://example.com/a.lance"}}},
        "uri: Lance datasets are read at file and s3; copy this one there",
    ),
    "results in a Lance dataset": (
        {"source": {"lance": {"uri": "a"}}, "sink": {"uri": "a"}},
        "sink.uri: is the folder of the source",
    ),
    "an empty source": ({"source": {"uri": ""}}, "spec.source.uri in body should be at least 1 chars long"),
    "a manifest without a place": ({"source": {"manifest": {}}}, "spec.source.manifest.uri: Required value"),
    "an image without width": (
        {"images": 1, "source": {"synthetic": {"width": 0}}},
        "spec.source.synthetic.width in body should be greater than or equal to 1",
    ),
    "no sink": ({"sink": None}, "spec.sink: Required value"),
    "a sink without a place": ({"sink": {}}, "spec.sink.uri: Required value"),
    "a sink on a web server": (
        {"sink": {"uri": "HTTPS://example.org/rows"}},
        "uri: a web server can only be read from; use a folder, s3://, gs:// or az://",
    ),
    "a sink of many folders": ({"sink": {"uri": "rows/*"}}, "uri: is a glob, but results go to one folder"),
    "a sink beside the pod's program": (
        {"sink": {"uri": "rows"}},
        "uri: is a relative path, which means nothing in a pod; give the path on a volume, such as /data/rows",
    ),
    "a sink that is the source": (
        {"source": {"uri": "a"}, "sink": {"uri": "a"}},
        "sink.uri: is the folder of the source; give the results a folder of their own",
    ),
    "what to do with a sink in use": (
        {"sink": {"uri": "a", "ifExists": "Delete"}},
        'supported values: "Append", "Fail", "Overwrite", "Resume"',
    ),
    "changed images of a sink that is not added to": (
        {"sink": {"uri": "/b", "changed": True}},
        "changed: classifies images again beside the rows that there are, which is what ifExists: Append does",
    ),
    "changed images of a list": (
        {
            "source": {"manifest": {"uri": "/a.csv"}},
            "sink": {"uri": "/b", "ifExists": "Append", "changed": True},
        },
        "sink.changed: compares files by what their store says of them when it lists a folder; give a folder or a glob",
    ),
    "a model without a name": ({"model": {"name": ""}}, "spec.model.name in body should be at least 1 chars long"),
    "a tiny image": ({"model": {"imageSize": 8}}, "spec.model.imageSize in body should be greater than or equal to 32"),
    "a precision": ({"model": {"precision": "int4"}}, 'supported values: "bf16", "fp16", "fp32", "int8"'),
    "an engine": ({"model": {"engine": "steam"}}, "spec.model.engine: Unsupported value"),
    "an ONNX file that is none": (
        {"model": {"name": "onnx/a"}},
        "weights: a model onnx/NAME is a file: give the path of",
    ),
    "an ONNX file for PyTorch": (
        {"model": {"name": "onnx/a", "weights": "a.onnx", "engine": "eager"}},
        "engine: eager doesn't run ONNX files; set auto, onnxruntime, tensorrt or openvino",
    ),
    "a threshold above everything": ({"output": {"threshold": {"label": "a", "above": 1}}}, "should be less than 1"),
    "an output": ({"output": {"kind": "Caption"}}, 'supported values: "Embedding", "Probabilities", "TopK"'),
    "classes of an embedding": ({"output": {"kind": "Embedding", "k": 3}}, "k: only the kind TopK has it"),
    "a layer of classes": ({"output": {"layer": "layer4"}}, "layer: only the kind Embedding has it"),
    "no GPUs": ({"gpus": {"max": 0}}, "spec.gpus.max in body should be greater than or equal to 1"),
    "a debt of GPUs": ({"gpus": {"reserve": -1}}, "spec.gpus.reserve in body should be greater than or equal to 0"),
    "more devices to lose than there may be": (
        {"gpus": {"max": 2, "reserve": 3}},
        "reserve: devices that may be lost count within max, and can't be more; raise max or lower reserve",
    ),
    "slices of no core": ({"gpus": {"classes": ["cpu-0"]}}, "slices of cores are called cpu-1, cpu-2 and so on"),
    "slices in capitals": ({"gpus": {"classes": ["CPU-2"]}}, "slices of cores are called cpu-1, cpu-2 and so on"),
    "an image in words": (
        {"worker": {"image": "My Image"}},
        "is not the name of an image, such as registry.example.org/team/worker:1.2",
    ),
    "an image with two tags": ({"worker": {"image": "a:b:c"}}, "is not the name of an image"),
    "permanently": ({"ttlAfterFinished": "forever"}, "must be a duration such as 10m"),
    "a class without a name": ({"gpus": {"classes": [""]}}, "should be at least 1 chars long"),
    "one class as a word": ({"gpus": {"classes": "A100"}}, 'spec.gpus.classes in body must be of type array: "string"'),
    "a queue's name too long": ({"queueName": "q" * 64}, "spec.queueName: Too long: may not be more than 63"),
    "a queue that is a path": (
        {"queueName": "team/a"},
        "must be a LocalQueue's name: small letters, digits and dashes",
    ),
    "requests in a word": (
        {"worker": {"resources": {"requests": "4"}}},
        'spec.worker.resources.requests in body must be of type object: "string"',
    ),
    "a toleration of a number": (
        {"worker": {"tolerations": [{"key": 5}]}},
        'spec.worker.tolerations[0].key in body must be of type string: "integer"',
    ),
    "a time to live of nothing": ({"ttlAfterFinished": "0s"}, "must be longer than 0"),
    "suspended by a word": ({"suspend": "yes"}, 'spec.suspend in body must be of type boolean: "string"'),
    "a field that isn't there": ({"imagez": 3}, 'unknown field "spec.imagez"'),
    "a field of the worker's that isn't there": (
        {"worker": {"command": ["sh"]}},
        'unknown field "spec.worker.command"',
    ),
}

STEP = {"miniBatchSize": 8, "latencyMicros": {"mean": 1}, "warmupMicros": {"p50": 1, "p95": 1}}
BAD_PROFILES: dict[str, tuple[dict[str, Any], str]] = {
    "nothing measured": ({"steps": []}, "spec.steps in body should have at least 1 items"),
    "sizes that descend": ({"steps": [STEP, {**STEP, "miniBatchSize": 4}]}, "steps: must ascend in miniBatchSize"),
    "one size twice": ({"steps": [STEP, STEP]}, "steps: has two rows of one miniBatchSize; keep one"),
    "no warm-up at the largest size": (
        {"steps": [{"miniBatchSize": 8, "latencyMicros": {"mean": 1}}]},
        "steps: the largest size has no warmupMicros",
    ),
    "a p95 below the median": ({"startupMicros": {"p50": 2, "p95": 1}}, "p95 is below the median"),
    "MB below what was measured": ({"maxMiniBatchSize": 4}, "maxMiniBatchSize: is below the least size measured"),
    "an engine of no device": ({"engine": "auto"}, "spec.engine: Unsupported value"),
    "a spread of everything": ({"spread": {"run": 1}}, "spec.spread.run in body should be less than 1"),
}


def changed(document: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """The document with these fields of its spec; None takes one away."""
    spec = {name: value for name, value in {**document["spec"], **change}.items() if value is not None}
    return {**document, "spec": spec}


@pytest.mark.parametrize("wrong", BAD_JOBS)
def test_a_job_that_makes_no_sense_is_refused_with_a_sentence(cluster: Cluster, wrong: str) -> None:
    change, sentence = BAD_JOBS[wrong]
    told = cluster.refusal(changed(job(cluster, "bad"), change))
    assert sentence in told
    assert "should match" not in told, "nobody reads a regular expression"


@pytest.mark.parametrize("wrong", BAD_PROFILES)
def test_a_profile_that_makes_no_sense_is_refused_with_a_sentence(cluster: Cluster, wrong: str) -> None:
    change, sentence = BAD_PROFILES[wrong]
    assert sentence in cluster.refusal(changed(profile_document(), change))


@pytest.mark.parametrize("name", ["j" * 41, "with.dot"])
def test_a_name_that_its_pods_cannot_have_is_refused(cluster: Cluster, name: str) -> None:
    assert "at most 40 letters, digits and dashes" in cluster.refusal(job(cluster, name))


def test_the_longest_names_and_the_largest_objects_are_taken(cluster: Cluster) -> None:
    for document in largest_objects(cluster.namespace):
        is_taken, told = attempt_dry(cluster, document)
        assert is_taken, f"{document['kind']} {document['metadata']['name']}: {told}"
        if document["spec" if "spec" in document else "metadata"].get("completionMode") == "Indexed":
            name = f"{document['metadata']['name']}x"
            is_taken, told = attempt_dry(cluster, {**document, "metadata": {**document["metadata"], "name": name}})
            assert not is_taken, name
            assert "will not able to create pod with invalid DNS label" in told, "the rule that the names keep to"


def attempt_dry(cluster: Cluster, document: dict[str, Any]) -> tuple[bool, str]:
    """Return whether the API server would make it, and what it says.

    Without fields that only later versions know: an older one gets Jobs without them.
    """
    arguments = ("create", "--dry-run=server", "--validate=warn", "-o", "name", "-f", "-")
    is_taken, told = cluster.attempt(*arguments, stdin=json.dumps(document))
    assert set(re.findall(r'unknown field "(.*?)"', told)) <= {"spec.scheduling"}
    return is_taken, told


def test_what_the_results_depend_on_cannot_change_once_the_images_are_counted(cluster: Cluster) -> None:
    share_photos(cluster, "fixed", 1)
    good = job(cluster, "fixed", suspend=True)
    good["spec"]["worker"] |= {"resources": {"requests": {"cpu": "0.5"}}, "tolerations": [{"operator": "Exists"}]}
    cluster.apply(good)
    cluster.wait(lambda: cluster.get("infj", "fixed").get("status", {}).get("images"), "the images are counted")
    for change in (
        {"source": {"uri": "/x"}},
        {"sink": {"uri": "/x"}},
        {"model": {"name": "x"}},
        {"images": 5},
        {"output": {"k": 3}},
    ):
        told = cluster.edit_refusal(changed(good, change))
        assert f"spec.{next(iter(change))}: can't change once the images are counted" in told
    cluster.kubectl("delete", "infj", "fixed")


def test_the_resources_explain_themselves(cluster: Cluster) -> None:
    told = cluster.kubectl("explain", "infj.spec")
    assert "T, from the object's creation: 10m, 1h30m" in " ".join(told.split())
    assert "<required>" not in cluster.kubectl("explain", "infj.spec.model")
    for path in ("infj.spec.gpus", "infj.spec.worker", "infj.status.plan", "gprof.spec.steps"):
        fields = cluster.kubectl("explain", path).partition("FIELDS:")[2].strip().split("\n\n")
        assert all("<no description>" not in field for field in fields if field.strip())
