"""What all jobs have in common: what is free is counted once for all who ask in the same words."""

from dueby_operator.cluster.nodes import Need, read_node
from dueby_operator.control.world import World
from support.case import NOW, node

NEED = Need(cpu=1.0, memory=1.0)


def world(*names: str) -> World:
    nodes = [read_node(node(name)) for name in names]
    return World(now_us=NOW, nodes={found.name: found for found in nodes})


def test_each_way_of_asking_is_counted_for_itself() -> None:
    found = world("a", "b")

    def count(need: Need = NEED, **selector: str) -> int:
        return found.count_free("cpu-1", need=need, tolerations=(), selector=selector)

    assert [count(), count(Need(cpu=4.0, memory=1.0)), count(zone="x"), count()] == [16, 4, 0, 16]


def test_a_node_that_falls_silent_is_counted_no_more() -> None:
    found = world("a", "b")
    assert found.count_free("cpu-1", need=NEED, tolerations=(), selector=None) == 16
    found.silent_nodes = frozenset({"b"})
    assert found.count_free("cpu-1", need=NEED, tolerations=(), selector=None) == 8
