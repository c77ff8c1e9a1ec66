"""Kueue's queues: what a job in one may have, by device class. Pure.

A queue's quota is what its ClusterQueue has for itself, and what that may borrow from its cohort. Over time it is a
limit of the calendar (queue_quotas.py). Kueue admits a Job whole or not at all, and when the size of an admitted one
changes it kills every pod, so such a Job is never shrunk. A job of more than 1,000 workers is several Jobs, each of
which is admitted for itself: those that are there take over the shares of those that still wait, so a job with part of
its workers ends, if later, and holds up nobody for ever.

Where a ClusterQueue limits what it lends, it is taken to lend and to borrow nothing.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from dataclasses import field as value

from dueby_api.quantities import Amount, quantity
from dueby_api.schema import LenientSpec, field
from dueby_operator.cluster.nodes import ROUNDING, DeviceKind
from dueby_operator.objects.meta import ObjectMeta

_Key = tuple[str, str]
"""Flavor and resource."""
# Of a group of resources of which a worker asks for none.
UNBOUNDED = 2**31


class FlavorResource(LenientSpec, frozen=True, kw_only=True):
    """A resource of a flavor: its quota, or what is used of it."""

    name: str
    nominal_quota: Amount = 0
    borrowing_limit: Amount | None = None
    lending_limit: Amount | None = None
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
    cohort_name: str = ""
    cohort: str = ""
    """The same before v1beta2."""


class ClusterQueueStatus(LenientSpec, frozen=True, kw_only=True):
    """What is used of a ClusterQueue's quota."""

    flavors_usage: tuple[QueueFlavor, ...] = ()


class ClusterQueue(LenientSpec, frozen=True, kw_only=True):
    """A ClusterQueue, as far as plans need it."""

    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    spec: ClusterQueueSpec = field(default_factory=ClusterQueueSpec)
    status: ClusterQueueStatus = field(default_factory=ClusterQueueStatus)

    @property
    def cohort(self) -> str:
        """The ClusterQueues with which it shares what is unused; empty if it shares nothing."""
        return self.spec.cohort_name or self.spec.cohort

    @property
    def flavor_names(self) -> list[str]:
        """The names of its flavors, each once."""
        return sorted({flavor.name for group in self.spec.resource_groups for flavor in group.flavors})


@dataclass(frozen=True, kw_only=True)
class Flavor:
    """One kind of nodes in a queue's quota."""

    name: str = ""
    node_labels: Mapping[str, str]
    quota: Mapping[str, float]
    """What there is by resource, with what may be borrowed."""
    used: Mapping[str, float]
    """What admitted workloads use of it, by resource."""
    shared: Mapping[str, float] = value(default_factory=dict)
    """By resource that its queue may borrow, the quota of the cohort together."""
    shared_used: Mapping[str, float] = value(default_factory=dict)
    """What admitted workloads of the cohort use of that."""


@dataclass(frozen=True, kw_only=True)
class Queue:
    """A LocalQueue, as far as plans need it."""

    name: str = ""
    """Of its ClusterQueue."""
    cohort: str = ""
    """Of its ClusterQueue; empty if that has none."""
    groups: tuple[tuple[Flavor, ...], ...]
    """The flavors of each group of resources. A workload gets one flavor of each group."""
    is_unknown: bool = False
    """Whether nothing is known of its quota. What is too much for it Kueue lets wait."""

    def max_workers(self, kind: DeviceKind, requests: Mapping[str, float], *, unused: bool) -> int:
        """Return how many workers of a class the quota covers: all of it, or what is unused now."""
        if self.is_unknown:
            return UNBOUNDED
        if kind.resource and not any(kind.resource in flavor.quota for group in self.groups for flavor in group):
            return 0
        return min((_max_of(group, kind, requests, unused=unused) for group in self.groups), default=0)


# A queue that can't be read now.
UNKNOWN = Queue(groups=(), is_unknown=True)


def read_queue(
    queue: ClusterQueue, labels: Mapping[str, Mapping[str, str]], cohort: Iterable[ClusterQueue] = ()
) -> Queue:
    """Return a LocalQueue of a ClusterQueue, given each flavor's node labels and all ClusterQueues of its cohort."""
    used, (shared, shared_used) = _used(queue), _shared(cohort)

    def flavor_of(flavor: QueueFlavor) -> Flavor:
        quota, lent = {}, {}
        for resource in flavor.resources:
            quota[resource.name] = nominal = quantity(resource.nominal_quota)
            limit = resource.borrowing_limit
            if queue.cohort and resource.lending_limit is None:
                lent[resource.name] = shared[flavor.name, resource.name]
                most = math.inf if limit is None else nominal + quantity(limit)
                quota[resource.name] = min(most, lent[resource.name])
        return Flavor(
            name=flavor.name,
            node_labels=labels.get(flavor.name, {}),
            quota=quota,
            used={name: used[flavor.name, name] for name in quota},
            shared=lent,
            shared_used={name: shared_used[flavor.name, name] for name in lent},
        )

    return Queue(
        name=queue.metadata.name,
        cohort=queue.cohort,
        groups=tuple(tuple(map(flavor_of, group.flavors)) for group in queue.spec.resource_groups),
    )


def matching(group: Iterable[Flavor], kind: DeviceKind) -> list[Flavor]:
    """Return the flavors of the group whose nodes have the device, by the label that says so."""
    return [
        flavor
        for flavor in group
        if all(flavor.node_labels.get(label, value) == value for label, value in kind.selector.items())
    ]


def _used(queue: ClusterQueue) -> dict[_Key, float]:
    return defaultdict(
        float,
        {
            (flavor.name, resource.name): quantity(resource.total)
            for flavor in queue.status.flavors_usage
            for resource in flavor.resources
        },
    )


def _shared(cohort: Iterable[ClusterQueue]) -> tuple[dict[_Key, float], dict[_Key, float]]:
    """Return what the ClusterQueues of a cohort have together, and what is used of it."""
    shared, shared_used = defaultdict[_Key, float](float), defaultdict[_Key, float](float)
    for queue in cohort:
        used = _used(queue)
        for flavor in (flavor for group in queue.spec.resource_groups for flavor in group.flavors):
            for resource in flavor.resources:
                key, nominal = (flavor.name, resource.name), quantity(resource.nominal_quota)
                kept = 0.0 if resource.lending_limit is None else nominal
                shared[key] += nominal - kept
                shared_used[key] += max(0.0, used[key] - kept)
    return shared, shared_used


def _max_of(group: Iterable[Flavor], kind: DeviceKind, requests: Mapping[str, float], *, unused: bool) -> int:
    """Return the number with the best flavor of the group whose nodes have the device."""
    return max((_fits(flavor, requests, unused=unused) for flavor in matching(group, kind)), default=0)


def _fits(flavor: Flavor, requests: Mapping[str, float], *, unused: bool) -> int:
    """Return the number by the resources that the flavor bounds and that are asked for."""
    rest = {name: quota for name, quota in flavor.quota.items() if requests.get(name)}
    if unused:
        for whole, used in ((flavor.quota, flavor.used), (flavor.shared, flavor.shared_used)):
            rest |= {name: min(rest[name], whole[name] - used.get(name, 0.0)) for name in rest.keys() & whole.keys()}
    rooms = (math.floor(value / requests[name] + ROUNDING) for name, value in rest.items())
    return max(0, min(rooms, default=UNBOUNDED))
