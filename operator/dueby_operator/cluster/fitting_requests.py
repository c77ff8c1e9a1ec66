"""Which requests fit a node at all, and which device classes are on the same nodes. Pure.

What fits no node uses none, so nothing needs to be told apart from it. Without that, one namespace's jobs that can
never run would make the operator count everybody else's less exactly.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from dueby_operator.cluster.nodes import Node, has_slices, workers_within

_Room = tuple[float, ...]


class LargestRooms:
    """The largest empty nodes of each device class that pods may use, by the nodes that are open to these."""

    def __init__(self, nodes: Sequence[Node], names: Sequence[str]) -> None:
        """`names` are the resources that requests name."""
        self._nodes = {node.name: node for node in nodes}
        self._names = names
        self._found: dict[tuple[str, frozenset[str]], list[dict[str, float]]] = {}

    def has_room(self, device_class: str, asked: Mapping[str, float], *, among: frozenset[str]) -> bool:
        """Return whether a pod that asks for this beside a device of the class fits one of these, if it is empty."""
        key = device_class, among
        if key not in self._found:
            rooms = (
                tuple(node.allocatable.get(name, 0.0) for name in self._names)
                for node in map(self._nodes.__getitem__, among)
                if _has_device(node, device_class)
            )
            self._found[key] = [dict(zip(self._names, room, strict=True)) for room in _largest(rooms)]
        return any(workers_within(room, asked) for room in self._found[key])


def classes_together(nodes: Iterable[Node], classes: Collection[str]) -> list[frozenset[str]]:
    """Return the classes in groups: classes that are on the same node are in the same group."""
    groups: list[frozenset[str]] = []
    for on_node in {frozenset(name for name in classes if _has_device(node, name)) for node in nodes}:
        joined = [group for group in groups if group & on_node]
        groups = [group for group in groups if group not in joined] + [on_node.union(*joined)]
    return [group for group in groups if group]


def _has_device(node: Node, device_class: str) -> bool:
    kind = node.devices.get(device_class)
    return has_slices(node, device_class) if kind is None else workers_within(node.allocatable, kind.request) > 0


def _largest(rooms: Iterable[_Room]) -> list[_Room]:
    """Return those that aren't smaller than another in every resource."""
    found: list[_Room] = []
    for room in sorted(set(rooms), reverse=True):
        if not any(all(value <= other for value, other in zip(room, larger, strict=True)) for larger in found):
            found.append(room)
    return found
