"""What pods take from nodes, and which of those that are being deleted should be gone and are not. Pure.

A pod is killed at its deletionTimestamp at the latest, since that includes its grace period. One that is there for much
longer has a node that doesn't answer, a volume that can't be unmounted or a process that can't be killed. The scheduler
gives out again what it has only once it is gone, and nobody knows when that is: nothing is promised on it. Nor is it on
what a pod has that may take longer than a worker to end: that comes free one day, as with a pod that isn't deleted.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from dueby_api.units import clock_time
from dueby_operator.cluster.nodes import SLICE, Node, OverduePod, PodRow

# From the deletionTimestamp until the node has cleared the pod away. The operator's clock and the API server's may
# differ by some seconds of it.
MARGIN_US = 30_000_000
# What workers are given to end, if nothing else is said.
GRACE_US = 35_000_000


def take_pods(
    nodes: Collection[Node], pods: Iterable[PodRow], *, now_us: int = 0, grace_us: int = GRACE_US
) -> dict[str, Node]:
    """Return the nodes by name, less what the pods on them ask for. `grace_us`: what workers are given to end."""
    by_node: dict[str, list[PodRow]] = {node.name: [] for node in nodes}
    for pod in pods:
        if pod.requests and pod.node in by_node:
            by_node[pod.node].append(pod)
    return {node.name: _without_pods(node, by_node[node.name], now_us, grace_us) for node in nodes}


def _without_pods(node: Node, pods: Sequence[PodRow], now_us: int, grace_us: int) -> Node:
    free, workers, leaving, held = dict(node.free), dict[str, float](), dict[str, float](), dict[str, float]()
    overdue: list[OverduePod] = []
    for pod in pods:
        at_us, table = pod.leaves_at_us, workers if pod.is_worker else None
        if at_us is not None:
            table = leaving if at_us <= now_us + grace_us else None
            if now_us > at_us + MARGIN_US:
                table = held
                overdue.append(OverduePod(at_us, pod.namespace, pod.name, pod.node))
        for requested, value in {**pod.requests, **({SLICE: 1.0} if pod.is_worker else {})}.items():
            name = node.other_names.get(requested, requested)
            free[name] = free.get(name, 0.0) - value
            if table is not None:
                table[name] = table.get(name, 0.0) + value
    return replace(node, free=free, workers=workers, leaving=leaving, held_overdue=held, overdue=tuple(sorted(overdue)))


def describe_overdue(pods: Sequence[OverduePod], *, namespace: str, now_us: int, names_nodes: bool = False) -> str:
    """Return which pods should be gone, and what to do, for somebody in this namespace; empty if there are none."""
    if not pods:
        return ""
    first = min(pods, key=lambda pod: (pod.namespace != namespace, pod))
    # Names of pods and their nodes are their namespace's business. Who looks after nodes finds it there.
    is_own = first.namespace == namespace
    name = f"Pod {first.name}" if is_own else "A pod of another namespace"
    where = f" on node {first.node}" if is_own or names_nodes else ""
    more = f", and {len(pods) - 1:,} more as well" if len(pods) > 1 else ""
    return (
        f"{name}{where} should have ended by {clock_time(first.since_us, now_us=now_us)}{more}. Nothing "
        "is promised on the devices that it holds. See why it stays: its node may not answer, or a volume can't be "
        "unmounted. Delete it with --force only if its node is off."
    )
