"""How the objects of a job are called and found: names that follow from the job, labels to select by."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from dueby.planner.job import API_VERSION

GROUP, _, VERSION = API_VERSION.partition("/")
JOB = f"{GROUP}/job"
STEP = f"{GROUP}/step"
REVISION = f"{GROUP}/revision"
DEVICE_CLASS = f"{GROUP}/device-class"
INDEX_OF_POD = "batch.kubernetes.io/job-completion-index"
JOB_OF_POD = "batch.kubernetes.io/job-name"
QUEUE = "kueue.x-k8s.io/queue-name"
# Of all that the operator makes.
MANAGED = {"app.kubernetes.io/managed-by": "dueby"}
_LONGEST_CLASS, _LONGEST_NAME = 16, 63


def labels(job: str, step: str) -> dict[str, str]:
    """Of a step's Job and pods."""
    return {**MANAGED, JOB: job, STEP: step}


def step_name(job: str, step: str) -> str:
    """Of the Job of a step that there is once: index, finish."""
    return f"{job}-{step}"


def workers_name(job: str, revision: int, device_class: str) -> str:
    """Of the Job of a revision's workers of one class: at most 63 characters, the job having at most 40."""
    slug = re.sub(r"[^a-z0-9]+", "-", device_class.lower()).strip("-")
    begin = f"{job}-r{revision}-"
    longest = min(_LONGEST_CLASS, _LONGEST_NAME - len(begin))
    if len(slug) > longest:
        slug = f"{slug[: longest - 5].strip('-')}-{hashlib.sha256(device_class.encode()).hexdigest()[:4]}"
    return f"{begin}{slug}"


def owner(job: Mapping[str, Any]) -> dict[str, Any]:
    """The reference by which what is made for a job goes with it."""
    return {
        "apiVersion": API_VERSION,
        "kind": "InferenceJob",
        "name": job["metadata"]["name"],
        "uid": job["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": False,
    }


def jobs_path(namespace: str | None = None, name: str = "", subresource: str = "") -> str:
    """Of InferenceJobs."""
    return _path(f"/apis/{API_VERSION}", namespace, "inferencejobs", name, subresource)


def profiles_path() -> str:
    """Of GPUProfiles."""
    return _path(f"/apis/{API_VERSION}", None, "gpuprofiles", "")


def batch_path(namespace: str | None = None, name: str = "") -> str:
    """Of Kubernetes' Jobs."""
    return _path("/apis/batch/v1", namespace, "jobs", name)


def core_path(kind: str, namespace: str | None = None, name: str = "", subresource: str = "") -> str:
    """Of pods, configmaps, events, nodes, resourcequotas."""
    return _path("/api/v1", namespace, kind, name, subresource)


def lease_path(namespace: str, name: str) -> str:
    """Of a Lease."""
    return _path("/apis/coordination.k8s.io/v1", namespace, "leases", name)


def node_lease_path(node: str) -> str:
    """Of the Lease that a node's kubelet renews every 10 s."""
    return lease_path("kube-node-lease", node)


def _path(api: str, namespace: str | None, kind: str, name: str, subresource: str = "") -> str:
    place = f"/namespaces/{namespace}" if namespace else ""
    return "/".join(filter(None, (f"{api}{place}/{kind}", name, subresource)))
