"""Which nodes have fallen silent: half a minute before Kubernetes calls them not ready.

A kubelet renews its node's Lease every 10 s. A worker that doesn't answer may be busy; one that doesn't answer on a
node whose Lease has stood still for 20 s is lost, and help needn't wait for the 50 s that Kubernetes takes. Time is
counted from the first look at the Lease, by this process's clock: a node's own clock may be wrong.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

# Two renewals of the Lease: one may be late on a busy node.
SILENT_US = 20_000_000


@dataclass(kw_only=True)
class NodeHeartbeats:
    """The Leases of nodes whose workers don't answer, as they were seen."""

    since: dict[str, tuple[str, int]] = field(default_factory=dict)
    """By node: the time in its Lease, and when that was seen first, in microseconds since 1970."""

    def is_silent(self, node: str, renewed: str, *, now_us: int) -> bool:
        """Note what the node's Lease says now, and return whether it has said that for too long."""
        before = self.since.get(node)
        if before is None or before[0] != renewed:
            self.since[node] = (renewed, now_us)
            return False
        return now_us - before[1] > SILENT_US

    def forget_all_but(self, nodes: Collection[str]) -> None:
        """Forget the nodes whose workers answer again."""
        self.since = {node: seen for node, seen in self.since.items() if node in nodes}
