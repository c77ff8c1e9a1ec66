"""How the objects of a job are called and found: names that follow from the job, labels to select by."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from dueby_api.inference_job import API_VERSION

GROUP, _, VERSION = API_VERSION.partition("/")
JOB = f"{GROUP}/job"
STEP = f"{GROUP}/step"
REVISION = f"{GROUP}/revision"
DEVICE_CLASS = f"{GROUP}/device-class"
MODEL = f"{GROUP}/model"
# Of what measures a node's devices by the clock: the CronJob's name, on it, its Jobs and their pods.
PROFILED = f"{GROUP}/profiled"
# Annotations of the same: the node, what a pod is told, what a CronJob was made of, why a Job was made out of turn.
NODE, CONFIG, DIGEST, REASON = (f"{GROUP}/{word}" for word in ("node", "config", "digest", "reason"))
# The step that measures a device, of which a job may have several.
PROFILE = "profile"
INDEX_OF_POD = "batch.kubernetes.io/job-completion-index"
JOB_OF_POD = "batch.kubernetes.io/job-name"
QUEUE = "kueue.x-k8s.io/queue-name"
# Of all that the operator makes.
MANAGED = {"app.kubernetes.io/managed-by": "dueby"}
# Between class and node in the name of a slow node's own class; no label's value and no node's name has it.
AT = "@"
_MAX_CLASS, _MAX_NAME, _MAX_PROFILE = 16, 63, 253
# Kubernetes makes the names of a CronJob's Jobs of it and eleven letters more.
_MAX_CRON_JOB = 52


def labels(job: str, step: str) -> dict[str, str]:
    """Of a step's Job and pods."""
    return {**MANAGED, JOB: job, STEP: step}


def step_name(job: str, step: str) -> str:
    """Of the Job of a step that there is once: index, finish."""
    return f"{job}-{step}"


def workers_name(job: str, revision: int, device_class: str) -> str:
    """Of the Job of a revision's workers of one class: at most 63 characters, the job having at most 40."""
    slug = _slug(device_class)
    begin = f"{job}-r{revision}-"
    longest = min(_MAX_CLASS, _MAX_NAME - len(begin))
    if len(slug) > longest:
        slug = f"{slug[: longest - 5].strip('-')}-{_digest(device_class)}"
    return f"{begin}{slug}"


def profiling_name(job: str, device_class: str, model: str) -> str:
    """Of the Job that measures a class for the job; a job that is edited to another model has another."""
    begin, end = f"{job}-{PROFILE}-", f"-{_digest(device_class, model, length=6)}"
    slug = _slug(device_class)[: _MAX_NAME - len(begin) - len(end)]
    return f"{begin}{slug}".rstrip("-") + end


def node_profiling_name(node: str, device_class: str) -> str:
    """Of the CronJob that measures a node's devices of a class."""
    begin, end = f"{PROFILE}-", f"-{_digest(node, device_class, length=6)}"
    slug = _slug(node)[: _MAX_CRON_JOB - len(begin) - len(end)]
    return f"{begin}{slug}".rstrip("-") + end


def again_name(cron_job: str, measured: str) -> str:
    """Of the Job that measures anew what was measured then: the same for the same, so that there is one."""
    return f"{cron_job}-{_digest(measured, length=8)}"


def profile_name(*parts: str) -> str:
    """Of a GPUProfile: its class, model and engine, and of a node's own the node; with a digest where that is long."""
    whole = _slug("-".join(parts))
    if len(whole) <= _MAX_PROFILE:
        return whole
    digest = _digest(*parts)
    return f"{whole[: _MAX_PROFILE - len(digest) - 1].strip('-')}-{digest}"


def own_class(device_class: str, node: str) -> str:
    """The class that a slow node's devices are; the class itself where no node is given."""
    return f"{device_class}{AT}{node}" if node else device_class


def class_of(device_class: str) -> str:
    """The class that a slow node's own class comes from; of any other, itself."""
    return device_class.partition(AT)[0]


def node_of(device_class: str) -> str:
    """The node of a slow node's own class; empty for any other."""
    return device_class.partition(AT)[2]


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _digest(*texts: str, length: int = 4) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:length]


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


def node_owner(name: str, uid: str) -> dict[str, Any]:
    """The reference by which what is about a node goes with it."""
    return {"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid}


def jobs_path(namespace: str | None = None, name: str = "", subresource: str = "") -> str:
    """Of InferenceJobs."""
    return _path(f"/apis/{API_VERSION}", namespace, "inferencejobs", name, subresource)


def profiles_path(name: str = "", subresource: str = "") -> str:
    """Of GPUProfiles."""
    return _path(f"/apis/{API_VERSION}", None, "gpuprofiles", name, subresource)


def batch_path(namespace: str | None = None, name: str = "") -> str:
    """Of Kubernetes' Jobs."""
    return _path("/apis/batch/v1", namespace, "jobs", name)


def cron_jobs_path(namespace: str | None = None, name: str = "") -> str:
    """Of Kubernetes' CronJobs."""
    return _path("/apis/batch/v1", namespace, "cronjobs", name)


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
