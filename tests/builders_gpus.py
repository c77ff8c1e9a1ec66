"""GPUs that only the scheduler and the operator believe in: two classes, on a node each, with different profiles."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from builders_cluster import WORKER_NODES, Cluster
from builders_run import profile_document

GPU, LABEL, EACH = "nvidia.com/gpu", "nvidia.com/gpu.product", 4
# How long each says that it takes for 8 images: by the deadline of 10 minutes four of the fast ones do 288 of them.
CLASSES = {"NVIDIA-A100-SXM4-40GB": 60_000_000, "NVIDIA-L4": 90_000_000}
PATH = f"/status/capacity/{GPU.replace('/', '~1')}"


def gpu_profile(device_class: str) -> dict[str, Any]:
    found = profile_document(latency_us=CLASSES[device_class])
    found["metadata"]["name"] = device_class.lower()
    found["spec"] |= {"deviceClass": device_class, "device": {}}
    return found


@contextmanager
def fake_gpus(cluster: Cluster) -> Iterator[None]:
    """Four of a class on each of the two nodes, as the device plugin and GPU feature discovery would show them."""
    for node, device_class in zip(WORKER_NODES, CLASSES, strict=True):
        set_gpus(cluster, node, EACH)
        cluster.kubectl("label", "node", node, f"{LABEL}={device_class}")
        cluster.apply(gpu_profile(device_class))
    for node in WORKER_NODES:  # which the kubelet makes of the capacity, at its next report
        cluster.wait(partial(_has_gpus, cluster, node), f"{node} allocates its GPUs")
    try:
        yield
    finally:
        _remove(cluster)


def set_gpus(cluster: Cluster, node: str, count: int) -> None:
    """As the device plugin would say that it has."""
    added = [{"op": "add", "path": PATH, "value": str(count)}]
    cluster.kubectl("patch", "node", node, "--subresource=status", "--type=json", "-p", json.dumps(added))


def _has_gpus(cluster: Cluster, node: str) -> bool:
    return GPU in cluster.get("node", node)["status"]["allocatable"]


def _remove(cluster: Cluster) -> None:
    for node in WORKER_NODES:
        removed = [{"op": "remove", "path": PATH}]
        cluster.kubectl("patch", "node", node, "--subresource=status", "--type=json", "-p", json.dumps(removed))
        cluster.kubectl("label", "node", node, f"{LABEL}-")
    cluster.kubectl("delete", "gprof", *(device_class.lower() for device_class in CLASSES))
