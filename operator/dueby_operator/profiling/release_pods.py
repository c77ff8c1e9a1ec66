"""The Jobs that measure for everybody, in the operator's own namespace, where no tenant can touch them. Pure.

Whether something is measured because it is missing, has drifted or is old, the Job is built here. Settings that have
reasons: the pods' priority is below every worker's, so they get a device only while nobody wants it and leave it at
once when somebody does; being put out so is no failure. What a pod is told is an annotation of its own that a volume
shows it, so that no ConfigMap must be kept in step; it is the workers' format, so the index selects the subject.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dueby_api.engines import runs_on_cpu
from dueby_api.inference_job import Model, Worker
from dueby_operator.cluster.nodes import CPU_CLASS, DeviceKind
from dueby_operator.cluster.requests import cpus_of
from dueby_operator.jobs import names
from dueby_operator.jobs.pod_templates import LISTENS, PORTS, READS_CONFIG, DeviceRequest, cache_config, device_pod
from dueby_operator.settings import OperatorSettings, ProfilerSettings

# Includes the image's pull. Measuring itself takes 45 s, on GPUs 3 minutes, and up to 8 with engines that take long to
# build.
LIMIT_S = 900
RUNS = {"command": ["python", "-m", "dueby_profiler"], "args": READS_CONFIG, **PORTS}
# Being put out by a worker is no failure.
YIELDING = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}
Document = dict[str, Any]
# An annotation of the pod's own.
_TOLD = {"path": "config.json", "fieldRef": {"fieldPath": f"metadata.annotations['{names.CONFIG}']"}}


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
    worker: Worker = field(default_factory=Worker)
    """What its pods have of a job's workers."""


def measuring_job(measuring: Measuring, settings: OperatorSettings, profiler: ProfilerSettings) -> Document:
    """Return metadata and spec of the Job, whose pods measure one subject after the other, each on one device."""
    return {
        "metadata": {"labels": measuring.labels, "annotations": measuring.about},
        "spec": {
            "completionMode": "Indexed",
            "completions": len(measuring.subjects),
            "parallelism": 1,
            **measuring.limits,
            "podFailurePolicy": YIELDING,
            "template": _pod(measuring, settings, profiler),
        },
    }


def _pod(measuring: Measuring, settings: OperatorSettings, profiler: ProfilerSettings) -> Document:
    device = measuring.device
    request = DeviceRequest(
        device=device,
        cpus=cpus_of(measuring.device_class, settings),
        on_cpu=device.resource is None or all(runs_on_cpu(model.engine) for model in measuring.subjects),
        avoid=measuring.avoid,
    )
    worker = measuring.worker.replace(service_account_name=profiler.name, priority_class_name=measuring.priority)
    told = {"downwardAPI": {"items": [_TOLD]}}
    pod = device_pod(worker, settings, request, runs=RUNS, told=told, labels=measuring.labels)
    pod["metadata"]["annotations"] = {**measuring.about, names.CONFIG: _config(measuring, settings)}
    pod["spec"]["tolerations"] += profiler.tolerations
    pod["spec"]["activeDeadlineSeconds"] = LIMIT_S
    return pod


def _config(measuring: Measuring, settings: OperatorSettings) -> str:
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
