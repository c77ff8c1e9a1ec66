"""What an autoscaler does for a pool that stands at zero: a node comes for pods that fit nowhere, and goes when unused.

The node is one of the tests' own, which joins the pool and leaves it: pods really run there, and the scheduler and the
operator can't tell. ProvisioningRequests and CapacityBuffers are of the real definitions, and the tests say what
becomes of them.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from support.kind.cluster import POOL, POOL_CLASS, POOL_LABEL, Cluster
from support.kind.gpus import add_gpus, gpu_profile, job_on_gpus, remove_gpus

_AUTOSCALER = "https://raw.githubusercontent.com/kubernetes/autoscaler/cluster-autoscaler-1.34.0/cluster-autoscaler/apis/config/crd"
REQUESTS, BUFFERS = "provisioningrequests", "capacitybuffers"
GROUP = "autoscaling.x-k8s.io"
# The definitions that cluster-autoscaler brings: their addresses, or files where there is no internet.
DEFINITIONS = {
    REQUESTS: os.environ.get(
        "DUEBY_PROVISIONING_REQUESTS", f"{_AUTOSCALER}/autoscaling.x-k8s.io_provisioningrequests.yaml"
    ),
    BUFFERS: os.environ.get("DUEBY_CAPACITY_BUFFERS", f"{_AUTOSCALER}/autoscaling.x-k8s.io_capacitybuffers.yaml"),
}


@contextmanager
def measured(cluster: Cluster, device_class: str, step_us: int) -> Iterator[None]:
    """A profile that the class has from an earlier node."""
    cluster.apply(gpu_profile(device_class, step_us))
    try:
        yield
    finally:
        cluster.kubectl("delete", "gprof", device_class.lower())


def pooled_job(cluster: Cluster, name: str, *, device_class: str = POOL_CLASS, **spec: Any) -> dict[str, Any]:
    """A job for devices of a pool, whose nodes have no label but their own."""
    document = job_on_gpus(cluster, name, device_class=device_class, **spec)
    del document["spec"]["worker"]["nodeSelector"]
    return document


def asking(cluster: Cluster, job: str, *, pool: str = POOL) -> list[dict[str, Any]]:
    """The job's pods that want a node of the pool and fit on none that there is."""
    pods = cluster.items("pods", f"dueby.dev/job={job},dueby.dev/step=work")
    return [pod for pod in pods if _asks(pod, pool)]


def _asks(pod: dict[str, Any], pool: str) -> bool:
    unscheduled = [each for each in pod["status"].get("conditions", []) if each.get("reason") == "Unschedulable"]
    return bool(unscheduled) and pod["spec"].get("nodeSelector", {}).get(POOL_LABEL) == pool


def serve(cluster: Cluster, resource: str) -> None:
    """Have the cluster know ProvisioningRequests, or CapacityBuffers."""
    cluster.kubectl("apply", "-f", DEFINITIONS[resource])
    cluster.kubectl("wait", "--for=condition=Established", f"crd/{resource}.{GROUP}")


def answer(
    cluster: Cluster,
    request: str,
    kind: str,
    *,
    reason: str,
    message: str,
    resource: str = REQUESTS,
    status: str = "True",
) -> None:
    """Add a condition of this type to the request of this name."""
    before = cluster.get(resource, request).get("status", {}).get("conditions", [])
    condition = {"type": kind, "status": status, "reason": reason, "message": message}
    condition |= {"lastTransitionTime": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}
    patch = json.dumps({"status": {"conditions": [*before, condition]}})
    cluster.kubectl("patch", f"{resource}.{GROUP}", request, "--subresource=status", "--type=merge", "-p", patch)


@contextmanager
def node_of_pool(cluster: Cluster, node: str, pool: str, device_class: str, *, devices: int) -> Iterator[None]:
    """Have the node be the pool's, with its devices, until the block ends."""
    cluster.kubectl("label", "node", node, f"{POOL_LABEL}={pool}")
    add_gpus(cluster, node, device_class, count=devices)
    try:
        yield
    finally:
        remove_gpus(cluster, node)
        cluster.kubectl("label", "node", node, f"{POOL_LABEL}-")
