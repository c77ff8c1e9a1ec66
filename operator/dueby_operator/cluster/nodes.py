"""Which devices of each class are free, from nodes and pods as the API server lists them. Pure.

Free is what a node allocates less what every pod on it asks for, of whichever tenant. A GPU's class is its node's label
(GPU feature discovery's product by default); CPU slices of k cores are the class `cpu-k` on nodes without GPUs. A node
that is cordoned, not ready or tainted counts for nothing unless the job tolerates it. A slow node's devices are of its
own class `CLASS@NODE`, and not of the class that they come from.
"""

import math
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dueby_operator.jobs import names

Document = Mapping[str, Any]
CPU_CLASS = re.compile(rf"cpu-([1-9][0-9]{{0,3}})({names.AT}.+)?$")
GPU_RESOURCES = ("nvidia.com/gpu", "amd.com/gpu")
# Where a GPU's class is read from, the first label that is there: GPU feature discovery, GKE, AMD's labeller.
CLASS_LABELS = ("nvidia.com/gpu.product", "cloud.google.com/gke-accelerator", "amd.com/gpu.product-name")
# A replica of a time-sliced GPU shares it with strangers, so its times mean nothing.
SHARED = "-SHARED"
MIG = "nvidia.com/mig-"
_SUFFIXES = {
    "": 1.0,
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    "E": 1e18,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
    "Pi": 2**50,
    "Ei": 2**60,
}


@dataclass(frozen=True, kw_only=True)
class Need:
    """What one worker asks for besides its device; of a CPU slice, the slice."""

    cpu: float
    memory: float
    """Bytes."""


@dataclass(frozen=True, kw_only=True)
class DeviceKind:
    """How a device class is asked for."""

    resource: str | None = None
    """The extended resource; None for CPU slices."""
    selector: Mapping[str, str] = field(default_factory=dict)
    """The node label that says which product it is."""
    count: int = 0
    """How many the node has, whoever uses them."""
    node: str = ""
    """The only node that has it, where it is a slow node's own class."""

    @property
    def request(self) -> dict[str, float]:
        """What a worker asks for, to have one."""
        return {self.resource: 1.0} if self.resource else {}


@dataclass(kw_only=True)
class Node:
    """A node and what is left of it."""

    name: str
    labels: Mapping[str, str]
    taints: Sequence[Document]
    is_ready: bool
    devices: Mapping[str, DeviceKind] = field(default_factory=dict)
    """Of its GPUs, by device class."""
    uid: str = ""
    is_slow: bool = False
    """Whether its devices are a class of their own."""
    free: dict[str, float] = field(default_factory=dict)
    """By resource: allocatable less what pods ask for; `pods` among them."""


