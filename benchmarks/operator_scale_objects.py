"""What operator_scale.py applies: made-up GPUs and their profiles, InferenceJobs, and the same Jobs written by hand.

There are two products of GPUs, a fast one on few nodes and a slow one on the others, so that the planner has a choice.
The jobs differ in size only: each is nearly what one to five fast devices can do before the deadline. Whoever writes
the Jobs by hand is taken to know how many it needs.
"""

import json

from large_cluster import Document
from large_cluster_fill import NODES_OF_A_NET, Fill

JOBS = 100
FAST, SLOW = "NVIDIA-A100-SXM4-40GB", "NVIDIA-L4"
# By class: microseconds of a step beside its images, and of an image. The first 64 nodes are fast.
DEVICES = {FAST: (300.0, 200.0), SLOW: (300.0, 500.0)}
FILL = Fill(nodes={FAST: NODES_OF_A_NET, SLOW: 1000 - NODES_OF_A_NET}, gpus_each=4, pods=10_000)
SIZES = (16, 32, 64, 128, 256)
STARTUP_US = 5_000_000
DEADLINE_S = 2 * 3600
# Of jobs that have ended.
ACCEPTED, ENDED, DEADLINE = "2026-01-01T00:00:00Z", "2026-01-01T01:50:00Z", "2026-01-01T02:00:00Z"
# Fast devices that a job would take: from 1 to 5, 3 in the mean. The last jobs find slow ones left, and take more.
DEVICES_OF = [1 + number * 3 % 5 for number in range(JOBS)]


def latency_us(device_class: str, mini_batch_size: int) -> int:
    fixed_us, image_us = DEVICES[device_class]
    return round(fixed_us + image_us * mini_batch_size)


def profile(device_class: str) -> Document:
    """A made-up GPU, measured at five sizes."""
    steps = [
        {
            "miniBatchSize": size,
            "latencyMicros": {"mean": latency_us(device_class, size)},
            "warmupMicros": {"p50": 900_000, "p95": 990_000},
        }
        for size in SIZES
    ]
    return {
        "apiVersion": "dueby.dev/v1alpha1",
        "kind": "GPUProfile",
        "metadata": {"name": device_class.lower()},
        "spec": {
            "deviceClass": device_class,
            "model": {"name": "efficientnet_b0", "imageSize": 224, "precision": "fp32"},
            "engine": "cudagraph",
            "startupMicros": {"p50": STARTUP_US, "p95": STARTUP_US * 6 // 5},
            "spread": {"run": 0.01, "node": 0.02},
            "steps": steps,
        },
    }


def inference_job(number: int) -> Document:
    """A job that needs about as many fast devices as DEVICES_OF says."""
    images = int(0.9 * DEVICES_OF[number] * DEADLINE_S * 1e6 * SIZES[-1] / latency_us(FAST, SIZES[-1]))
    return {
        "apiVersion": "dueby.dev/v1alpha1",
        "kind": "InferenceJob",
        "metadata": {"name": f"job-{number:03d}", "namespace": "default", "labels": {"benchmark": "operator"}},
        "spec": {
            "images": images,
            "deadline": f"{DEADLINE_S // 60}m",
            "model": {"name": "efficientnet_b0", "weights": "none", "imageSize": 224, "precision": "fp32"},
            "source": {"synthetic": {}},
            "sink": {"uri": f"s3://bucket/job-{number:03d}"},
        },
    }


def finished_job(number: int) -> Document:
    """A job like the others, of another name."""
    job = inference_job(number % JOBS)
    return {**job, "metadata": {**job["metadata"], "name": f"finished-{number:05d}"}}


def finished_status(job: Document) -> Document:
    """The status that a job ends with that ran as it was planned to."""
    images = job["spec"]["images"]
    conditions = {
        "Indexed": ("Indexed", f"{images:,} synthetic images."),
        "Profiled": ("Profiled", ""),
        "Feasible": ("Planned", "2 devices meet the deadline with probability 0.99, and 1 can't."),
        "Admitted": ("Admitted", ""),
        "DeadlineMet": ("InTime", f"Ended at {ENDED}; the deadline was {DEADLINE}."),
        "Complete": ("EveryImageHasARow", f"{images:,} rows in {job['spec']['sink']['uri']}."),
    }
    group = {"deviceClass": FAST, "miniBatchSize": SIZES[-1], "iterations": 12_000, "engine": "cudagraph"}
    return {
        "observedGeneration": 1,
        "phase": "Succeeded",
        "acceptedTime": ACCEPTED,
        "deadlineTime": DEADLINE,
        "images": images,
        "fingerprint": "0" * 64,
        "conditions": [
            {"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": ENDED}
            for kind, (reason, message) in conditions.items()
        ],
        "plan": {
            "revision": 1,
            "gpus": 2,
            "lowerBound": 2,
            "proof": "ClosedForm+CBC",
            "proofSentence": "1 device could do 89 % of the images by the deadline.",
            "confidence": 0.95,
            "probability": 0.99,
            "partSize": 4096,
            "solveMicros": 12_000,
            "expectedFinish": ENDED,
            "finishAtConfidence": ENDED,
            "slack": "10m",
            "groups": [{**group, "count": 2}],
        },
        "progress": {"images": f"{images}/{images}", "imagesDone": images, "imagesFailed": 0, "slack": "10m"},
    }


def job_by_hand(number: int) -> list[Document]:
    """An Indexed Job with its settings, for one who has found out the number of GPUs and the mini-batch size."""
    name = f"by-hand-{number:03d}"
    metadata = {"name": name, "namespace": "default", "labels": {"benchmark": "by-hand"}}
    gpu = {"nvidia.com/gpu": "1"}
    container = {
        "name": "classify",
        "image": "registry.example/classify:1",
        "args": ["--settings", "/etc/settings/settings.json"],
        "resources": {"requests": {"cpu": "2", "memory": "2Gi", **gpu}, "limits": gpu},
        "volumeMounts": [{"name": "settings", "mountPath": "/etc/settings"}],
    }
    pod = {
        "restartPolicy": "Never",
        "nodeSelector": {"nvidia.com/gpu.product": SLOW},
        "containers": [container],
        "volumes": [{"name": "settings", "configMap": {"name": name}}],
    }
    count = DEVICES_OF[number] + 1
    spec = {"completionMode": "Indexed", "completions": count, "parallelism": count, "template": {"spec": pod}}
    settings = json.dumps({"images": 10**8, "miniBatchSize": 256, "workers": count})
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"settings.json": settings}},
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec},
    ]
