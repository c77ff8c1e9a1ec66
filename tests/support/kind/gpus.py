"""GPUs that only the scheduler and the operator believe in: two classes, on a node each, with different profiles."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from support.kind.cluster import Cluster
from support.kind.cluster_job import job
from support.kind.model import profile_document

GPU, LABEL, EACH = "nvidia.com/gpu", "nvidia.com/gpu.product", 4
# Workers so small that four of them fit on a node of two cores. With no more than this of a core, an image takes them a
# millisecond, on a busy machine or not, and few of the cores that other tests wait for.
SMALL = {"requests": {"cpu": "300m", "memory": "500Mi"}, "limits": {"cpu": "300m"}}
# The kubelet takes a change of the capacity over into what it allocates at its next report only, ten seconds
# later: what was removed would still be there for the next test. So both are changed at once.
_PATHS = tuple(f"/status/{part}/{GPU.replace('/', '~1')}" for part in ("capacity", "allocatable"))


def gpu_profile(device_class: str, latency_us: int) -> dict[str, Any]:
    """Return the class's profile, with this long for 8 images."""
    found = profile_document(latency_us=latency_us)
    found["metadata"]["name"] = device_class.lower()
    found["spec"] |= {"deviceClass": device_class, "device": {}}
    return found


@contextmanager
def fake_gpus(cluster: Cluster, classes: Mapping[str, int]) -> Iterator[None]:
    """Add four of a class to each of the two nodes, as the device plugin and GPU feature discovery would show them.

    Of each class, how long its profile says that 8 images take. Every file has classes of its own.
    """
    for (device_class, latency_us), node in zip(classes.items(), cluster.nodes, strict=True):
        add_gpus(cluster, node, device_class, count=EACH)
        cluster.apply(gpu_profile(device_class, latency_us))
    try:
        yield
    finally:
        for node in cluster.nodes:
            remove_gpus(cluster, node)
        cluster.kubectl("delete", "gprof", *(device_class.lower() for device_class in classes))


@contextmanager
def gpus_of_a_class(cluster: Cluster, device_class: str, latency_us: int, *counts: int) -> Iterator[None]:
    """Add so many to each of the first nodes, with a profile that says how long 8 images take on one.

    Jobs that a test that failed has left on them are deleted: their pods would have what the next test adds.
    """
    nodes = cluster.nodes[: len(counts)]
    for node, count in zip(nodes, counts, strict=True):
        add_gpus(cluster, node, device_class, count=count)
    cluster.apply(gpu_profile(device_class, latency_us))
    try:
        yield
    finally:
        _delete_unfinished(cluster, device_class)
        for node in nodes:
            remove_gpus(cluster, node)
        cluster.kubectl("delete", "gprof", device_class.lower())


def job_on_gpus(cluster: Cluster, name: str, *, device_class: str, **spec: Any) -> dict[str, Any]:
    """A job of made-up images on these GPUs."""
    document = job(cluster, name, **{"source": {"synthetic": {}}, "gpus": {"classes": [device_class]}, **spec})
    document["spec"]["worker"]["resources"] = SMALL
    return document


def _delete_unfinished(cluster: Cluster, device_class: str) -> None:
    for document in cluster.items("infj", ""):
        is_over = document.get("status", {}).get("phase") in ("Succeeded", "Failed")
        if document["spec"].get("gpus", {}).get("classes") == [device_class] and not is_over:
            cluster.kubectl("delete", "infj", document["metadata"]["name"], "--cascade=foreground")


def add_gpus(cluster: Cluster, node: str, device_class: str, *, count: int = 1) -> None:
    """As the device plugin and GPU feature discovery would."""
    set_gpus(cluster, node, count)
    cluster.kubectl("label", "node", node, f"{LABEL}={device_class}")


def set_gpus(cluster: Cluster, node: str, count: int) -> None:
    """As the device plugin and the kubelet would."""
    _patch(cluster, node, [{"op": "add", "path": path, "value": str(count)} for path in _PATHS])


def remove_gpus(cluster: Cluster, node: str) -> None:
    """Twice is fine."""
    if GPU in cluster.get("node", node)["status"]["capacity"]:
        _patch(cluster, node, [{"op": "remove", "path": path} for path in _PATHS])
    cluster.kubectl("label", "node", node, f"{LABEL}-")


def _patch(cluster: Cluster, node: str, changes: list[dict[str, str]]) -> None:
    cluster.kubectl("patch", "node", node, "--subresource=status", "--type=json", "-p", json.dumps(changes))
