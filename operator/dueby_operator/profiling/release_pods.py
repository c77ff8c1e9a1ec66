"""The Jobs that measure for everybody, in the operator's own namespace, where no tenant can touch them. Pure.

Whether something is measured because it is missing, has drifted or is old, the Job is built here. Settings that have
reasons: the pods' priority is below every worker's, so they get a device only while nobody wants it and leave it at
once when somebody does; being put out so is no failure. What a pod is told is an annotation of its own that a volume
shows it, so that no ConfigMap must be kept in step; it is the workers' format, so the index selects the subject.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dueby_api.engines import runs_on_cpu
from dueby_api.inference_job import Model
from dueby_operator.cluster.nodes import CPU_CLASS, DeviceKind
from dueby_operator.cluster.requests import TOLERATIONS, container_resources, cpus_of
from dueby_operator.jobs import names
from dueby_operator.jobs.pod_templates import (
    CONFIG_FOLDER,
    CONFIG_MOUNTS,
    CONTAINER_SECURITY,
    GRACE_S,
    LISTENS,
    POD_SECURITY,
    PORT,
    SCRATCH,
    VOLUME_SECURITY,
    add_cache,
    cache_config,
    node_affinity,
    scratch_volume,
)
from dueby_operator.settings import OperatorSettings, ProfilerSettings

# Includes the image's pull. Measuring itself takes 45 s, on GPUs 3 minutes, and up to 8 with engines that take long to
# build.
LIMIT_S = 900
COMMAND = ["python", "-m", "dueby_profiler"]
ARGUMENTS = ["--config", f"{CONFIG_FOLDER}/config.json"]
# Being put out by a worker is no failure.
YIELDING = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}
Document = dict[str, Any]


def subject_of(model: Model) -> Model:
    """Return what is measured of a job's model: weights and labels don't change the time."""
    return model.measured.replace(classes=None)


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """What a Job measures, and where: on a clock, out of turn or on demand."""

    name: str
    subjects: Sequence[Model]
    """One for each of the Job's indices."""
    device_class: str
    device: DeviceKind
    priority: str
    labels: Mapping[str, str]
    about: Mapping[str, str]
    """Its annotations."""
    limits: Mapping[str, int]
    """What its spec says of attempts and time."""
    avoid: Collection[str] = ()
    """Nodes that it keeps off."""
    tolerations: Sequence[Mapping[str, Any]] = ()
    selector: Mapping[str, str] | None = None


def measuring_job(measuring: Measuring, settings: OperatorSettings, profiler: ProfilerSettings) -> Document:
    """Return metadata and spec of the Job, whose pods measure one subject after the other, each on one device."""
    metadata = {"labels": measuring.labels, "annotations": measuring.about}
    config = {names.CONFIG: _config(measuring, settings)}
    return {
        "metadata": metadata,
        "spec": {
            "completionMode": "Indexed",
            "completions": len(measuring.subjects),
            "parallelism": 1,
            **measuring.limits,
            "podFailurePolicy": YIELDING,
            "template": {
                "metadata": {**metadata, "annotations": {**measuring.about, **config}},
                "spec": _pod_spec(measuring, settings, profiler),
            },
        },
    }


def _config(measuring: Measuring, settings: OperatorSettings) -> str:
    """Return what the pods are told."""
    device_class = measuring.device_class
    config = {
        "job": measuring.name,
        "deviceClass": device_class,
        "threads": cpus_of(device_class, settings),
        **LISTENS,
        **cache_config(settings),
        "workers": [
            {"model": model.document(), "gpu": not (CPU_CLASS.match(device_class) or runs_on_cpu(model.engine))}
            for model in measuring.subjects
        ],
    }
    return json.dumps(config, separators=(",", ":"))


def _pod_spec(measuring: Measuring, settings: OperatorSettings, profiler: ProfilerSettings) -> Document:
    device = measuring.device
    config = {"path": "config.json", "fieldRef": {"fieldPath": f"metadata.annotations['{names.CONFIG}']"}}
    optional = {
        "affinity": node_affinity(device, measuring.avoid),
        "nodeSelector": {**(measuring.selector or {}), **device.selector},
        "runtimeClassName": settings.runtime_class if device.resource else "",
    }
    pod: Document = {
        "spec": {
            "restartPolicy": "Never",
            "serviceAccountName": profiler.name,
            "automountServiceAccountToken": False,
            "priorityClassName": measuring.priority,
            "activeDeadlineSeconds": LIMIT_S,
            "terminationGracePeriodSeconds": GRACE_S,
            "securityContext": {**POD_SECURITY, **VOLUME_SECURITY},
            **{name: value for name, value in optional.items() if value},
            "tolerations": [*TOLERATIONS, *profiler.tolerations, *measuring.tolerations],
            "containers": [_container(measuring, settings)],
            "volumes": [
                {"name": "dueby-config", "downwardAPI": {"items": [config]}},
                scratch_volume(settings),
            ],
        },
    }
    add_cache(pod, settings)
    spec: Document = pod["spec"]
    return spec


def _container(measuring: Measuring, settings: OperatorSettings) -> Document:
    device = measuring.device
    resource = {device.resource: "1"} if device.resource else {}
    cpus = str(cpus_of(measuring.device_class, settings))
    # As a worker: a CPU engine has its cores and no more, a GPU's host process may use more.
    on_cpus = device.resource is None or all(runs_on_cpu(model.engine) for model in measuring.subjects)
    resources = container_resources(
        None,
        settings,
        requests={"cpu": cpus, "memory": settings.worker_memory, **resource},
        limits={**resource, **({"cpu": cpus} if on_cpus else {})},
    )
    return {
        "name": "dueby",
        "image": settings.image,
        "imagePullPolicy": settings.pull_policy,
        "command": COMMAND,
        "args": ARGUMENTS,
        "env": [{"name": "HOME", "value": SCRATCH}],
        "ports": [{"name": "http", "containerPort": PORT}],
        "resources": resources.document(),
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": list(CONFIG_MOUNTS),
    }
