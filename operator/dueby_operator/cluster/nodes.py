"""Which devices of each class are free, from nodes and the pods on them. Pure.

Free is what a node allocates less what every pod on it asks for, of whichever tenant. A GPU's class is its node's label
(GPU feature discovery's product by default). A node without such a label has CPU slices, all of k cores: the class
`cpu-k`, by a label of the node or the settings. Their pods keep off nodes with GPUs. A node that is cordoned, not ready
or tainted counts for nothing unless the job tolerates it. A slow node's devices are of its own class `CLASS@NODE`, and
not of the class that they come from.

GPUs that a node publishes in ResourceSlices (resource_slices.py) are of the same classes, by the same label.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

from dueby_api.capacity import WeeklyWindow
from dueby_api.errors import Invalid
from dueby_api.spot import SpotUse, is_used
from dueby_api.subject import AT, class_of, own_class
from dueby_operator.cluster.gpu_labels import class_label, labelled_gpus, why_uncounted
from dueby_operator.cluster.quantities import readable_quantities, requests_of
from dueby_operator.cluster.resource_slices import PublishedGPUs
from dueby_operator.objects.nodes import NodeObject, Taint, Toleration
from dueby_operator.objects.parse import micros_of
from dueby_operator.objects.pods import Pod, own_spec
from dueby_operator.settings import CLASS_LABELS
from dueby_planner.model.problem import NEVER_US
from dueby_planner.schedule.spans import Spans, absences, with_weekly

CPU_CLASS = re.compile(rf"cpu-([1-9][0-9]{{0,3}})({AT}.+)?$")
# The label that says how many cores each CPU slice of a node has.
SLICE_CPUS = "dueby.dev/slice-cpus"
# What the label may say at most: its digits are bounded.
MAX_SLICE_CPUS = 9999
# CPU slices are counted like an extended resource, of which each worker on such a node has one. Pods don't ask for it.
SLICE = "dueby.dev/cpu-slice"
# What a worker asks for besides its device may be met to within this: sums of floats are not exact.
ROUNDING = 1e-9
_Taints = tuple[Taint, ...]


@dataclass(frozen=True, kw_only=True)
class DeviceKind:
    """How a device class is asked for."""

    resource: str | None = None
    """The extended resource; None for CPU slices."""
    selector: Mapping[str, str] = field(default_factory=dict)
    """The node labels that say which product it is."""
    count: int = 0
    """How many the node has, whoever uses them."""
    node: str = ""
    """The only node that has it, if it is a slow node's own class."""
    without_labels: tuple[str, ...] = ()
    """Labels that its nodes don't have: those that say which GPU a node has, for CPU slices."""
    if_labelled: Mapping[str, str] = field(default_factory=dict)
    """What its nodes' labels say if they have them: the usual size of a node's CPU slices."""

    @property
    def request(self) -> dict[str, float]:
        """What a worker asks for, to have one."""
        return {self.resource: 1.0} if self.resource else {}


