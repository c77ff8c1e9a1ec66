"""The CRDs of InferenceJob and GPUProfile, made from the classes that `dueby run` validates with."""

import yaml

from dueby_api.gpu_profile import ProfileSpec
from dueby_api.inference_job import JobSpec
from dueby_api.schema import Spec
from dueby_api.status import JobStatus, ProfileStatus
from dueby_operator.jobs.names import GROUP, VERSION
from dueby_operator.resources.schemas import Schema, structural_schema, with_rules

# Helm keeps the CRDs when it uninstalls the chart: every job and profile would go with them.
KEPT = {"helm.sh/resource-policy": "keep"}
Column = tuple[str, str, str, int]
"""Title, type, JSON path and priority. Those with priority 1 are shown by `-o wide` only.

A job's others fit into 100 columns of a terminal with a name of 25 letters. So there is room for one time: when it
ends, beside how long that is before the deadline.
"""

JOB_COLUMNS: tuple[Column, ...] = (
    ("Phase", "string", ".status.phase", 0),
    ("GPUs", "integer", ".status.gpus", 0),
    ("Images", "string", ".status.progress.images", 0),
    ("Ends", "string", ".status.ends", 0),
    ("Slack", "string", ".status.progress.slack", 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Starts", "string", ".status.starts", 1),
    ("Deadline", "string", ".status.deadlineTime", 1),
    ("Class", "string", ".spec.deadlineClass", 1),
    ("Model", "string", ".spec.model.name", 1),
    ("Images/s", "integer", ".status.progress.imagesPerSecond", 1),
    ("Cost", "string", ".status.cost", 1),
    ("Failed", "integer", ".status.progress.imagesFailed", 1),
    ("Message", "string", ".status.message", 1),
)
PROFILE_COLUMNS: tuple[Column, ...] = (
    ("Class", "string", ".spec.deviceClass", 0),
    ("Model", "string", ".spec.model.name", 0),
    ("Size", "integer", ".spec.model.imageSize", 0),
    ("Precision", "string", ".spec.model.precision", 0),
    ("Engine", "string", ".spec.engine", 0),
    ("Images/s", "integer", ".status.imagesPerSecond", 0),
    ("Node", "string", ".spec.device.node", 0),
    ("Current", "string", ".status.conditions[?(@.type=='Current')].status", 0),
    ("Measured", "date", ".spec.measuredAt", 0),
    ("Devices", "integer", ".status.devices", 1),
    ("Reason", "string", ".status.conditions[?(@.type=='Current')].reason", 1),
)


def job_crd() -> Schema:
    """Return the CRD of InferenceJob."""
    return _crd(
        "InferenceJob",
        plural="inferencejobs",
        short="infj",
        scope="Namespaced",
        description="N images classified by a deadline T on the fewest GPUs.",
        spec=JobSpec,
        status=JobStatus,
        columns=JOB_COLUMNS,
        # Known from Kubernetes 1.31 on, dropped by older ones.
        selectable=(".status.phase",),
    )


def profile_crd() -> Schema:
    """Return the CRD of GPUProfile."""
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


def crd_files() -> dict[str, str]:
    """Return the texts of the files of `crds/`, by name."""
    return {f"{crd['metadata']['name'].partition('.')[0]}.yaml": _as_yaml(crd) for crd in (job_crd(), profile_crd())}


def _crd(
    kind: str,
    *,
    plural: str,
    short: str,
    scope: str,
    description: str,
    spec: type[Spec],
    status: type[Spec],
    columns: tuple[Column, ...],
    selectable: tuple[str, ...] = (),
) -> Schema:
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
                    "schema": {
                        "openAPIV3Schema": with_rules(_object_schema(kind, description, spec, status), kind, "")
                    },
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [
                        {"name": name, "type": of, "jsonPath": where, "priority": wide}
                        for name, of, where, wide in columns
                    ],
                    **({"selectableFields": [{"jsonPath": where} for where in selectable]} if selectable else {}),
                }
            ],
        },
    }


def _object_schema(kind: str, description: str, spec: type[Spec], status: type[Spec]) -> Schema:
    below = {
        "spec": structural_schema(spec, resource=kind, path="spec"),
        "status": structural_schema(status, resource=kind, path="status"),
    }
    below["status"]["properties"].get("conditions", {}).update(
        {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    )
    return {
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


def _as_yaml(crd: Schema) -> str:
    """Return the text of the CRD's file."""
    head = "# Made by `python -m dueby_operator.resources`; change the classes it is made from.\n"
    return head + yaml.safe_dump(crd, sort_keys=False, width=120, allow_unicode=True)
