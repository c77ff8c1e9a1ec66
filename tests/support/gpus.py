"""GPUs that only the scheduler and the operator believe in: two classes, on a node each, with different profiles."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from support.cluster import WORKER_NODES, Cluster
from support.run import profile_document

GPU, LABEL, EACH = "nvidia.com/gpu", "nvidia.com/gpu.product", 4
# How long each says that it takes for 8 images: by the deadline of 10 minutes four of the fast ones do 288 of them.
CLASSES = {"NVIDIA-A100-SXM4-40GB": 60_000_000, "NVIDIA-L4": 90_000_000}
_PATH = f"/status/capacity/{GPU.replace('/', '~1')}"


def gpu_profile(device_class: str) -> dict[str, Any]:
    found = profile_document(latency_us=CLASSES[device_class])
    found["metadata"]["name"] = device_class.lower()
    found["spec"] |= {"deviceClass": device_class, "device": {}}
    return found


@contextmanager
def fake_gpus(cluster: Cluster) -> Iterator[None]:
    """Four of a class on each of the two nodes, as the device plugin and GPU feature discovery would show them."""
    for node, device_class in zip(WORKER_NODES, CLASSES, strict=True):
        add_gpus(cluster, node, device_class, count=EACH)
        cluster.apply(gpu_profile(device_class))
    for node in WORKER_NODES:
        wait_for_gpus(cluster, node)
    try:
        yield
    finally:
        for node in WORKER_NODES:
            remove_gpus(cluster, node)
        cluster.kubectl("delete", "gprof", *(device_class.lower() for device_class in CLASSES))


def add_gpus(cluster: Cluster, node: str, device_class: str, *, count: int = 1) -> None:
    """As the device plugin and GPU feature discovery would."""
    set_gpus(cluster, node, count)
    cluster.kubectl("label", "node", node, f"{LABEL}={device_class}")


def set_gpus(cluster: Cluster, node: str, count: int) -> None:
    """As the device plugin would."""
    _patch(cluster, node, {"op": "add", "path": _PATH, "value": str(count)})


def wait_for_gpus(cluster: Cluster, node: str) -> None:
    """Until the kubelet, at its next report, allocates what the capacity says."""
    cluster.wait(lambda: GPU in cluster.get("node", node)["status"]["allocatable"], f"{node} allocates its GPUs")


def remove_gpus(cluster: Cluster, node: str) -> None:
    """Twice is fine."""
    if GPU in cluster.get("node", node)["status"]["capacity"]:
        _patch(cluster, node, {"op": "remove", "path": _PATH})
    cluster.kubectl("label", "node", node, f"{LABEL}-")


def _patch(cluster: Cluster, node: str, change: dict[str, str]) -> None:
    cluster.kubectl("patch", "node", node, "--subresource=status", "--type=json", "-p", json.dumps([change]))
