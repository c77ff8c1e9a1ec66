"""How the objects of a job are called and found: names that follow from the job, labels to select by."""

import hashlib
import re
from typing import Any

from dueby_api.inference_job import API_VERSION

GROUP, _, VERSION = API_VERSION.partition("/")
JOB = f"{GROUP}/job"
STEP = f"{GROUP}/step"
REVISION = f"{GROUP}/revision"
DEVICE_CLASS = f"{GROUP}/device-class"
MODEL = f"{GROUP}/model"
# On what measures a node's devices on a schedule, that is the CronJob, its Jobs and their pods: the CronJob's name.
PROFILED = f"{GROUP}/profiled"
# Annotations of the same: the node, a pod's configuration, what a CronJob was made of, why a Job was made out of turn.
NODE, CONFIG, DIGEST, REASON = (f"{GROUP}/{word}" for word in ("node", "config", "digest", "reason"))
# The step that measures a device. A job may have several.
PROFILE = "profile"
INDEX_OF_POD = "batch.kubernetes.io/job-completion-index"
JOB_OF_POD = "batch.kubernetes.io/job-name"
QUEUE = "kueue.x-k8s.io/queue-name"
# On everything that the operator makes.
MANAGED = {"app.kubernetes.io/managed-by": "dueby"}
_MAX_CLASS, _MAX_NAME, _MAX_PROFILE = 16, 63, 253
# Kubernetes appends eleven characters to it in the names of a CronJob's Jobs.
_MAX_CRON_JOB = 52


def labels(job: str, step: str) -> dict[str, str]:
    """Return the labels of a step's Job and pods."""
    return {**MANAGED, JOB: job, STEP: step}


def step_name(job: str, step: str) -> str:
    """Return the name of the Job of a step that there is once: index, finish."""
    return f"{job}-{step}"


def workers_name(job: str, revision: int, device_class: str) -> str:
    """Return the name of the Job of a revision's workers of one class: at most 63 characters, for a job of 40."""
    slug = _slug(device_class)
    begin = f"{job}-r{revision}-"
    longest = min(_MAX_CLASS, _MAX_NAME - len(begin))
    if len(slug) > longest:
        slug = f"{slug[: longest - 5].strip('-')}-{_digest(device_class)}"
    return f"{begin}{slug}"


def profiling_name(job: str, device_class: str, model: str) -> str:
    """Return the name of the Job that measures a class for the job. A job edited to another model has another."""
    begin, end = f"{job}-{PROFILE}-", f"-{_digest(device_class, model, length=6)}"
    slug = _slug(device_class)[: _MAX_NAME - len(begin) - len(end)]
    return f"{begin}{slug}".rstrip("-") + end


def node_profiling_name(node: str, device_class: str) -> str:
    """Return the name of the CronJob that measures a node's devices of a class."""
    begin, end = f"{PROFILE}-", f"-{_digest(node, device_class, length=6)}"
    slug = _slug(node)[: _MAX_CRON_JOB - len(begin) - len(end)]
    return f"{begin}{slug}".rstrip("-") + end


def again_name(cron_job: str, measured: str) -> str:
    """Return the name of the Job that measures again what was measured then. There is one for each such time."""
    return f"{cron_job}-{_digest(measured, length=8)}"


def profile_object_name(*parts: str) -> str:
    """Return the name of a GPUProfile made of its class, model, engine and node; with a digest if that is too long."""
    whole = _slug("-".join(parts))
    if len(whole) <= _MAX_PROFILE:
        return whole
    digest = _digest(*parts)
    return f"{whole[: _MAX_PROFILE - len(digest) - 1].strip('-')}-{digest}"


def job_owner(name: str, uid: str) -> dict[str, Any]:
    """Return the reference by which what is made for an InferenceJob goes with it."""
    return {
        "apiVersion": API_VERSION,
        "kind": "InferenceJob",
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def node_owner(name: str, uid: str) -> dict[str, Any]:
    """Return the reference by which what is about a node goes with it."""
    return {"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid}


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _digest(*texts: str, length: int = 4) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:length]
