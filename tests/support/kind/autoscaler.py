"""What an autoscaler does for a pool that stands at zero: a node comes for pods that fit nowhere, and goes when unused.

The node is one of the tests' own, which joins the pool and leaves it: pods really run there, and the scheduler and the
operator can't tell.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from support.kind.cluster import POOL, POOL_CLASS, POOL_LABEL, Cluster
from support.kind.gpus import add_gpus, remove_gpus


def asking(cluster: Cluster, job: str) -> list[dict[str, Any]]:
    """The job's pods that want a node of the pool and fit on none that there is."""
    pods = cluster.items("pods", f"dueby.dev/job={job},dueby.dev/step=work")
    return [pod for pod in pods if _asks(pod)]


def _asks(pod: dict[str, Any]) -> bool:
    unscheduled = [each for each in pod["status"].get("conditions", []) if each.get("reason") == "Unschedulable"]
    return bool(unscheduled) and pod["spec"].get("nodeSelector", {}).get(POOL_LABEL) == POOL


@contextmanager
def node_of_pool(cluster: Cluster, node: str, *, devices: int) -> Iterator[None]:
    """Have the node be the pool's, with its devices, until the block ends."""
    cluster.kubectl("label", "node", node, f"{POOL_LABEL}={POOL}")
    add_gpus(cluster, node, POOL_CLASS, count=devices)
    try:
        yield
    finally:
        remove_gpus(cluster, node)
        cluster.kubectl("label", "node", node, f"{POOL_LABEL}-")
