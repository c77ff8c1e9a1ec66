"""The CronJob that measures a node's devices of one class: an Indexed Job with an index for each subject. Pure.

A pod has one device, since a Job has one template and a template asks for one resource: a node with several classes,
such as slices of GPUs, has as many CronJobs. Settings that have reasons: the pods' priority is below every worker's, so
that they get a device only while nobody wants it and leave it at once when somebody does; being put out so is no
failure. What a pod is told is an annotation of its own that a volume shows it, so that no ConfigMap must be kept in
step; it is the workers' format, so the index selects the subject.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from dueby_api.engines import runs_on_cpu
from dueby_api.inference_job import Model
from dueby_operator.cluster.nodes import DeviceKind, Node
from dueby_operator.cluster.requests import TOLERATIONS
from dueby_operator.jobs import names
from dueby_operator.jobs.pod_templates import (
    CONFIG_MOUNTS,
    CONTAINER_SECURITY,
    GRACE_S,
    POD_SECURITY,
    PORT,
    REQUIRED,
    SCRATCH,
    VOLUME_SECURITY,
)
from dueby_operator.objects.jobs import CronJob
from dueby_operator.objects.pods import CONTAINER
from dueby_operator.profiling.on_demand_jobs import ARGUMENTS, COMMAND, LIMIT_S
from dueby_operator.settings import OperatorSettings, ProfilerSettings, Window

# A CronJob that could not begin for this long, such as on a node that was off, waits for its next time.
LATEST_START_S = 3600
# What a run leaves is read within seconds; it is kept for a day for people.
KEPT_S = 86_400
Document = dict[str, Any]


def cron_job(
    node: Node,
    device_class: str,
    device: DeviceKind,
    subjects: Sequence[Model],
    settings: OperatorSettings,
    profiler: ProfilerSettings,
) -> Document:
    """Return the CronJob, with the digest by which a change of it is noticed."""
    name = names.node_profiling_name(node.name, device_class)
    labels = {**names.MANAGED, names.PROFILED: name}
    about = {names.DEVICE_CLASS: device_class, names.NODE: node.name}
    pod = _pod(node, device, subjects, settings, profiler)
    config = _config(name, device_class, subjects, settings)
    pod["metadata"] = {"labels": labels, "annotations": {**about, names.CONFIG: config}}
    document: Document = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {
            "name": name,
            "namespace": profiler.namespace,
            "labels": labels,
            "annotations": about,
            "ownerReferences": [names.node_owner(node.name, node.uid)],
        },
        "spec": {
            "schedule": schedule(profiler.window, name),
            "timeZone": profiler.window.time_zone or None,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": LATEST_START_S,
            "successfulJobsHistoryLimit": 1,
            "failedJobsHistoryLimit": 1,
            "jobTemplate": {
                "metadata": {"labels": labels, "annotations": about},
                "spec": _job_spec(pod, count=len(subjects), limit_s=profiler.limit_s),
            },
        },
    }
    document["metadata"]["annotations"] = {**about, names.DIGEST: _digest(document)}
    return document


def job_now(cron: CronJob, name: str, *, reason: str) -> Document:
    """Return a Job of the CronJob's template, as `kubectl create job --from` makes it."""
    template = cron.spec.job_template
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": cron.name, "uid": cron.metadata.uid}
    made = {"cronjob.kubernetes.io/instantiate": "manual", names.REASON: reason}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": cron.metadata.namespace,
            "labels": dict(template.metadata.labels),
            "annotations": {**template.metadata.annotations, **made},
            "ownerReferences": [{**owner, "controller": True}],
        },
        "spec": template.spec,
    }


def schedule(window: Window, name: str) -> str:
    """Return a minute of the window, by the name, so that not all nodes begin at once."""
    offset = int(hashlib.sha256(name.encode()).hexdigest(), 16) % (60 * window.hours)
    hour, minute = divmod((window.start_minutes + offset) % (24 * 60), 60)
    return f"{minute} {hour} * * {window.days}"


def _job_spec(pod: Document, *, count: int, limit_s: int) -> Document:
    return {
        "completionMode": "Indexed",
        "completions": count,
        "parallelism": 1,
        # A subject that can't be measured leaves the others be.
        "backoffLimitPerIndex": 0,
        "activeDeadlineSeconds": limit_s,
        "ttlSecondsAfterFinished": KEPT_S,
        "podFailurePolicy": {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]},
        "template": pod,
    }


def _config(name: str, device_class: str, subjects: Sequence[Model], settings: OperatorSettings) -> str:
    config = {
        "job": name,
        "deviceClass": device_class,
        "threads": settings.gpu_worker_cpus,
        "host": "0.0.0.0",
        "port": PORT,
        "workers": [{"model": model.document(), "gpu": not runs_on_cpu(model.engine)} for model in subjects],
    }
    return json.dumps(config, separators=(",", ":"))


def _pod(
    node: Node,
    device: DeviceKind,
    subjects: Sequence[Model],
    settings: OperatorSettings,
    profiler: ProfilerSettings,
) -> Document:
    config = {"path": "config.json", "fieldRef": {"fieldPath": f"metadata.annotations['{names.CONFIG}']"}}
    here = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node.name]}]}
    return {
        "spec": {
            "restartPolicy": "Never",
            "serviceAccountName": profiler.name,
            "automountServiceAccountToken": False,
            "priorityClassName": profiler.name,
            "activeDeadlineSeconds": LIMIT_S,
            "terminationGracePeriodSeconds": GRACE_S,
            "securityContext": {**POD_SECURITY, **VOLUME_SECURITY},
            "affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [here]}}},
            "tolerations": [*TOLERATIONS, *profiler.tolerations],
            "containers": [_container(device, subjects, settings)],
            "volumes": [
                {"name": "dueby-config", "downwardAPI": {"items": [config]}},
                {"name": "dueby-scratch", "emptyDir": {}},
            ],
        },
    }


def _container(device: DeviceKind, subjects: Sequence[Model], settings: OperatorSettings) -> Document:
    resource, cpus = {str(device.resource): "1"}, str(settings.gpu_worker_cpus)
    # As a worker: a CPU engine has its cores and no more, a GPU's host process may use more.
    on_cpus = all(runs_on_cpu(model.engine) for model in subjects)
    return {
        "name": CONTAINER,
        "image": settings.image,
        "imagePullPolicy": settings.pull_policy,
        "command": COMMAND,
        "args": ARGUMENTS,
        "env": [{"name": "HOME", "value": SCRATCH}],
        "ports": [{"name": "http", "containerPort": PORT}],
        "resources": {
            "requests": {"cpu": cpus, "memory": settings.worker_memory, **resource},
            "limits": {**resource, **({"cpu": cpus} if on_cpus else {})},
        },
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": list(CONFIG_MOUNTS),
    }


def _digest(document: Document) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]