class OverduePod(NamedTuple):
    """A pod that should be gone, and still has what it asked for."""

    since_us: int
    """When it was to be killed at the latest, in microseconds since 1970."""
    namespace: str
    name: str
    node: str


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node and what is left of it."""

    name: str
    labels: Mapping[str, str]
    taints: Sequence[Taint] = ()
    is_ready: bool
    ready_us: int | None = None
    """Since when its kubelet says so, in microseconds since 1970, also while no pod is to go there."""
    devices: Mapping[str, DeviceKind] = field(default_factory=dict)
    """Its GPUs, by device class."""
    is_for_gpus: bool = False
    """Whether a label says which GPUs it has, even where it allocates none now."""
    slice_cpus: int = 1
    """Cores of each of its CPU slices."""
    uid: str = ""
    is_slow: bool = False
    """Whether its devices are a class of their own."""
    allocatable: Mapping[str, float] = field(default_factory=dict)
    """All that it gives to pods, by resource; `pods` among them."""
    free: Mapping[str, float] = field(default_factory=dict)
    """Allocatable less what pods ask for."""
    leaving: Mapping[str, float] = field(default_factory=dict)
    """What pods have that are being deleted and are gone soon."""
    overdue: tuple[OverduePod, ...] = ()
    """Pods that should be gone, and aren't: nobody knows when they will be."""
    held_overdue: Mapping[str, float] = field(default_factory=dict)
    """What these have."""
    workers: Mapping[str, float] = field(default_factory=dict)
    """What jobs' workers have that are not being deleted."""
    pool: str = ""
    """The pool that it belongs to, whose nodes come when they are asked for; empty: none."""
    is_spot: bool = False
    """Whether it may be taken away at any time."""
    other_names: Mapping[str, str] = field(default_factory=dict)
    """By other names under which pods may ask for a resource, the resource."""
    uncounted: str = ""
    """Why GPUs of it don't count; empty if all do."""
    away: Spans = ()
    """When it goes away and comes back, in microseconds since 1970, but for weekly windows."""
    away_weekly: tuple[WeeklyWindow, ...] = ()
    """When it does in each week."""
    present: Spans = ()
    """When it is there, if it comes and goes, in microseconds since 1970, but for weekly windows."""
    present_weekly: tuple[WeeklyWindow, ...] = ()
    """When it is in each week; if it is never said when it is there, it always is."""

    @property
    def has_slices(self) -> bool:
        """Whether its devices are CPU slices: its cores are not for workers of GPUs."""
        return not (self.devices or self.is_for_gpus)

    def absences(self, now_us: int) -> Spans:
        """Return when it isn't there, in microseconds since 1970: of weekly windows, some weeks ahead."""
        away = with_weekly(self.away, self.away_weekly, now_us=now_us)
        if not (self.present or self.present_weekly):
            return away
        return absences(away, with_weekly(self.present, self.present_weekly, now_us=now_us))

    def leaves_us(self, now_us: int) -> int:
        """Return since when it has been away, or when it will be next; NEVER_US if it stays."""
        return next((absence.from_us for absence in self.absences(now_us) if absence.to_us > now_us), NEVER_US)


@dataclass(frozen=True, kw_only=True)
class PodRow:
    """What there is to know of a pod: what it takes from its node and, if it may be one of ours, what is read of it."""

    node: str
    """Empty while it is on none."""
    namespace: str = ""
    name: str = ""
    requests: Mapping[str, float]
    """`pods` among them; empty before it is on a node, once it has ended, and if it yields to workers."""
    leaves_at_us: int | None = None
    """When a pod that is being deleted is to be gone, in microseconds since 1970: its grace period is in it."""
    is_worker: bool = False
    """Whether it is a worker of a job, by its labels: anybody may put them on a pod of theirs."""
    ours: Pod | None = None
    """What there is to know of it beyond that, if it has the operator's labels."""


def read_slice_cpus(labels: Mapping[str, str], usual: int) -> int:
    """Return the cores of each CPU slice of a node with these labels. Raise Invalid if its label is no such number."""
    text = labels.get(SLICE_CPUS, str(usual))
    if not re.fullmatch(r"[1-9][0-9]{0,3}", text):
        raise Invalid(SLICE_CPUS, f"must be a number of cores from 1 to {MAX_SLICE_CPUS}, but is {text[:40]!r}")
    return int(text)


