"""Nodes are open to a pod by its tolerations and its selector, in whatever words."""

from collections.abc import Mapping

from hypothesis import given

from dueby_operator.cluster.nodes import Node, OpenNodes, is_open
from dueby_operator.cluster.requests import tolerations_of
from dueby_planner.schedule.job import Claimant
from support.decisions import node
from support.device_groups import claimant, devices_of, some_claimants, some_nodes


@given(some_nodes(), some_claimants())
def test_the_open_nodes_are_those_that_are_open_one_by_one(
    nodes: Mapping[str, Node], claimants: list[Claimant]
) -> None:
    found = OpenNodes(nodes.values())
    for each in claimants:
        tolerations, selector = tolerations_of(each.spec), each.spec.worker.node_selector
        one_by_one = {name for name, at in nodes.items() if is_open(at, tolerations=tolerations, selector=selector)}
        assert found.to(tolerations, selector) == one_by_one


def test_jobs_to_which_the_same_nodes_are_open_are_counted_together_whatever_they_tolerate_and_select() -> None:
    nodes = {name: node(name) for name in "ab"}
    claimants = [
        claimant(f"job-{number}", worker={"tolerations": [{"key": f"team-{number}", "operator": "Exists"}]})
        for number in range(50)
    ]
    (group,) = devices_of(nodes).groups(claimants).all
    assert group.users == {each.key for each in claimants}
    assert group.nodes == {"a", "b"}
