"""Why no node has room for a worker: which resource is missing, on which nodes. Pure.

"No device is free" is true of a GPU beside which too few cores are left, too. Nobody finds that by looking for GPUs. So
it is with GPUs that pods share, and with those that nodes publish and that workers can't ask for.

Jobs' statuses are read by tenants, to whom nodes and what is free on each are told only where the administrator wants.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from dueby_api.spot import SpotUse, is_used
from dueby_api.words import counted
from dueby_operator.cluster.allotments import allotment_of, fits_allotment
from dueby_operator.cluster.nodes import SLICE, Node, is_open, kind_on
from dueby_operator.objects.nodes import Toleration
from dueby_operator.settings import OperatorSettings

# Nodes that a message names.
MAX_NAMED = 3
_MIB = 2**20


def describe_shortage(
    nodes: Iterable[Node],
    device_class: str,
    settings: OperatorSettings,
    *,
    requests: Mapping[str, float],
    tolerations: Sequence[Toleration] = (),
    selector: Mapping[str, str] | None = None,
    spot: SpotUse = "Prefer",
) -> str:
    """Return what is missing for one more worker that asks for this and a device of the class; empty if nothing is."""
    having = [node for node in nodes if kind_on(node, device_class)]
    usable = [node for node in having if is_open(node, tolerations=tolerations, selector=selector, spot=spot)]
    if not usable:
        return _unusable(having, device_class, spot)
    allotments = {node.name: allotment_of(node, device_class, settings) for node in usable}
    if not any(fits_allotment(allotment, requests) for allotment in allotments.values()):
        largest = max(allotments.values(), key=lambda allotment: tuple(allotment.values()))
        return _beyond_allotment(device_class, largest, requests)
    shortages: list[tuple[str, Mapping[str, tuple[float, float]]]] = []
    for node in sorted(usable, key=lambda node: node.name):
        kind = kind_on(node, device_class)
        lacking = _lacking(node, {**requests, **(kind.request if kind else {})})
        if not lacking:
            return ""
        shortages.append((node.name, lacking))
    if not settings.names_nodes:
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


def _beyond_allotment(device_class: str, allotment: Mapping[str, float], requests: Mapping[str, float]) -> str:
    """Return that no device of the class has so much for its worker, and what to do."""
    beyond = _words({name: (amount, requests[name]) for name, amount in allotment.items() if requests[name] > amount})
    return (
        f"a worker on {device_class} asks for more than belongs to a device of any node, which is {beyond} at most; "
        "lower spec.worker.resources or the chart's worker.gpuCpus and worker.memory, or use a larger device class"
    )


def _unusable(having: Sequence[Node], device_class: str, spot: SpotUse) -> str:
    if not having:
        return f"no node has {device_class}"
    if not any(is_used(spot, spot=node.is_spot) for node in having):
        kind = "on demand" if spot == "Only" else "spot"
        return (
            f"{counted(len(having), 'node')} with {device_class}, all of them {kind}, which the job doesn't use "
            f"(spec.gpus.spot is {spot})"
        )
    return (
        f"of {counted(len(having), 'node')} with {device_class} none is ready, selected by the job and without taints "
        "that it doesn't tolerate"
    )


def _lacking(node: Node, requests: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Return what the node has too little of: how much it has, and how much is asked for."""
    free = {name: max(0.0, node.free.get(name, 0.0)) for name in requests}
    lacking = {name: (free[name], value) for name, value in requests.items() if free[name] < value}
    # Slices are counted by this operator alone. Cores and memory are what one can look at.
    return {name: amounts for name, amounts in lacking.items() if name != SLICE} or lacking


def _room(lacking: Mapping[str, tuple[float, float]]) -> tuple[int, float]:
    """Return how near a node is to having enough: fewer resources are missing, and more of the scarcest is there."""
    return -len(lacking), min(free / wanted for free, wanted in lacking.values())


def _words(lacking: Mapping[str, tuple[float, float]]) -> str:
    return " and ".join(
        f"{_amount(name, free)} of {_amount(name, wanted)} {'CPU slices' if name == SLICE else name}"
        for name, (free, wanted) in lacking.items()
    )


def _amount(name: str, value: float) -> str:
    return f"{value / _MIB:,.0f} MiB" if name == "memory" else f"{value:g}"
