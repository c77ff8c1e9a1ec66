"""The devices of a cluster, as jobs take them one after the other: nodes, quotas and queues as one value. Pure.

Nodes don't show workers that were created and are on none yet, so those are counted by class and taken off.
"""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from dueby_api.inference_job import JobSpec, Model
from dueby_api.quantities import quantity
from dueby_api.subject import class_of, node_of
from dueby_operator.cluster.allotments import PER_NODE, allotment_of, fits_allotment, share_of_cores
from dueby_operator.cluster.announced import (
    Missing,
    announced_classes,
    announced_groups,
    describe_missing,
    find_missing,
)
from dueby_operator.cluster.device_groups import find_groups
from dueby_operator.cluster.host_memory import MIB, UNMEASURED, HostMemory
from dueby_operator.cluster.node_pools import (
    Late,
    Unserved,
    asked_groups,
    describe_late,
    describe_unserved,
    is_for,
    kinds_in_pools,
    missing_devices,
)
from dueby_operator.cluster.nodes import (
    CPU_CLASS,
    SLICE_CPUS,
    DeviceKind,
    Node,
    OpenNodes,
    OverduePod,
    classes_on,
    device_kinds,
    free_devices,
    is_open,
    kind_on,
    set_apart,
    workers_within,
)
from dueby_operator.cluster.pods_on_nodes import describe_overdue
from dueby_operator.cluster.queue_quotas import find_queue_limits
from dueby_operator.cluster.queues import Queue
from dueby_operator.cluster.quotas import Room, find_namespace_limits, max_pods, take
from dueby_operator.cluster.requests import cpus_of, own_cores, tolerations_of, worker_requests
from dueby_operator.cluster.shortage import describe_shortage
from dueby_operator.model.devices import Offer
from dueby_operator.settings import OperatorSettings
from dueby_planner.model.capacity import Provision
from dueby_planner.schedule.devices import DeviceGroups
from dueby_planner.schedule.job import Claimant

_BLIND = (
    "the operator reads no pods of other namespaces (countAllPods is false), so devices that they use count as free, "
    "and workers may wait for a node"
)


