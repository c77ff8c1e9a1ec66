"""What fits no node at all, and which classes are on the same nodes."""

from dataclasses import replace
from typing import Any

import pytest

from dueby_api.schema import validate
from dueby_operator.cluster.nodes import DeviceKind, Node, OpenNodes
from dueby_operator.cluster.stacks import LargestRooms, classes_together
from dueby_operator.objects.nodes import Taint, Toleration
from support.decisions import node

GIB = 2.0**30
GPU = DeviceKind(resource="nvidia.com/gpu", count=1)
TAINT = {"key": "dedicated", "value": "x", "effect": "NoSchedule"}


def with_room(name: str, *, cpu: float, gib: float, **fields: Any) -> Node:
    room = {"cpu": cpu, "memory": gib * GIB, "pods": 110.0}
    return replace(node(name), allocatable=room, free={"cpu": 0.0, "memory": 0.0, "pods": 0.0}, **fields)


NODES = [
    with_room("wide", cpu=64, gib=16),
    with_room("wide-too", cpu=63, gib=16),
    with_room("deep", cpu=8, gib=256),
    with_room("theirs", cpu=128, gib=1024, taints=[validate(Taint, TAINT)]),
    with_room("of-pool-a", cpu=96, gib=8, labels={"pool": "a"}),
]
CASES: dict[str, tuple[int, int, dict[str, Any], bool]] = {
    "what fits an empty node, however full that is": (64, 16, {}, True),
    "what fits another": (8, 256, {}, True),
    "of no node both": (64, 256, {}, False),
    "more than any has": (100, 1, {}, False),
    "only a node whose taint isn't borne": (128, 1, {}, False),
    "a node whose taint is borne": (
        128,
        1,
        {"tolerations": [validate(Toleration, {"key": "dedicated", "operator": "Exists"})]},
        True,
    ),
    "not on the nodes that are selected": (8, 256, {"selector": {"pool": "a"}}, False),
    "on one that is selected": (96, 8, {"selector": {"pool": "a"}}, True),
}


@pytest.mark.parametrize("name", CASES)
def test_a_request_fits_an_empty_node_that_its_pods_may_use(name: str) -> None:
    cpu, gib, fields, fits = CASES[name]
    rooms = LargestRooms(NODES, ("cpu", "memory", "pods"))
    asked = {"cpu": float(cpu), "memory": gib * GIB, "pods": 1.0}
    among = OpenNodes(NODES).to(fields.get("tolerations", []), fields.get("selector"))
    for _ in range(2):
        assert rooms.has_room("cpu-1", asked, among=among) is fits


def test_only_nodes_with_a_device_of_the_class_count() -> None:
    a100 = {"A100": GPU}
    small = with_room("small", cpu=4, gib=4, devices=a100)
    small = replace(small, allocatable={**small.allocatable, "nvidia.com/gpu": 1.0})
    nodes = [*NODES, small, with_room("broken", cpu=64, gib=64, devices=a100)]
    rooms, among = LargestRooms(nodes, ("cpu",)), OpenNodes(nodes).to([], None)
    assert rooms.has_room("A100", {"cpu": 4.0}, among=among)
    assert not rooms.has_room("A100", {"cpu": 8.0}, among=among)


def test_classes_on_one_node_are_in_one_group_and_those_beside_them_on_another_as_well() -> None:
    def with_gpus(*names: str) -> Node:
        found = with_room("gpus", cpu=4, gib=4, devices=dict.fromkeys(names, GPU))
        return replace(found, allocatable={"nvidia.com/gpu": 1.0})

    nodes = [with_gpus("A100", "A100-mig"), with_gpus("A100-mig", "H100"), with_gpus("L4"), *NODES]
    groups = classes_together(nodes, ["A100", "A100-mig", "H100", "L4", "cpu-1", "cpu-2", "T4"])
    assert {frozenset(group) for group in groups} == {
        frozenset(("A100", "A100-mig", "H100")),
        frozenset(("L4",)),
        frozenset(("cpu-1", "cpu-2")),
    }
