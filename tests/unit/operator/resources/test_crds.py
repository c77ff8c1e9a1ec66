"""The CRDs are the one schema: made from the classes that `dueby run` validates with, and nothing else."""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from dueby_api.engines import ENGINES, unsuited
from dueby_api.errors import Invalid
from dueby_api.inference_job import Model, parse_job
from dueby_api.output import OUTPUT_FIELDS, Output
from dueby_api.schema import validate
from dueby_operator.resources.__main__ import generated_files
from dueby_operator.resources.crds import job_crd, profile_crd
from support.source_tree import REPOSITORY

# What is beside an ONNX file is no manifest.
EXAMPLES = sorted(found for found in (REPOSITORY / "examples").rglob("*.yaml") if found.parent.name != "models")


def schema_of(crd: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, below in schema.get("properties", {}).items():
        yield from nodes(below, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from nodes(schema[key], f"{path}[]")


# What holds a value of the type to a size, whatever is in it; a mapping of fields has those of its class.
BOUNDS = {
    "array": {"maxItems"},
    "object": {"properties", "maxProperties"},
    "string": {"maxLength", "pattern", "enum", "format"},
    "number": {"maximum", "x-kubernetes-validations"},
    "integer": {"maximum"},
    "boolean": {"type"},
    "": {"maxLength"},
}


@pytest.fixture(scope="module", params=[job_crd, profile_crd], ids=["InferenceJob", "GPUProfile"])
def schema(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The schema of each CRD."""
    return schema_of(request.param())


def test_the_files_are_what_the_classes_and_tables_make() -> None:
    made = generated_files()
    crds = {f"crds/{path.name}" for path in (REPOSITORY / "crds").iterdir()}
    assert crds | {"docs/conditions.md"} == set(made)
    written = {path: (REPOSITORY / path).read_text() for path in made}
    assert written == made, "run: python -m dueby_operator.resources"


def test_every_field_of_spec_and_status_says_what_it_is(schema: dict[str, Any]) -> None:
    fields = [
        (path, node)
        for path, node in nodes(schema)
        if path.startswith((".spec.", ".status.")) and not path.endswith("]")
    ]
    untold = [path for path, node in fields if not node.get("description")]
    assert len(fields) > 15
    assert untold == []


def test_whatever_a_user_writes_has_a_bound(schema: dict[str, Any]) -> None:
    written = [(path, node) for path, node in nodes(schema) if path.startswith(".spec.")]
    assert [path for path, node in written if "x-kubernetes-preserve-unknown-fields" in node] == []
    assert [path for path, node in written if not node.keys() & BOUNDS[node.get("type", "")]] == []


def test_the_schema_is_structural(schema: dict[str, Any]) -> None:
    for path, node in nodes(schema):
        assert node.keys() & {"type", "x-kubernetes-int-or-string"}, path
        assert not node.keys() & {"$ref", "anyOf", "oneOf", "const", "definitions"}, path
        if "default" in node and node.get("type") == "object":
            assert node["default"] == {}, path


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_valid_by_the_schema(example: Path) -> None:
    documents = json.loads(json.dumps(list(yaml.safe_load_all(example.read_text())), default=datetime.isoformat))
    # What a job needs beside it is Kubernetes' own.
    for document in [each for each in documents if each["apiVersion"] == "dueby.dev/v1alpha1"]:
        schema = schema_of(job_crd() if document["kind"] == "InferenceJob" else profile_crd())
        jsonschema.validate(document, schema, cls=jsonschema.Draft4Validator)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"deadlineClass": "Tough"}, id="a class that isn't there"),
        pytest.param({"images": 0}, id="no images"),
        pytest.param({"deadline": "9" * 40 + "s"}, id="a deadline in many digits"),
        pytest.param({"gpus": {"max": 0}}, id="no GPUs"),
        pytest.param({"model": {"imageSize": 3}}, id="images too small"),
        pytest.param({"output": {"kind": "Caption"}}, id="an output that isn't there"),
        pytest.param({"output": {"k": 101}}, id="more classes than anybody reads"),
        pytest.param({"queueName": "q" * 64}, id="a long name"),
    ],
)
def test_what_the_schema_refuses_dueby_run_refuses_too(change: dict[str, Any]) -> None:
    spec = {"images": 9, "deadline": "10m", "source": {"synthetic": {}}, "sink": {"uri": "rows"}}
    document = {
        "apiVersion": "dueby.dev/v1alpha1",
        "kind": "InferenceJob",
        "metadata": {"name": "job"},
        "spec": {**spec, **change},
    }
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema_of(job_crd()), cls=jsonschema.Draft4Validator)
    with pytest.raises(Invalid):
        parse_job(document)


def test_no_bound_of_a_number_is_cut_to_an_integer_by_the_api_server(schema: dict[str, Any]) -> None:
    bounds = ("minimum", "maximum")
    assert not [
        path
        for path, node in nodes(schema)
        if node.get("type") == "number" and any(not float(node.get(bound, 0)).is_integer() for bound in bounds)
    ]


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_is_refused_with_the_sentence_that_the_class_has(engine: str) -> None:
    model = schema_of(job_crd())["properties"]["spec"]["properties"]["model"]
    messages = [rule["message"] for rule in model["x-kubernetes-validations"]]
    for name in ("resnet50", "onnx/a"):
        if wrong := unsuited(engine, name):
            with pytest.raises(Invalid, match=re.escape(f"engine: {wrong}")):
                validate(Model, {"name": name, "weights": "a.onnx", "engine": engine})
            assert f"engine: {wrong}" in messages


def test_each_field_of_an_output_has_the_rule_that_the_class_has() -> None:
    output = schema_of(job_crd())["properties"]["spec"]["properties"]["output"]
    rules = {rule["rule"]: rule["message"] for rule in output["x-kubernetes-validations"]}
    assert len(rules) == len(output["properties"]) - 1
    for kind, fields in OUTPUT_FIELDS.items():
        for field in fields:
            given: dict[str, Any] = {"kind": "TopK" if kind != "TopK" else "Embedding", field: 1}
            with pytest.raises(ValueError, match=re.escape(rules[f"!has(self.{field}) || self.kind == '{kind}'"])):
                Output(**given)


def test_a_confidence_out_of_range_is_refused_with_the_range() -> None:
    confidence = schema_of(job_crd())["properties"]["spec"]["properties"]["confidence"]
    assert confidence["x-kubernetes-validations"] == [
        {"rule": "self >= 0.5 && self <= 0.999", "message": "must be a number of at least 0.5 and at most 0.999"}
    ]
