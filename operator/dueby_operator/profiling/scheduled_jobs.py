"""The CronJob that measures a node's devices of one class: an Indexed Job with an index for each subject. Pure.

A pod has one device, since a Job has one template and a template asks for one resource: a node with several classes,
such as slices of GPUs, has as many CronJobs.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dueby_api.inference_job import Model
from dueby_operator.cluster.nodes import DeviceKind, Node
from dueby_operator.jobs import names
from dueby_operator.jobs.pod_templates import node_affinity
from dueby_operator.objects.jobs import CronJob
from dueby_operator.profiling.release_pods import YIELDING, measuring_pod, pod_config
from dueby_operator.settings import OperatorSettings, ProfilerSettings, ProfilingWindow

# A CronJob that could not begin for this long, such as on a node that was off, waits for its next time.
LATEST_START_S = 3600
# What a run leaves is read within seconds; it is kept for a day for people.
KEPT_S = 86_400
# What the pods are told is an annotation, and all of those have room for 256 KiB together: a name of 63 letters of
# another script is 378 as JSON. A run measures about 80 subjects in its hour.
MAX_SUBJECTS = 300
Document = dict[str, Any]


def cron_job(
    node: Node,
    device_class: str,
    device: DeviceKind,
    subjects: Sequence[Model],
    settings: OperatorSettings,
    profiler: ProfilerSettings,
) -> Document:
    """Return the CronJob, with the digest by which a change of it is noticed.

    Of too many subjects the first are measured; they come in the order of when they were measured last.
    """
    subjects = subjects[:MAX_SUBJECTS]
    name = names.node_profiling_name(node.name, device_class)
    labels = {**names.MANAGED, names.PROFILED: name}
    about = {names.DEVICE_CLASS: device_class, names.NODE: node.name}
    device = replace(device, selector={}, node=node.name)
    pod = measuring_pod(
        subjects,
        settings,
        profiler,
        device_class=device_class,
        device=device,
        priority=profiler.name,
        affinity=node_affinity(device),
    )
    config = pod_config(name, device_class, subjects, settings)
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


def schedule(window: ProfilingWindow, name: str) -> str:
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
        "podFailurePolicy": YIELDING,
        "template": pod,
    }


def _digest(document: Document) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]
