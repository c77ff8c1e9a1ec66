"""The CRDs, made from the classes that `dueby run` validates with: `python -m dueby_operator.crds -o crds`.

Kubernetes wants a structural schema: types written out, no references, no `null` beside a type. What one field's schema
can't say is a CEL rule with the sentence that the user reads; `__post_init__` in the planner's classes says the same
to those who have no cluster.
"""

import argparse
import ast
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from dueby_api.gpu_profile import ProfileSpec
from dueby_api.inference_job import JobSpec
from dueby_api.schema import Spec, json_schemas, specs_within
from dueby_api.status import JobStatus, ProfileStatus
from dueby_operator.jobs.names import GROUP, VERSION

# An uninstalled chart leaves the CRDs, for with them would go every job and profile.
KEPT = {"helm.sh/resource-policy": "keep"}
Schema = dict[str, Any]

_ONCE_INDEXED = "!has(oldSelf.status) || !has(oldSelf.status.images) || "
# By the resource's kind and the path of what the rule is about: CEL, and the sentence where it doesn't hold.
RULES: Mapping[tuple[str, str], tuple[tuple[str, str], ...]] = {
    ("InferenceJob", ""): (
        (
            "size(self.metadata.name) <= 40 && !self.metadata.name.contains('.')",
            "metadata.name: at most 40 letters, digits and dashes: the names of the job's pods begin with it",
        ),
        *(
            (
                f"{_ONCE_INDEXED}self.spec.{name} == oldSelf.spec.{name}",
                f"spec.{name}: can't change once the images are counted: the results depend on it; make another job",
            )
            for name in ("source", "sink", "model")
        ),
        (
            f"{_ONCE_INDEXED}has(self.spec.images) == has(oldSelf.spec.images) && "
            "(!has(self.spec.images) || self.spec.images == oldSelf.spec.images)",
            "spec.images: can't change once the images are counted; make another job",
        ),
    ),
    ("InferenceJob", "spec"): (
        ("has(self.deadline) != has(self.deadlineTime)", "give exactly one of deadline and deadlineTime"),
        (
            "!has(self.source.synthetic) || has(self.images)",
            "images: is missing; a synthetic source has as many images as you say",
        ),
    ),
    ("InferenceJob", "spec.deadline"): (("duration(self) > duration('0s')", "must be longer than 0"),),
    ("InferenceJob", "spec.ttlAfterFinished"): (("duration(self) > duration('0s')", "must be longer than 0"),),
    ("InferenceJob", "spec.maxFailedImages"): (
        (
            "type(self) == string ? self.matches('^(100|[0-9]{1,2}([.][0-9]{1,4})?)%$') : self >= 0",
            "must be a number of images from 0, or a share such as 1% or 0.5%",
        ),
    ),
    ("InferenceJob", "spec.source"): (
        (
            "[has(self.uri), has(self.manifest), has(self.synthetic)].filter(given, given).size() == 1",
            "give exactly one of uri, manifest and synthetic",
        ),
    ),
    ("InferenceJob", "spec.sink"): (
        (
            "!self.uri.lowerAscii().matches('^https?://')",
            "uri: a web server can only be read from; use a folder, s3:// or gs://",
        ),
    ),
    ("GPUProfile", "spec"): (
        (
            "self.steps.map(step, step.miniBatchSize).isSorted()",
            "steps: must ascend in miniBatchSize",
        ),
        (
            "self.steps.all(step, self.steps.filter(other, other.miniBatchSize == step.miniBatchSize).size() == 1)",
            "steps: has two rows of one miniBatchSize; keep one",
        ),
        (
            "has(self.steps[size(self.steps) - 1].warmupMicros)",
            "steps: the largest size has no warmupMicros, and there is no larger one to take it from",
        ),
        (
            "!has(self.maxMiniBatchSize) || self.maxMiniBatchSize >= self.steps[0].miniBatchSize",
            "maxMiniBatchSize: is below the least size measured",
        ),
    ),
    ("GPUProfile", "spec.startupMicros"): (("self.p95 >= self.p50", "p95 is below the median"),),
    ("GPUProfile", "spec.steps[].warmupMicros"): (("self.p95 >= self.p50", "p95 is below the median"),),
}

