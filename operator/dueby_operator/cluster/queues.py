"""Jobs that wait in a Kueue queue: what its quota is, by device class. Pure.

A plan for a queue is made against the ClusterQueue's quota instead of what nodes have free now: the job waits until
that much is unused. Kueue admits a Job whole or not at all, and when the size of an admitted one changes it kills every
pod, so a plan is one Job of one class, and it is never shrunk. Of more than 1,000 workers it is several Jobs, each of
which is admitted for itself: those that are there take over the shares of those that still wait, so a job with part of
its workers ends, if later, and holds up nobody for ever. Node labels say which device class a flavor is.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dueby_api.quantities import Amount, quantity
from dueby_api.schema import LenientSpec, field
from dueby_operator.cluster.nodes import DeviceKind

# Of a group of resources of which a worker asks for none.
UNBOUNDED = 2**31
# Sums of floats are not exact.
_ROUNDING = 1e-9


class FlavorResource(LenientSpec, frozen=True, kw_only=True):
    """A resource of a flavor: its quota, or what is used of it."""

    name: str
    nominal_quota: Amount = 0
    total: Amount = 0


class QueueFlavor(LenientSpec, frozen=True, kw_only=True):
    """A flavor of a ClusterQueue."""

    name: str
    resources: tuple[FlavorResource, ...] = ()


class ResourceGroup(LenientSpec, frozen=True, kw_only=True):
    """Flavors of the same resources, of which a workload gets one."""

    flavors: tuple[QueueFlavor, ...] = ()


class ClusterQueueSpec(LenientSpec, frozen=True, kw_only=True):
    """A ClusterQueue's quota."""

    resource_groups: tuple[ResourceGroup, ...] = ()


class ClusterQueueStatus(LenientSpec, frozen=True, kw_only=True):
    """What is used of a ClusterQueue's quota."""

    flavors_usage: tuple[QueueFlavor, ...] = ()


class ClusterQueue(LenientSpec, frozen=True, kw_only=True):
    """A ClusterQueue, as far as plans need it."""

    spec: ClusterQueueSpec = field(default_factory=ClusterQueueSpec)
    status: ClusterQueueStatus = field(default_factory=ClusterQueueStatus)

    @property
    def flavor_names(self) -> list[str]:
        """The names of its flavors, each once."""
        return sorted({flavor.name for group in self.spec.resource_groups for flavor in group.flavors})


@dataclass(frozen=True, kw_only=True)
class Flavor:
    """One kind of nodes in a queue's quota."""

    node_labels: Mapping[str, str]
    nominal: Mapping[str, float]
    """Quota by resource."""
    used: Mapping[str, float]
    """What admitted workloads use of it, by resource."""


@dataclass(frozen=True, kw_only=True)
class Queue:
    """A LocalQueue, as far as plans need it."""

    groups: tuple[tuple[Flavor, ...], ...]
    """The flavors of each group of resources. A workload gets one flavor of each group."""

    def max_workers(self, kind: DeviceKind, asked: Mapping[str, float], *, unused: bool) -> int:
        """Return how many workers of a class the quota covers: all of it, or what is unused now."""
        if kind.resource and not any(kind.resource in flavor.nominal for group in self.groups for flavor in group):
            return 0
        return min((_max_of(group, kind, asked, unused=unused) for group in self.groups), default=0)


def read_groups(queue: ClusterQueue, labels: Mapping[str, Mapping[str, str]]) -> tuple[tuple[Flavor, ...], ...]:
    """Return the quota of a ClusterQueue, given each flavor's node labels."""
    used = {
        flavor.name: {resource.name: quantity(resource.total) for resource in flavor.resources}
        for flavor in queue.status.flavors_usage
    }
    return tuple(
        tuple(
            Flavor(
                node_labels=labels.get(flavor.name, {}),
                nominal={resource.name: quantity(resource.nominal_quota) for resource in flavor.resources},
                used=used.get(flavor.name, {}),
            )
            for flavor in group.flavors
        )
        for group in queue.spec.resource_groups
    )


def _max_of(group: Iterable[Flavor], kind: DeviceKind, asked: Mapping[str, float], *, unused: bool) -> int:
    """Return the number with the best flavor of the group whose nodes have the device, by the label that says so."""
    return max(
        (
            _fits(flavor, asked, unused=unused)
            for flavor in group
            if all(flavor.node_labels.get(label, value) == value for label, value in kind.selector.items())
        ),
        default=0,
    )


def _fits(flavor: Flavor, asked: Mapping[str, float], *, unused: bool) -> int:
    """Return the number by the resources that the flavor bounds and that are asked for."""
    left = {
        name: quota - (flavor.used.get(name, 0.0) if unused else 0.0)
        for name, quota in flavor.nominal.items()
        if asked.get(name)
    }
    rooms = (math.floor(value / asked[name] + _ROUNDING) for name, value in left.items())
    return max(0, min(rooms, default=UNBOUNDED))
