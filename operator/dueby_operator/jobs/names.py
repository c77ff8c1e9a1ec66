"""How the objects of a job are called and found: names that follow from the job, labels to select by.

A name is words for people and a digest. The words are cut where Kubernetes has no room for them; the digest is of all
that the name stands for, so that two things never have one name.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from dueby_api.inference_job import API_VERSION

GROUP, _, VERSION = API_VERSION.partition("/")
JOB = f"{GROUP}/job"
STEP = f"{GROUP}/step"
WORKER = {STEP: "work"}
REVISION = f"{GROUP}/revision"
DEVICE_CLASS = f"{GROUP}/device-class"
MODEL = f"{GROUP}/model"
# On what measures a node's devices on a schedule, that is the CronJob, its Jobs and their pods: the CronJob's name.
PROFILED = f"{GROUP}/profiled"
# Annotations of the same: the node, a pod's configuration, what a CronJob was made of, why a Job was made out of turn.
NODE, CONFIG, DIGEST, REASON = (f"{GROUP}/{word}" for word in ("node", "config", "digest", "reason"))
# On a Job that measures a class for everybody, and on its pod. An annotation says for whose namespace it was begun.
ON_DEMAND, BEGUN_FOR = f"{GROUP}/on-demand", f"{GROUP}/begun-for"
# On a Job whose work is done again since what came of it was lost: which attempt it is.
ATTEMPT = f"{GROUP}/attempt"
# The step that measures a device. A job may have several.
PROFILE = "profile"
INDEX_OF_POD = "batch.kubernetes.io/job-completion-index"
JOB_OF_POD = "batch.kubernetes.io/job-name"
QUEUE = "kueue.x-k8s.io/queue-name"
# On a Job whose workers ask for nodes by a ProvisioningRequest of the Job's name, and on that: the request's class.
PROVISIONING_CLASS = f"{GROUP}/provisioning-class"
# On a Job whose workers get pods once nodes have come for which a CapacityBuffer of the Job's name asks: whether they
# have.
BUFFER, AWAITED, CAME = f"{GROUP}/capacity-buffer", "awaited", "came"
# By which an autoscaler knows the pods that a ProvisioningRequest is for: its name, and its class.
CONSUMES, CONSUMED_CLASS = (
    f"autoscaling.x-k8s.io/{word}" for word in ("consume-provisioning-request", "provisioning-class-name")
)
# On everything that the operator makes.
MANAGED = {"app.kubernetes.io/managed-by": "dueby"}
# A pod's host name is a DNS label, and so are the names of Jobs, since they are the value of a label of their pods.
_MAX_LABEL = 63
# Of an Indexed Job's name and its largest index Kubernetes makes a host name: at most 100,000 pods have `-99999`.
_MAX_JOB = _MAX_LABEL - len("-99999")
# Kubernetes appends eleven characters to it in the names of a CronJob's Jobs, which are Indexed ones.
_MAX_CRON_JOB = _MAX_JOB - 11
_MAX_PROFILE = 253
# Two of a thousand names of one job are the same once in two million.
_DIGEST = 10


def labels(job: str, step: str) -> dict[str, str]:
    return {**MANAGED, JOB: job, STEP: step}


def is_managed(labels: Mapping[str, str]) -> bool:
    """Return whether an object with these labels is one that the operator makes."""
    return MANAGED.items() <= labels.items()


def step_name(job: str, uid: str, step: str, *, told: str) -> str:
    """Return the name of the Job of a step that there is once: index, finish. One that is told else has another."""
    return _fit(f"{job}-{step}", step, uid, job, told, longest=_MAX_JOB)


def workers_name(job: str, uid: str, *, revision: int, device_class: str, chunk: int = 0) -> str:
    """Return the name of a Job of a revision's workers of one class. A class of many workers has several chunks.

    A job that is deleted and made again has another uid, so that it never meets what is left of the one before it.
    """
    return _fit(f"{job}-r{revision}-{device_class}", "work", uid, job, revision, device_class, chunk, longest=_MAX_JOB)


def profiling_name(job: str, uid: str, *, device_class: str, model: str) -> str:
    """Return the name of the Job that measures a class for the job. A job edited to another model has another."""
    return _fit(f"{job}-{PROFILE}-{device_class}", PROFILE, uid, job, device_class, model, longest=_MAX_JOB)


def node_profiling_name(node: str, device_class: str) -> str:
    """Return the name of the CronJob that measures a node's devices of a class."""
    return _fit(f"{PROFILE}-{node}", node, device_class, longest=_MAX_CRON_JOB)


def on_demand_name(device_class: str, *what: str) -> str:
    """Return the name of the Job that measures a class for everybody: the model, with an image, on certain nodes."""
    return _fit(f"{PROFILE}-on-demand-{device_class}", device_class, *what, longest=_MAX_JOB)


def again_name(cron_job: str, measured: str) -> str:
    """Return the name of the Job that measures again what was measured then. There is one for each such time."""
    return _fit(cron_job, cron_job, measured, longest=_MAX_JOB)


def profile_object_name(*parts: str) -> str:
    """Return the name of a GPUProfile made of its class, model, engine and node; with a digest if that is too long."""
    words = _slug("-".join(parts))
    return words if len(words) <= _MAX_PROFILE else _fit(words, *parts, longest=_MAX_PROFILE)


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


def batch_owner(name: str, uid: str) -> dict[str, Any]:
    """Return the reference by which what is made for a Kubernetes Job goes with it."""
    return {**job_owner(name, uid), "apiVersion": "batch/v1", "kind": "Job"}


def node_owner(name: str, uid: str) -> dict[str, Any]:
    """Return the reference by which what is about a node goes with it."""
    return {"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid}


def _fit(words: str, *identity: str | int, longest: int) -> str:
    """Return the words, as far as there is room for them, and a digest of all that the name stands for.

    Words alone don't tell A-B from A.B, nor the class `r2-x` of one job from the revision 2 of another.
    """
    end = f"-{_digest(*identity)}"
    return _slug(words)[: longest - len(end)].rstrip("-") + end


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _digest(*identity: str | int) -> str:
    # As JSON, since a class may hold any character that could be put between two.
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:_DIGEST]
