"""Why no node has room for a worker: which resource is missing, on which nodes. Pure.

"No device is free" is true of a GPU beside which too few cores are left, too. Nobody finds that by looking for GPUs. So
it is with GPUs that nodes publish and that workers can't ask for.
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
) -> str:
    """Return what is missing for one more worker that asks for this and a device of the class; empty if nothing is."""
    having = [node for node in nodes if device_class in node.devices or has_slices(node, device_class)]
    usable = [node for node in having if is_open(node, tolerations=tolerations, selector=selector)]
    if not usable:
        return _unusable(having, device_class)
    missing = []
    for node in sorted(usable, key=lambda node: node.name):
        kind = node.devices.get(device_class)
        lacking = _lacking(node, {**asked, **(kind.request if kind else {})})
        if not lacking:
            return ""
        missing.append(f"{node.name} has {' and '.join(lacking)}")
    more = f", and {counted(len(missing) - MAX_NAMED, 'more node')} too little" if len(missing) > MAX_NAMED else ""
    return f"a worker on {device_class} finds too little: {', '.join(missing[:MAX_NAMED])}{more}"


def describe_uncounted(nodes: Iterable[Node]) -> str:
    """Return which nodes publish GPUs that don't count, and why; empty if none does."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for node in nodes:
        if node.uncounted:
            by_reason[node.uncounted].append(node.name)
    return "; ".join(
        f"GPUs in the ResourceSlices of {_named(sorted(names))} are not counted, since {reason}"
        for reason, names in sorted(by_reason.items())
    )


def _named(names: Sequence[str]) -> str:
    more = [counted(len(names) - MAX_NAMED, "more node")] if len(names) > MAX_NAMED else []
    return " and ".join(filter(None, (", ".join(names[:MAX_NAMED]), *more)))


def _unusable(having: Sequence[Node], device_class: str) -> str:
    if not having:
        return f"no node has {device_class}"
    return (
        f"of {counted(len(having), 'node')} with {device_class} none is ready, selected by the job and without taints "
        "that it doesn't tolerate"
    )


def _lacking(node: Node, asked: Mapping[str, float]) -> list[str]:
    return [
        f"{_amount(name, max(0.0, node.free.get(name, 0.0)))} of {_amount(name, value)} {name}"
        for name, value in asked.items()
        if node.free.get(name, 0.0) < value
    ]


def _amount(name: str, value: float) -> str:
    return f"{value / _MIB:,.0f} MiB" if name == "memory" else f"{value:g}"