@dataclass(frozen=True, kw_only=True)
class ClusterDevices:
    """Nodes less what their pods ask for, and what limits a job besides."""

    settings: OperatorSettings
    now_us: int
    """In microseconds since 1970."""
    nodes: Mapping[str, Node]
    unscheduled: Mapping[str, int] = field(default_factory=dict)
    """By device class, workers that are wanted and on no node yet."""
    room: Mapping[str, Room] = field(default_factory=dict)
    """What ResourceQuotas bound, by namespace."""
    queues: Mapping[tuple[str, str], Queue] = field(default_factory=dict)
    """The LocalQueues that jobs name and that exist, by namespace and name."""
    late: Late = field(default_factory=dict)
    """Workers that wait for nodes of pools that should have come."""
    answers: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """By namespace and pool, what an autoscaler says of nodes that these workers wait for."""
    unserved: Unserved = frozenset()
    """Kinds of objects by which pools are to be asked, and that the cluster doesn't serve."""
    provision: Mapping[str, Provision] = field(default_factory=dict)
    """How long a pool's nodes take to come, by pool."""
    silent_nodes: frozenset[str] = frozenset()
    """Nodes whose kubelet has stopped renewing its Lease, before Kubernetes calls them not ready."""
    host_memory: HostMemory = UNMEASURED
    """What profiles have measured of GPUs' workers."""
    uncounted: str = ""
    """Which nodes have GPUs that workers can't have, or only in part, and why; empty if none has."""
    _counted: dict[object, int] = field(default_factory=dict, compare=False, repr=False)
    """Nodes' free devices by what was asked: a thousand nodes take 2 ms, and most jobs ask for the same."""
    _classes: dict[object, set[str]] = field(default_factory=dict, compare=False, repr=False)
    """Classes on nodes, by these nodes."""
    _shares: dict[str, int] = field(default_factory=dict, compare=False, repr=False)
    """The smallest share of cores of each class that was asked about, likewise."""
    _shortages: dict[object, str] = field(default_factory=dict, compare=False, repr=False)
    """What nodes lack, likewise."""

    @cached_property
    def kinds(self) -> Mapping[str, DeviceKind]:
        """How each class of GPUs that any node has is asked for."""
        return device_kinds(self.nodes.values())

    @cached_property
    def counted_kinds(self) -> Mapping[str, DeviceKind]:
        """The same with classes that only pools could have: quotas count both."""
        return {**kinds_in_pools(self.settings.node_pools), **self.kinds}

    @cached_property
    def open_nodes(self) -> Sequence[Node]:
        """The nodes that are neither silent nor away."""
        return [
            node
            for node in self.nodes.values()
            if node.name not in self.silent_nodes and node.leaves_us(self.now_us) > self.now_us
        ]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes it less sure that a free device is free, as clauses."""
        return tuple(filter(None, (_BLIND if self.settings.ignores_other_pods else "", self.uncounted)))

    def worker_cores(self, namespace: str, spec: JobSpec, device_class: str) -> int:
        """Return the cores that a worker of the job may have beside a GPU of the class.

        Those are the job's own, or else the GPU's share of what each of its nodes has. Where a quota or a queue counts
        cores, it is what the settings say, since what is counted must be known before there is a plan.
        """
        own = own_cores(spec)
        if own or CPU_CLASS.match(device_class) or spec.queue_name or self.has_quota(namespace):
            return own or cpus_of(device_class, self.settings)
        if device_class not in self._shares:
            shares = (share_of_cores(node, device_class, self.settings) for node in self.open_nodes)
            self._shares[device_class] = min(filter(None, shares), default=self.settings.gpu_worker_cpus)
        return self._shares[device_class]

    @property
    def worker_grace_s(self) -> int:
        """How long a worker that is told to stop may take to finish the part that it is at."""
        return self.settings.worker_grace_s

    def worker_memory(self, model: Model, device_class: str) -> str:
        """Return what a worker of the model on such a device asks for, if the job doesn't say.

        That is what was measured, as far as it is the device's on each node that has one, or else what the settings
        say.
        """
        needed = self.host_memory.needed_by(model, device_class)
        usual = self.settings.worker_memory
        if needed <= quantity(usual):
            return usual
        if device_class not in self._least_memory:
            allotments = (allotment_of(node, device_class, self.settings) for node in self.nodes.values())
            least = min((allotment["memory"] for allotment in allotments if allotment), default=0.0)
            self._least_memory[device_class] = least
        mebibytes = math.floor(min(needed, self._least_memory[device_class]) / MIB)
        return f"{mebibytes}Mi" if mebibytes * MIB > quantity(usual) else usual

    @cached_property
    def _least_memory(self) -> dict[str, float]:
        """The smallest allotment of memory of each class that was asked about, in bytes."""
        return {}

    def kind_of(self, device_class: str) -> DeviceKind | None:
        """Return how a device of the class is asked for; None if no node has GPUs of it."""
        if slices := CPU_CLASS.match(device_class):
            size, is_usual = {SLICE_CPUS: slices[1]}, slices[1] == str(self.settings.slice_cpus)
            return DeviceKind(
                node=node_of(device_class),
                without_labels=self.settings.class_labels,
                selector={} if is_usual else size,
                if_labelled=size if is_usual else {},
            )
        return self.kinds.get(device_class)

    def kind_in_pool(self, name: str, device_class: str) -> DeviceKind | None:
        """Return how a device of the class is asked for of a pool; None if there is no such pool any more.

        A pod that waits for a node names no label that says which product a node has: nodes that could be made have
        only those labels that the pool's administrator gives them.
        """
        pool = self.settings.pool(name)
        if pool is None:
            return None
        kind = self.kind_of(device_class) if CPU_CLASS.match(device_class) else None
        kind = kind or DeviceKind(resource=pool.resource)
        return replace(kind, selector={**kind.selector, **pool.node_selector})

    def avoided_nodes(self, device_class: str, *, until_us: int = 0) -> frozenset[str]:
        """Return the nodes that workers of the class keep off, if they may stay until then.

        Those are silent nodes, slow ones if the class isn't theirs, and those that go away before.
        """
        slow = () if node_of(device_class) else (node.name for node in self.nodes.values() if node.is_slow)
        until_us = max(until_us, self.now_us + 1)
        leaving = (node.name for node in self.nodes.values() if node.leaves_us(self.now_us) < until_us)
        return self.silent_nodes.union(slow, leaving)

    def with_slow_nodes(self, slow: Collection[str]) -> "ClusterDevices":
        """Return the same with the devices of slow nodes as classes of their own."""
        return replace(self, nodes=set_apart(self.nodes, slow), _counted={}, _classes={}, _shares={}, _shortages={})

    def has_queue(self, namespace: str, name: str) -> bool:
        """Return whether jobs of the namespace can wait in this queue."""
        return (namespace, name) in self.queues

    def has_quota(self, namespace: str) -> bool:
        """Return whether a ResourceQuota limits the namespace."""
        return bool(self.room.get(namespace))

    def with_own_classes(self, spec: JobSpec, *, measured: Collection[str]) -> JobSpec:
        """Return the spec with the slow nodes' own classes of those that it names.

        Who names a class means the product, and a slow node of it is one. A node that has recovered is of its class
        again.
        """
        existing = {*self.kinds, *measured}
        named = [name if name in existing else class_of(name) for name in spec.gpus.classes]
        slow_classes = sorted(name for name in existing if node_of(name) and class_of(name) in named)
        return spec.replace(gpus=spec.gpus.replace(classes=tuple(dict.fromkeys([*named, *slow_classes]))))

    def classes_of(self, spec: JobSpec) -> set[str]:
        """Return the classes of devices on nodes that are open to the job's workers, free or not."""
        names = self._open_to(spec)
        if names not in self._classes:
            self._classes[names] = {name for node in names for name in classes_on(self.nodes[node])}
        return self._classes[names]

    def offer(self, namespace: str, spec: JobSpec, *, classes: Sequence[str]) -> Offer:
        """Return what more workers of the job could have: what is free now, and unused of its queue's quota."""
        if spec.queue_name:
            whole = self._in_queue(namespace, spec, classes, unused=False)
            return Offer(counts=self.free_for_one(namespace, spec, classes=classes), in_queue=whole)
        return self._free_now(namespace, spec, classes)

    def groups(self, claimants: Sequence[Claimant]) -> DeviceGroups:
        """Return the devices of nodes that aren't silent, for whom they are, and the limits that bind these jobs."""
        nodes = [node for node in self.nodes.values() if node.name not in self.silent_nodes]
        groups = find_groups(
            nodes,
            claimants,
            self.settings,
            now_us=self.now_us,
            provision=self.provision,
            memory_of=self.worker_memory,
        )
        announced = announced_groups(self._missing, claimants, now_us=self.now_us, may_have=self._may_be_promised)
        asked = asked_groups(
            self.settings.node_pools,
            self.nodes.values(),
            claimants,
            self.late,
            provision=self.provision,
            spot=self.settings.spot,
            unserved=self.unserved,
            may_have=self._may_be_promised,
        )
        of_queues = find_queue_limits(self.queues, claimants, self.counted_kinds, self._asked)
        of_namespaces = find_namespace_limits(self.room, claimants, self._asked)
        return replace(groups, all=(*groups.all, *announced, *asked), limits=(*of_queues, *of_namespaces))

    def _may_be_promised(self, claimant: Claimant, device_class: str) -> bool:
        """Return whether it is known what devices that are on no node yet take of the quotas that bind the job."""
        is_bound = claimant.spec.queue_name or self.has_quota(claimant.key[0])
        return not is_bound or bool(CPU_CLASS.match(device_class)) or device_class in self.counted_kinds

    def coming_classes(self, spec: JobSpec) -> frozenset[str]:
        """Return the classes of devices that are announced or can be asked for, and that the job's workers fit."""
        of_pools = {pool.device_class for pool in self.settings.node_pools if is_for(pool, spec)}
        return announced_classes(self._missing, spec, now_us=self.now_us) | of_pools

    def ready_us(self, node: str) -> int | None:
        """Return since when a node is ready, in microseconds since 1970; None if that isn't known."""
        return self.nodes[node].ready_us if node in self.nodes else None

    def missing(self, namespace: str, spec: JobSpec, *, classes: Collection[str]) -> str:
        """Return which devices that the job could use should be there and aren't; empty if none."""
        announced = describe_missing(self._missing, spec, classes=classes, now_us=self.now_us)
        late = describe_late(
            self.settings.node_pools,
            self.late,
            namespace,
            spec,
            provision=self.provision,
            answers=self.answers,
        )
        unserved = describe_unserved(self.settings.node_pools, self.unserved, spec)
        return " ".join(filter(None, [announced, late, unserved]))

    @cached_property
    def _missing(self) -> Missing:
        """The announced devices that no node has."""
        return find_missing(self.nodes.values(), self.settings.capacity)

    def free_for_one(self, namespace: str, spec: JobSpec, *, classes: Sequence[str]) -> Mapping[str, int]:
        """Return the devices of each class of which a pod of the job could have one now."""
        free = self._free_now(namespace, spec, classes).counts
        if not spec.queue_name:
            return free
        unused = self._in_queue(namespace, spec, classes, unused=True)
        return {name: min(free[name], unused[name]) for name in classes}

    def shortage(self, spec: JobSpec, device_class: str) -> str:
        """Return what nodes lack for one more worker on such a device; empty if it isn't nodes that lack something."""
        key = self._asked_on(spec, device_class)
        if key not in self._shortages:
            self._shortages[key] = describe_shortage(
                self.open_nodes,
                device_class,
                self.settings,
                requests=self._per_node(spec, device_class),
                tolerations=tolerations_of(spec),
                selector=spec.worker.node_selector,
                spot=spec.spot_use,
            )
        return self._shortages[key]

    def overdue(self, namespace: str, spec: JobSpec, *, classes: Sequence[str]) -> str:
        """Return which pods that should be gone have what workers of the job could have; empty if none does."""
        tolerations, selector = tolerations_of(spec), spec.worker.node_selector
        pods: list[OverduePod] = []
        for node in (node for node in self.open_nodes if node.overdue):
            if is_open(node, tolerations=tolerations, selector=selector, spot=spec.spot_use):
                kinds = ((name, kind_on(node, name)) for name in classes)
                if any(_is_held(node, {**self._per_node(spec, name), **kind.request}) for name, kind in kinds if kind):
                    pods += node.overdue
        names_nodes = self.settings.names_nodes
        return describe_overdue(pods, namespace=namespace, now_us=self.now_us, names_nodes=names_nodes)

    def without(self, namespace: str, spec: JobSpec, *, device_class: str, count: int) -> "ClusterDevices":
        """Return what is left after so many workers of the job are created and on no node yet."""
        unscheduled = Counter(self.unscheduled)
        unscheduled[device_class] += count
        room = dict(self.room)
        if namespace in room:
            room[namespace] = take(room[namespace], self._asked(spec, device_class), count)
        return replace(self, unscheduled=unscheduled, room=room)

    def _per_node(self, spec: JobSpec, device_class: str) -> dict[str, float]:
        """Return what bounds workers on a node, besides their device."""
        requests = self._of_worker(spec, device_class)
        return {name: requests[name] for name in PER_NODE}

    def _asked(self, spec: JobSpec, device_class: str) -> dict[str, float]:
        kind = self.counted_kinds.get(device_class, DeviceKind())
        return {**self._of_worker(spec, device_class), **kind.request}

    def _of_worker(self, spec: JobSpec, device_class: str) -> dict[str, float]:
        memory = self.worker_memory(spec.model, device_class)
        return worker_requests(spec, self.settings, device_class, memory=memory)

    def _free_now(self, namespace: str, spec: JobSpec, classes: Sequence[str]) -> Offer:
        free = {name: max(0, self._count(spec, name) - self.unscheduled.get(name, 0)) for name in classes}
        room = self.room.get(namespace)
        if not room or not classes:
            return Offer(counts=free, warnings=self.warnings)
        within = {name: int(min(free[name], max_pods(room, self._asked(spec, name)))) for name in classes}
        return Offer(counts=within, warnings=self.warnings)

    def _in_queue(self, namespace: str, spec: JobSpec, classes: Sequence[str], *, unused: bool) -> dict[str, int]:
        """Return the workers of each class that the job's queue covers; of GPUs no more than there are, or could be."""
        queue, counts = self.queues.get((namespace, spec.queue_name)), {}
        for name in classes:
            kind = self.counted_kinds.get(name, DeviceKind())
            counts[name] = queue.max_workers(kind, self._asked(spec, name), unused=unused) if queue else 0
            if not CPU_CLASS.match(name):
                on_nodes = sum(node.devices[name].count for node in self.nodes.values() if name in node.devices)
                pools = [pool for pool in self.settings.node_pools if pool.device_class == name and is_for(pool, spec)]
                in_pools = missing_devices(pools, self.nodes.values())
                counts[name] = min(counts[name], on_nodes + sum(in_pools.values()))
        return counts

    def _count(self, spec: JobSpec, device_class: str) -> int:
        """Return the devices that workers could have now, whoever else wants them."""
        key = self._asked_on(spec, device_class)
        if key not in self._counted:
            requests, among = self._per_node(spec, device_class), self._open_to(spec)
            nodes = [
                node
                for node in self.open_nodes
                if node.name in among and fits_allotment(allotment_of(node, device_class, self.settings), requests)
            ]
            self._counted[key] = free_devices(
                nodes, device_class, requests=requests, tolerations=tolerations_of(spec), selector=None
            )
        return self._counted[key]

    def _asked_on(self, spec: JobSpec, device_class: str) -> tuple[object, ...]:
        """Return what a worker on such a device asks for, and the nodes that are open to it."""
        return device_class, *self._per_node(spec, device_class).values(), self._open_to(spec), self.silent_nodes

    def _open_to(self, spec: JobSpec) -> frozenset[str]:
        """Return the nodes that take the job's workers, if they have room."""
        return self._by_taints.to(tolerations_of(spec), spec.worker.node_selector, spec.spot_use)

    @cached_property
    def _by_taints(self) -> OpenNodes:
        return OpenNodes(self.nodes.values())


def _is_held(node: Node, requests: Mapping[str, float]) -> bool:
    """Return whether overdue pods have room of the node for a worker that asks for this."""
    freed = {name: node.free.get(name, 0.0) + node.held_overdue.get(name, 0.0) for name in requests}
    return workers_within(freed, requests) > workers_within(node.free, requests)
