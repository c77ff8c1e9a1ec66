"""InferenceJobs as `kubectl get infj -A -o json` lists them, with the times of their statuses in seconds from now."""

import json
import time
from typing import Any

from dueby_api.units import MICROS_PER_SECOND, format_time

Document = dict[str, Any]


def listed(*items: object) -> str:
    """The List that kubectl prints."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items})


def job(
    name: str, *, namespace: str = "team", deadline_class: str = "Hard", deadline_s: float = 3600, **status: Any
) -> Document:
    """A job; its status has a phase, and what is named besides."""
    return {
        "apiVersion": "dueby.dev/v1alpha1",
        "kind": "InferenceJob",
        "metadata": {"name": name, "namespace": namespace, "uid": "u", "managedFields": []},
        "spec": {"deadline": "1h", "deadlineClass": deadline_class, "source": {"uri": "x"}, "sink": {"uri": "y"}},
        "status": {"phase": "Planning", "deadlineTime": moment(deadline_s), **status},
    }


def class_profile(device_class: str, devices: object) -> Document:
    """A GPUProfile whose status says how many devices the class has."""
    spec = {"deviceClass": device_class, "engine": "cudagraph"}
    return {"kind": "GPUProfile", "metadata": {"name": device_class}, "spec": spec, "status": {"devices": devices}}


def running(
    name: str, *, gpus: int, from_s: float, to_s: float, classes: Document | None = None, **more: Any
) -> Document:
    """A job with workers, which were planned on these classes."""
    planned = {"a100": gpus} if classes is None else classes
    return job(
        name,
        phase="Running",
        gpus=gpus,
        starts=moment(from_s),
        ends=moment(to_s),
        plan=plan(to_s, groups=[group(kind, count) for kind, count in planned.items()]),
        **more,
    )


def reserved(name: str, *windows: tuple[str, int, float, float], **more: Any) -> Document:
    """A job that waits for its windows: of a class so many, from and to."""
    end_s = max(to_s for _, _, _, to_s in windows)
    return job(
        name,
        phase="Scheduled",
        starts=moment(min(from_s for _, _, from_s, _ in windows)),
        ends=moment(end_s),
        plan=plan(end_s, windows=[window(*found) for found in windows]),
        **more,
    )


def refused(name: str, *, at_s: float | str, message: str, reason: str = "Infeasible") -> Document:
    """A job that has failed then."""
    at = at_s if isinstance(at_s, str) else moment(at_s)
    failed = {"type": "Failed", "status": "True", "reason": reason, "message": message, "lastTransitionTime": at}
    return job(name, phase="Failed", conditions=[failed])


def plan(end_s: float, **more: Any) -> Document:
    """A plan that ends then, as a status has it."""
    return {
        "revision": 1,
        "gpus": 1,
        "lowerBound": 1,
        "proof": "Calendar",
        "confidence": 0.95,
        "probability": 0.97,
        "partSize": 64,
        "solveMicros": 1000,
        "expectedFinish": moment(end_s),
        "finishAtConfidence": moment(end_s),
        "slack": "1m00s",
        **more,
    }


def group(device_class: str, count: int) -> Document:
    """Devices of a class that do the same."""
    return {"deviceClass": device_class, "engine": "cudagraph", "count": count, "miniBatchSize": 64, "iterations": 9}


def window(device_class: str, count: int, from_s: float, to_s: float) -> Document:
    """Devices that are reserved from one time to another."""
    return {
        "deviceClass": device_class,
        "engine": "cudagraph",
        "from": moment(from_s),
        "to": moment(to_s),
        "count": count,
        "miniBatchSize": 64,
        "images": 640,
    }


def moment(seconds: float) -> str:
    """The time so many seconds from now."""
    return format_time(time.time_ns() // 1000 + round(seconds * MICROS_PER_SECOND))
