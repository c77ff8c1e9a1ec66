"""Why no node has room for a worker: which resource is missing, on which nodes. Pure.

"No device is free" is true of a GPU beside which too few cores are left, too. Nobody finds that by looking for GPUs. So
it is with GPUs that pods share, and with those that nodes publish and that workers can't ask for.

Jobs' statuses are read by tenants, to whom nodes and what is free on each are told only where the administrator wants.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from dueby_api.words import counted
from dueby_operator.cluster.nodes import Node, has_slices, is_open
from dueby_operator.objects.nodes import Toleration

# Nodes that a message names.
MAX_NAMED = 3
_MIB = 2**20


def describe_shortage(
    nodes: Iterable[Node],
    device_class: str,
    *,
    asked: Mapping[str, float],
    tolerations: Sequence[Toleration] = (),
    selector: Mapping[str, str] | None = None,
    names_nodes: bool = False,
) -> str:
    """Return what is missing for one more worker that asks for this and a device of the class; empty if nothing is."""
    having = [node for node in nodes if device_class in node.devices or has_slices(node, device_class)]
    usable = [node for node in having if is_open(node, tolerations=tolerations, selector=selector)]
    if not usable:
        return _unusable(having, device_class)
    shortages: list[tuple[str, Mapping[str, tuple[float, float]]]] = []
    for node in sorted(usable, key=lambda node: node.name):
        kind = node.devices.get(device_class)
        lacking = _lacking(node, {**asked, **(kind.request if kind else {})})
        if not lacking:
            return ""
        shortages.append((node.name, lacking))
    if not names_nodes:
        most = _words(max((lacking for _, lacking in shortages), key=_room))
        on_nodes = counted(len(shortages), "node")
        return f"a worker on {device_class} finds too little on {on_nodes}; the most that one has is {most}"
    named = [f"{name} has {_words(lacking)}" for name, lacking in shortages[:MAX_NAMED]]
    more = f", and {counted(len(shortages) - MAX_NAMED, 'more node')} too little" if len(shortages) > MAX_NAMED else ""
    return f"a worker on {device_class} finds too little: {', '.join(named)}{more}"


def describe_uncounted(nodes: Iterable[Node], *, names_nodes: bool = False) -> str:
    """Return which nodes have GPUs that don't count, and why; empty if none has."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for node in nodes:
        if node.uncounted:
            by_reason[node.uncounted].append(node.name)
    return "; ".join(
        f"GPUs of {_nodes(sorted(names), names_nodes)} are not counted, since {reason}"
        for reason, names in sorted(by_reason.items())
    )


def _nodes(names: Sequence[str], names_nodes: bool) -> str:
    if not names_nodes:
        return counted(len(names), "node")
    more = [counted(len(names) - MAX_NAMED, "more node")] if len(names) > MAX_NAMED else []
    return " and ".join(filter(None, (", ".join(names[:MAX_NAMED]), *more)))


def _unusable(having: Sequence[Node], device_class: str) -> str:
    if not having:
        return f"no node has {device_class}"
    return (
        f"of {counted(len(having), 'node')} with {device_class} none is ready, selected by the job and without taints "
        "that it doesn't tolerate"
    )


def _lacking(node: Node, asked: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Return what the node has too little of: how much it has, and how much is asked for."""
    free = {name: max(0.0, node.free.get(name, 0.0)) for name in asked}
    return {name: (free[name], value) for name, value in asked.items() if free[name] < value}


def _room(lacking: Mapping[str, tuple[float, float]]) -> tuple[int, float]:
    """Return how near a node is to having enough: fewer resources are missing, and more of the scarcest is there."""
    return -len(lacking), min(free / asked for free, asked in lacking.values())


def _words(lacking: Mapping[str, tuple[float, float]]) -> str:
    return " and ".join(
        f"{_amount(name, free)} of {_amount(name, asked)} {name}" for name, (free, asked) in lacking.items()
    )


def _amount(name: str, value: float) -> str:
    return f"{value / _MIB:,.0f} MiB" if name == "memory" else f"{value:g}"