JOB_COLUMNS = (
    ("Phase", "string", ".status.phase", 0),
    ("GPUs", "integer", ".status.plan.gpus", 0),
    ("Images", "string", ".status.progress.images", 0),
    ("Deadline", "string", ".status.deadlineTime", 0),
    ("Slack", "string", ".status.progress.slack", 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Class", "string", ".spec.deadlineClass", 1),
    ("Model", "string", ".spec.model.name", 1),
    ("Images/s", "integer", ".status.progress.imagesPerSecond", 1),
    ("Failed", "integer", ".status.progress.imagesFailed", 1),
    ("Expected", "string", ".status.progress.expectedFinish", 1),
    ("Message", "string", ".status.message", 1),
)
PROFILE_COLUMNS = (
    ("Class", "string", ".spec.deviceClass", 0),
    ("Model", "string", ".spec.model.name", 0),
    ("Size", "integer", ".spec.model.imageSize", 0),
    ("Precision", "string", ".spec.model.precision", 0),
    ("Engine", "string", ".spec.engine", 0),
    ("Images/s", "integer", ".status.imagesPerSecond", 0),
    ("Node", "string", ".spec.device.node", 0),
    ("Current", "string", ".status.conditions[?(@.type=='Current')].status", 0),
    ("Measured", "date", ".spec.measuredAt", 0),
    ("Reason", "string", ".status.conditions[?(@.type=='Current')].reason", 1),
)


def job_crd() -> Schema:
    """The CRD of InferenceJob."""
    return _crd(
        "InferenceJob",
        plural="inferencejobs",
        short="infj",
        scope="Namespaced",
        description="N images classified by a deadline T on the fewest GPUs.",
        spec=JobSpec,
        status=JobStatus,
        columns=JOB_COLUMNS,
    )


def profile_crd() -> Schema:
    """The CRD of GPUProfile."""
    return _crd(
        "GPUProfile",
        plural="gpuprofiles",
        short="gprof",
        scope="Cluster",
        description="The measured profile of a device class, or of one node's device.",
        spec=ProfileSpec,
        status=ProfileStatus,
        columns=PROFILE_COLUMNS,
    )


def structural_schema(kind: type[Spec], *, resource: str, path: str) -> Schema:
    """The class as Kubernetes wants it, with its documentation and its rules."""
    schemas = json_schemas(kind)
    classes = {found.__name__: found for found in specs_within(kind)}

    def convert(node: Schema, path: str) -> Schema:
        if "$ref" in node:
            name = node["$ref"].rpartition("/")[2]
            whole = of_class(classes[name], schemas[name], path)
            if "default" in node and path.startswith("spec"):
                whole["default"] = {}  # the API server fills in the defaults inside
            return whole
        if "anyOf" in node:
            return _with_default(node, either(node["anyOf"], path), path)
        found = {key: value for key, value in node.items() if key not in ("title", "description", "default")}
        if "enum" in found:
            found |= {"type": "string", "enum": list(found["enum"])}
        if found.get("type") == "integer":
            found["format"] = "int64"
        for side in ("Minimum", "Maximum"):  # OpenAPI 3.0 has the bound in the one field and a flag in the other
            if f"exclusive{side}" in found:
                found[side.lower()], found[f"exclusive{side}"] = found[f"exclusive{side}"], True
        if "items" in found:
            found["items"] = convert(found["items"], f"{path}[]")
        if found.get("type") == "object" and "additionalProperties" not in found:
            found["x-kubernetes-preserve-unknown-fields"] = True
        if isinstance(found.get("additionalProperties"), dict):
            found["additionalProperties"] = convert(found["additionalProperties"], f"{path}{{}}")
        return _with_default(node, _with_rules(found, resource, path), path)

    def either(choices: list[Schema], path: str) -> Schema:
        choices = [choice for choice in choices if choice != {"type": "null"}]
        if len(choices) == 1:
            return convert(choices[0], path)
        if all("enum" in choice for choice in choices):
            return {"type": "string", "enum": [value for choice in choices for value in choice["enum"]]}
        return _with_rules({"x-kubernetes-int-or-string": True}, resource, path)

    def of_class(spec: type[Spec], schema: Schema, path: str) -> Schema:
        told = field_documents(spec)
        properties = {}
        for name, node in schema["properties"].items():
            below = f"{path}.{name}" if path else name
            properties[name] = {"description": told[name], **convert(node, below)}
        found: Schema = {"type": "object", "description": _one_line(spec.__doc__), "properties": properties}
        if schema.get("required"):
            found["required"] = list(schema["required"])
        # What users may add is kept. The operator writes the status alone, and nothing that isn't declared there.
        if schema.get("additionalProperties", True) is not False and path.startswith("spec"):
            found["x-kubernetes-preserve-unknown-fields"] = True
        return _with_rules(found, resource, path)

    return of_class(kind, schemas[kind.__name__], path)


def field_documents(spec: type[Spec]) -> dict[str, str]:
    """The docstring below each field, by the field's name in the resource."""
    (tree,) = (node for node in ast.parse(inspect.getsource(spec)).body if isinstance(node, ast.ClassDef))
    outside = dict(zip(spec.__struct_fields__, spec.__struct_encode_fields__, strict=True))
    told = {}
    for field, below in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            if not (isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)):
                raise TypeError(f"{spec.__name__}.{field.target.id} has no docstring below it")
            told[outside[field.target.id]] = _one_line(str(below.value.value))
    return told


