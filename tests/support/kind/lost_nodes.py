"""Nodes that a test has killed: they come back before the next test begins."""

from typing import Any

from support.kind.cluster import Cluster, call


def ready(cluster: Cluster, node: str) -> dict[str, Any]:
    """Return what Kubernetes says of whether the node is ready."""
    found: dict[str, Any] = next(c for c in cluster.get("node", node)["status"]["conditions"] if c["type"] == "Ready")
    return found


def bring_back(cluster: Cluster, node: str) -> None:
    """Start the node again, until Kubernetes and the operator count on it: the operator goes by its Lease."""

    def renewed() -> str:
        return str(cluster.get("lease", node, namespace="kube-node-lease")["spec"]["renewTime"])

    before = renewed()
    call("docker", "start", node)
    cluster.wait(lambda: ready(cluster, node)["status"] == "True" and renewed() != before, f"{node} is back")
    # Those that were to leave it hold its devices until its kubelet has seen to them.
    on_node = ("get", "pods", "--all-namespaces", f"--field-selector=spec.nodeName={node}", "-o")
    leaving = "jsonpath={.items[*].metadata.deletionTimestamp}"
    cluster.wait(lambda: not cluster.kubectl(*on_node, leaving).strip(), f"the pods that were to leave {node} are gone")