def read_node(node: NodeObject, class_labels: Sequence[str] = CLASS_LABELS, *, slice_cpus: int = 1) -> Node:
    """Return a node with all that it allocates, and slices of so many cores if it has no GPUs."""
    free = readable_quantities(node.status.allocatable)
    labels = node.metadata.labels
    free[SLICE] = float(free.get("cpu", 0.0) // slice_cpus)
    ready = next((each for each in node.status.conditions if each.type == "Ready" and each.status == "True"), None)
    return Node(
        name=node.metadata.name,
        uid=node.metadata.uid,
        labels=labels,
        devices=_devices(free, labels, class_labels),
        is_for_gpus=class_label(labels, class_labels) is not None,
        slice_cpus=slice_cpus,
        taints=node.spec.taints,
        is_ready=ready is not None and not node.spec.unschedulable,
        ready_us=micros_of(ready.last_transition_time) if ready else None,
        allocatable=free,
        free=free,
        uncounted=why_uncounted(free, labels, class_labels),
    )


def with_published(node: Node, published: PublishedGPUs, class_labels: Sequence[str] = CLASS_LABELS) -> Node:
    """Return a node from which nothing was taken yet, with the GPUs that it publishes in ResourceSlices as well.

    What a device plugin allocates is not counted again: of such a resource the scheduler gives no published device.
    """
    resources = {name: gpus for name, gpus in published.resources.items() if node.free.get(name, 0.0) <= 0}
    devices = _devices({name: gpus.count for name, gpus in resources.items()}, node.labels, class_labels)
    # Beside a device plugin's, nobody misses what can't be asked for.
    reasons = [published.uncounted] if published.uncounted and not node.devices else []
    reasons += [node.uncounted] if node.uncounted else []
    if resources and class_label(node.labels, class_labels) is None:
        product = next(iter(resources.values())).product
        reasons.append(
            f"no label of the node says their product: `kubectl label node NODE {class_labels[0]}={product}`"
        )
    return replace(
        node,
        devices={**node.devices, **devices},
        allocatable={**node.allocatable, **{name: float(gpus.count) for name, gpus in resources.items()}},
        free={**node.free, **{name: float(gpus.count - gpus.claimed) for name, gpus in resources.items()}},
        other_names={gpus.implicit_name: name for name, gpus in resources.items()},
        uncounted=" and ".join(reasons),
    )


def pod_row(pod: Pod, *, label: str, worker: Mapping[str, str], yielding: str = "") -> PodRow | None:
    """Return the pod's row; None if it takes nothing and isn't ours. Ours have the label, or the label `yielding`.

    Those with the labels `worker` are workers.

    A pod with `yielding` and a priority below every worker's takes nothing: whoever wants its place gets it.
    """
    is_over = pod.status.phase in ("Succeeded", "Failed")
    labels = pod.metadata.labels
    is_yielding = bool(yielding) and yielding in labels and pod.spec.priority < 0
    ours = pod.own_part() if label in labels or is_yielding else None
    if ours is None and (is_over or not pod.spec.node_name):
        return None
    takes_nothing = is_over or is_yielding or not pod.spec.node_name
    requests = {} if takes_nothing else {**requests_of(own_spec(pod.spec)), "pods": 1.0}
    return PodRow(
        node=pod.spec.node_name,
        namespace=pod.metadata.namespace,
        name=pod.name,
        requests=requests,
        # Nobody knows when one leaves of which the time can't be read.
        leaves_at_us=(micros_of(pod.metadata.deletion_timestamp) or 0) if pod.metadata.is_deleting else None,
        is_worker=ours is not None and worker.items() <= labels.items(),
        ours=ours,
    )


def set_apart(nodes: Mapping[str, Node], slow: Collection[str]) -> dict[str, Node]:
    """Return the nodes, with the devices of those that are slow as classes of their own."""
    return {name: _apart(node) if name in slow else node for name, node in nodes.items()}


def device_kinds(nodes: Iterable[Node]) -> dict[str, DeviceKind]:
    """Return how each class of GPUs that any node has is asked for."""
    return {name: kind for node in nodes for name, kind in node.devices.items()}


def free_devices(
    nodes: Iterable[Node],
    device_class: str,
    *,
    requests: Mapping[str, float],
    tolerations: Sequence[Toleration] = (),
    selector: Mapping[str, str] | None = None,
) -> int:
    """Return how many more workers that ask for this, and a device of the class, could be scheduled now."""
    count = 0
    for node in nodes:
        if not is_open(node, tolerations=tolerations, selector=selector):
            continue
        if kind := kind_on(node, device_class):
            count += workers_within(node.free, {**requests, **kind.request})
    return count


def kind_on(node: Node, device_class: str) -> DeviceKind | None:
    """Return how a device of the class is counted on the node; None if it has none."""
    if device_class in node.devices or device_class not in classes_on(node):
        return node.devices.get(device_class)
    return DeviceKind(resource=SLICE, count=int(node.allocatable.get(SLICE, 0.0)))


def classes_on(node: Node) -> list[str]:
    """Return the classes of the node's devices: its GPUs or, if it has none, its CPU slices."""
    if not node.has_slices:
        return list(node.devices)
    return [own_class(f"cpu-{node.slice_cpus}", node.name if node.is_slow else "")]


def count_devices(nodes: Iterable[Node]) -> Counter[str]:
    """Return how many devices of each class the nodes have, whoever uses them and whether or not they are ready."""
    counts: Counter[str] = Counter()
    for node in nodes:
        for name in classes_on(node):
            kind = kind_on(node, name)
            counts[name] += kind.count if kind else 0
    return counts


def devices_like(node: Node, device_class: str) -> int:
    """Return how many devices of the class the node has, also where it is slow, and they are a class of their own."""
    kinds = (kind_on(node, name) for name in classes_on(node) if class_of(name) == device_class)
    return sum(kind.count for kind in kinds if kind)


def has_class(node: Node, device_class: str) -> bool:
    """Return whether the node has devices of this class, or may have had them before it was slow or resized."""
    name = class_of(device_class)
    return name in map(class_of, node.devices) or (node.has_slices and CPU_CLASS.match(name) is not None)


def is_open(
    node: Node, *, tolerations: Sequence[Toleration], selector: Mapping[str, str] | None, spot: SpotUse = "Prefer"
) -> bool:
    """Return whether the node takes pods with these tolerations, this selector and this use of spot, if it has room."""
    is_selected = all(node.labels.get(name) == value for name, value in (selector or {}).items())
    return node.is_ready and is_selected and is_used(spot, spot=node.is_spot) and are_borne(node.taints, tolerations)


def are_borne(taints: Iterable[Taint], tolerations: Sequence[Toleration]) -> bool:
    """Return whether a pod with these tolerations tolerates the taints."""
    return all(
        taint.effect == "PreferNoSchedule" or any(toleration.covers(taint) for toleration in tolerations)
        for taint in taints
    )


def workers_within(room: Mapping[str, float], requests: Mapping[str, float]) -> int:
    """Return how many workers that ask for this there is room for."""
    fewest: int | None = None
    for name, value in requests.items():  # a thousand nodes are asked for each kind of job in each pass
        if value:
            count = math.floor(room.get(name, 0.0) / value + ROUNDING)
            fewest = count if fewest is None or count < fewest else fewest
    return max(0, fewest or 0)


def _apart(node: Node) -> Node:
    devices = {own_class(name, node.name): replace(kind, node=node.name) for name, kind in node.devices.items()}
    return replace(node, is_slow=True, devices=devices)


def _devices(
    amounts: Mapping[str, float], labels: Mapping[str, str], class_labels: Sequence[str]
) -> dict[str, DeviceKind]:
    """Return the GPUs of a node by device class."""
    return {
        name: DeviceKind(resource=gpus.resource, selector=gpus.selector, count=int(amounts[gpus.resource]))
        for name, gpus in labelled_gpus(amounts, labels, class_labels).items()
    }


class OpenNodes:
    """Nodes, by their taints and labels: which of them are open to a pod.

    Anybody may write tolerations and selectors in as many words as there are jobs, while most of these words open the
    same nodes: those have few different taints, and a label's value is looked up. So jobs are told apart by the nodes
    that are open to them, and not by their words.
    """

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._nodes = [node for node in nodes if node.is_ready]
        self._found: dict[object, frozenset[str]] = {}
        """By the taints that are tolerated, the labels that are selected, and the use of spot."""
        self._by_label: dict[str, dict[str, set[str]]] = {}
        """By label and its value, of the labels that anybody has asked for."""

    def to(
        self, tolerations: Sequence[Toleration], selector: Mapping[str, str] | None, spot: SpotUse = "Prefer"
    ) -> frozenset[str]:
        """Return the names of the nodes that are open to such pods (is_open), if they have room."""
        borne = frozenset(taints for taints in self._by_taints if are_borne(taints, tolerations))
        key = borne, tuple(sorted((selector or {}).items())), spot
        if key not in self._found:
            names = set[str]().union(*(self._by_taints[taints] for taints in borne))
            for label, value in (selector or {}).items():
                names &= self._having(label).get(value, set())
            if spot != "Prefer":
                names = names - self._spot if spot == "Avoid" else names & self._spot
            self._found[key] = frozenset(names)
        return self._found[key]

    @cached_property
    def _by_taints(self) -> Mapping[_Taints, set[str]]:
        names: dict[_Taints, set[str]] = defaultdict(set)
        for node in self._nodes:
            names[tuple(node.taints)].add(node.name)
        return names

    @cached_property
    def _spot(self) -> set[str]:
        return {node.name for node in self._nodes if node.is_spot}

    def _having(self, label: str) -> Mapping[str, set[str]]:
        if label not in self._by_label:
            names: dict[str, set[str]] = defaultdict(set)
            for node in self._nodes:
                if label in node.labels:
                    names[node.labels[label]].add(node.name)
            self._by_label[label] = names
        return self._by_label[label]
