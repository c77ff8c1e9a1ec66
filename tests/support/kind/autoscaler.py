"""What an autoscaler does for a pool that stands at zero: a node comes for pods that fit nowhere, and goes when unused.

The node is one of the tests' own, which joins the pool and leaves it: pods really run there, and the scheduler and the
operator can't tell. ProvisioningRequests are of the real definition, and the tests say what becomes of them.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from support.kind.cluster import POOL, POOL_LABEL, Cluster
from support.kind.gpus import add_gpus, remove_gpus

# The definition that cluster-autoscaler brings: its address, or a file where there is no internet.
DEFINITION = os.environ.get(
    "DUEBY_PROVISIONING_REQUESTS",
    "https://raw.githubusercontent.com/kubernetes/autoscaler/cluster-autoscaler-1.34.0/cluster-autoscaler/apis/config/"
    "crd/autoscaling.x-k8s.io_provisioningrequests.yaml",
)
REQUESTS = "provisioningrequests.autoscaling.x-k8s.io"


def asking(cluster: Cluster, job: str, *, pool: str = POOL) -> list[dict[str, Any]]:
    """The job's pods that want a node of the pool and fit on none that there is."""
    pods = cluster.items("pods", f"dueby.dev/job={job},dueby.dev/step=work")
    return [pod for pod in pods if _asks(pod, pool)]


def _asks(pod: dict[str, Any], pool: str) -> bool:
    unscheduled = [each for each in pod["status"].get("conditions", []) if each.get("reason") == "Unschedulable"]
    return bool(unscheduled) and pod["spec"].get("nodeSelector", {}).get(POOL_LABEL) == pool


def serve_requests(cluster: Cluster) -> None:
    """Have the cluster know ProvisioningRequests."""
    cluster.kubectl("apply", "-f", DEFINITION)
    cluster.kubectl("wait", "--for=condition=Established", f"crd/{REQUESTS}")


def answer(cluster: Cluster, request: str, kind: str, *, reason: str, message: str) -> None:
    """Add a condition of this type, which is true, to the ProvisioningRequest of this name."""
    before = cluster.get("provisioningrequests", request).get("status", {}).get("conditions", [])
    condition = {"type": kind, "status": "True", "reason": reason, "message": message}
    condition |= {"lastTransitionTime": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}
    patch = json.dumps({"status": {"conditions": [*before, condition]}})
    cluster.kubectl("patch", REQUESTS, request, "--subresource=status", "--type=merge", "-p", patch)


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