def quantity(text: str | int | float) -> float:
    """A Kubernetes quantity as a number: 250m is 0.25, 4Gi is 2 ** 32; ValueError for anything else."""
    parts = re.fullmatch(r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([A-Za-z]*)", str(text))
    if parts is None or parts[2] not in _SUFFIXES:
        raise ValueError(f"{text!r} is not a quantity, such as 500m, 4 or 2Gi")
    return float(parts[1]) * _SUFFIXES[parts[2]]


def requests_of(pod: Document) -> dict[str, float]:
    """What the pod asks for: its containers in sum, or its largest initial one, with its overhead."""
    spec = pod["spec"]
    asked: dict[str, float] = defaultdict(float)
    started: dict[str, float] = defaultdict(float)
    sidecars: dict[str, float] = defaultdict(float)
    for container in spec.get("containers", ()):
        for name, value in _asked(container):
            asked[name] += value
    for container in spec.get("initContainers", ()):
        for name, value in _asked(container):
            if container.get("restartPolicy") == "Always":
                asked[name] += value
                sidecars[name] += value
            else:
                started[name] = max(started[name], value + sidecars[name])
    total = {name: max(asked[name], started[name]) for name in asked.keys() | started.keys()}
    for name, value in (spec.get("overhead") or {}).items():
        total[name] = total.get(name, 0.0) + quantity(value)
    return total


def _asked(container: Document) -> list[tuple[str, float]]:
    resources = container.get("resources") or {}
    merged = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return [(name, quantity(value)) for name, value in merged.items()]


def read_node(document: Document, class_labels: Sequence[str] = CLASS_LABELS) -> Node:
    """A node with all that it allocates."""
    status, spec = document.get("status", {}), document.get("spec", {})
    conditions = {c["type"]: c["status"] for c in status.get("conditions", ())}
    free = {name: quantity(value) for name, value in status.get("allocatable", {}).items()}
    labels = document["metadata"].get("labels") or {}
    return Node(
        name=document["metadata"]["name"],
        uid=document["metadata"].get("uid", ""),
        labels=labels,
        devices=_devices(free, labels, class_labels),
        taints=spec.get("taints") or (),
        is_ready=conditions.get("Ready") == "True" and not spec.get("unschedulable"),
        free=free,
    )


@dataclass(frozen=True, kw_only=True)
class PodRow:
    """What there is to know of a pod: what it takes from its node and, of one of ours, everything."""

    node: str
    """Empty while it is on none."""
    requests: Mapping[str, float]
    """`pods` among them; empty once it has ended, or where it yields to workers."""
    ours: Document | None = None


def pod_row(pod: Document, *, label: str, yielding: str = "") -> PodRow | None:
    """The pod's row; None where it takes nothing and isn't ours, which is to have one of the labels.

    One with the label `yielding` and a priority below every worker's takes nothing: whoever wants its place gets it.
    """
    metadata = pod["metadata"]
    node = pod["spec"].get("nodeName", "")
    is_over = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
    labels = metadata.get("labels") or {}
    is_yielding = bool(yielding) and yielding in labels and int(pod["spec"].get("priority") or 0) < 0
    if label in labels or is_yielding:
        # Who set which field when is half of a pod's size.
        ours = {**pod, "metadata": {name: value for name, value in metadata.items() if name != "managedFields"}}
        takes_nothing = is_over or is_yielding
        return PodRow(node=node, requests={} if takes_nothing else {**requests_of(pod), "pods": 1.0}, ours=ours)
    return None if is_over or not node else PodRow(node=node, requests={**requests_of(pod), "pods": 1.0})


def take_pods(nodes: Iterable[Node], pods: Iterable[PodRow]) -> dict[str, Node]:
    """The nodes by name, less what the pods on them ask for."""
    left = {node.name: replace(node, free=dict(node.free)) for node in nodes}
    for pod in pods:
        if node := left.get(pod.node):
            for name, value in pod.requests.items():
                node.free[name] = node.free.get(name, 0.0) - value
    return left


def set_apart(nodes: Mapping[str, Node], slow: Collection[str]) -> dict[str, Node]:
    """The nodes, with the devices of those that are slow as classes of their own."""
    return {name: _apart(node) if name in slow else node for name, node in nodes.items()}


def _apart(node: Node) -> Node:
    own = {names.own_class(name, node.name): replace(kind, node=node.name) for name, kind in node.devices.items()}
    return replace(node, is_slow=True, devices=own)


def _devices(
    there: Mapping[str, float], labels: Mapping[str, str], class_labels: Sequence[str]
) -> dict[str, DeviceKind]:
    """The GPUs of a node by device class."""
    label = next((label for label in class_labels if label in labels), None)
    if label is None or SHARED in labels[label]:
        return {}
    product, found = labels[label], {}
    for resource, count in there.items():
        kind = DeviceKind(resource=resource, selector={label: product}, count=int(count))
        if resource in GPU_RESOURCES:
            found[product] = kind
        elif resource.startswith(MIG):
            found[f"{product}-{resource.removeprefix('nvidia.com/')}"] = kind
    return found


def device_kinds(nodes: Iterable[Node]) -> dict[str, DeviceKind]:
    """How each class of GPUs that any node has is asked for."""
    return {name: kind for node in nodes for name, kind in node.devices.items()}


def free_devices(
    nodes: Iterable[Node],
    device_class: str,
    *,
    need: Need,
    tolerations: Sequence[Document] = (),
    selector: Mapping[str, str] | None = None,
) -> int:
    """How many more workers that need this, and a device of the class, could be scheduled now."""
    count = 0
    asked = {"cpu": need.cpu, "memory": need.memory, "pods": 1.0}
    for node in nodes:
        if not is_open(node, tolerations=tolerations, selector=selector):
            continue
        if kind := node.devices.get(device_class):
            count += _fits(node, {**asked, **kind.request})
        elif has_slices(node, device_class):
            count += _fits(node, asked)
    return count


def has_slices(node: Node, device_class: str) -> bool:
    """Whether slices of the node's cores are of this class, which may be one of GPUs: then they aren't."""
    if node.devices or not CPU_CLASS.match(device_class):
        return False
    return names.node_of(device_class) == (node.name if node.is_slow else "")


def is_open(node: Node, *, tolerations: Sequence[Document], selector: Mapping[str, str] | None) -> bool:
    """Whether the node takes pods with these tolerations and this selector, if it has room."""
    is_selected = all(node.labels.get(name) == value for name, value in (selector or {}).items())
    return node.is_ready and is_selected and _tolerated(node.taints, tolerations)


def _fits(node: Node, asked: Mapping[str, float]) -> int:
    return max(0, min(math.floor(node.free.get(name, 0.0) / value + 1e-9) for name, value in asked.items() if value))


def _tolerated(taints: Iterable[Document], tolerations: Sequence[Document]) -> bool:
    return all(
        taint.get("effect") == "PreferNoSchedule" or any(_tolerates(toleration, taint) for toleration in tolerations)
        for taint in taints
    )


def _tolerates(toleration: Document, taint: Document) -> bool:
    if toleration.get("effect") not in (None, "", taint.get("effect")):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint.get("key"))
    return (toleration.get("key"), toleration.get("value", "")) == (taint.get("key"), taint.get("value", ""))