def _with_default(node: Schema, found: Schema, path: str) -> Schema:
    """Add the default of a field of the spec. In a status, what was not written is not there."""
    has_default = path.startswith("spec") and node.get("default") is not None
    return {**found, "default": node["default"]} if has_default else found


def _with_rules(found: Schema, resource: str, path: str) -> Schema:
    rules = RULES.get((resource, path))
    if rules:
        found["x-kubernetes-validations"] = [{"rule": rule, "message": sentence} for rule, sentence in rules]
    return found


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


def _crd(
    kind: str,
    *,
    plural: str,
    short: str,
    scope: str,
    description: str,
    spec: type[Spec],
    status: type[Spec],
    columns: tuple[tuple[str, str, str, int], ...],
) -> Schema:
    below = {
        "spec": structural_schema(spec, resource=kind, path="spec"),
        "status": structural_schema(status, resource=kind, path="status"),
    }
    below["status"]["properties"].get("conditions", {}).update(
        {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    )
    schema = {
        "type": "object",
        "description": description,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            **below,
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}", "annotations": KEPT},
        "spec": {
            "group": GROUP,
            "scope": scope,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short],
                "categories": ["dueby"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": _with_rules(schema, kind, "")},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [
                        {"name": name, "type": of, "jsonPath": where, "priority": wide}
                        for name, of, where, wide in columns
                    ],
                }
            ],
        },
    }


def as_yaml(crd: Schema) -> str:
    """The file's text."""
    said = "# Made by `python -m dueby_operator.crds`; change the classes it is made from.\n"
    return said + yaml.safe_dump(crd, sort_keys=False, width=120, allow_unicode=True)


def files() -> dict[str, str]:
    """The files of `crds/` by name."""
    return {f"{crd['metadata']['name'].partition('.')[0]}.yaml": as_yaml(crd) for crd in (job_crd(), profile_crd())}


def main() -> None:
    """Write them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder for the CRDs")
    folder = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    main()
