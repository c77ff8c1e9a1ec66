"""Jobs that wait in a Kueue queue: what its quota is, by device class. Pure, but for reading the queue.

A plan for a queue is made against the ClusterQueue's quota instead of what nodes have free now: the job waits until
that much is unused. Kueue admits a Job whole or not at all, and changing the size of an admitted one makes it kill
every pod, so a plan is one Job of one class, and it is never shrunk. What a class's flavor is, its node labels say.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dueby_operator.cluster.nodes import DeviceKind, quantity
from dueby_operator.kube.client import Kube, Missing

Document = dict[str, Any]
# Of a group of resources of which a worker asks for none.
UNBOUNDED = 2**31
GROUP_PATH = "/apis/kueue.x-k8s.io"


@dataclass(frozen=True, kw_only=True)
class Flavor:
    """One kind of nodes in a queue's quota."""

    node_labels: Mapping[str, str]
    nominal: Mapping[str, float]
    """Quota by resource."""
    used: Mapping[str, float]
    """Of it, by resource, by workloads that are admitted."""


@dataclass(frozen=True, kw_only=True)
class Queue:
    """A LocalQueue, as far as plans need it."""

    groups: tuple[tuple[Flavor, ...], ...]
    """Of each group of resources the flavors; a workload gets one flavor of each group."""

    def most(self, kind: DeviceKind, asked: Mapping[str, float], *, unused: bool) -> int:
        """How many workers of a class the quota covers: all of it, or what is unused now."""
        if kind.resource and not any(kind.resource in flavor.nominal for group in self.groups for flavor in group):
            return 0
        return min((_most_of(group, kind, asked, unused=unused) for group in self.groups), default=0)


async def read_queue(kube: Kube, namespace: str, name: str) -> Queue | None:
    """The LocalQueue with its ClusterQueue and flavors; None where any of them isn't there."""
    try:
        served = await kube.get(GROUP_PATH)
        api = f"/apis/{served['preferredVersion']['groupVersion']}"
        local = await kube.get(f"{api}/namespaces/{namespace}/localqueues/{name}")
        queue = await kube.get(f"{api}/clusterqueues/{local['spec']['clusterQueue']}")
        needed = sorted({flavor["name"] for flavor in _flavors_of(queue)})
        labels = {found: (await kube.get(f"{api}/resourceflavors/{found}"))["spec"] for found in needed}
    except Missing:
        return None
    return Queue(groups=read_groups(queue, {found: spec.get("nodeLabels") or {} for found, spec in labels.items()}))


def read_groups(queue: Document, labels: Mapping[str, Mapping[str, str]]) -> tuple[tuple[Flavor, ...], ...]:
    """The quota of a ClusterQueue, given each flavor's node labels."""
    used = {
        flavor["name"]: {resource["name"]: quantity(resource.get("total", 0)) for resource in flavor["resources"]}
        for flavor in queue.get("status", {}).get("flavorsUsage", ())
    }
    return tuple(
        tuple(
            Flavor(
                node_labels=labels.get(flavor["name"], {}),
                nominal={r["name"]: quantity(r["nominalQuota"]) for r in flavor["resources"]},
                used=used.get(flavor["name"], {}),
            )
            for flavor in group["flavors"]
        )
        for group in queue["spec"].get("resourceGroups", ())
    )


def _flavors_of(queue: Document) -> Iterable[Document]:
    return (flavor for group in queue["spec"].get("resourceGroups", ()) for flavor in group["flavors"])


def _most_of(group: Iterable[Flavor], kind: DeviceKind, asked: Mapping[str, float], *, unused: bool) -> int:
    """With the best flavor of the group whose nodes have the device, by the label that says so."""
    return max(
        (
            _fits(flavor, asked, unused=unused)
            for flavor in group
            if all(flavor.node_labels.get(label, value) == value for label, value in kind.selector.items())
        ),
        default=0,
    )


def _fits(flavor: Flavor, asked: Mapping[str, float], *, unused: bool) -> int:
    """By the resources that the flavor bounds and that are asked for."""
    left = {
        name: quota - (flavor.used.get(name, 0.0) if unused else 0.0)
        for name, quota in flavor.nominal.items()
        if asked.get(name)
    }
    return max(0, min((math.floor(value / asked[name] + 1e-9) for name, value in left.items()), default=UNBOUNDED))
