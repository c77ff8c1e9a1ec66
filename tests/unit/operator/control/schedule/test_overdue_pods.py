"""Pods that are deleted and stay: nothing is promised on what they have, and the jobs that wait for it say so."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from dueby_operator.cluster.nodes import Node, PodRow
from dueby_operator.cluster.pods_on_nodes import take_pods
from support.decisions import NOW
from support.operator import SECOND
from support.shared_cluster import SharedCluster

YEARS_S = 1_000_000_000


def deleted(*, grace_s: int, namespace: str = "team", cores: float = 4.0) -> PodRow:
    """A pod of node `a` that is told to end now."""
    return PodRow(
        node="a",
        namespace=namespace,
        name="stuck",
        requests={"cpu": cores, "pods": 1.0},
        leaves_at_us=NOW + grace_s * SECOND,
    )


class PodCluster(SharedCluster):
    """A cluster with pods that are no jobs'."""

    def __init__(self, cores: Mapping[str, int], *pods: PodRow) -> None:
        super().__init__(cores)
        self.pods = list(pods)

    def _nodes_left(self) -> dict[str, Node]:
        nodes = super()._nodes_left()
        return {
            name: replace(
                found,
                workers=nodes[name].workers,
                leaving={"cpu": nodes[name].leaving["cpu"] + found.leaving.get("cpu", 0.0)},
            )
            for name, found in take_pods(nodes.values(), self.pods, now_us=self.now_us).items()
        }


def test_a_promise_on_the_devices_of_a_pod_that_stays_says_so_within_a_minute_and_holds_once_it_is_gone() -> None:
    cluster = PodCluster({"a": 4}, deleted(grace_s=25))
    cluster.add("hard", images=30_000, deadline_s=300)
    cluster.run(20)
    assert cluster.said("hard", "Feasible")[0] == "Reserved"
    assert cluster.said("hard", "OnTrack") == ("", "")
    cluster.run(60 - 20)
    reason, message = cluster.said("hard", "OnTrack")
    assert reason == "DevicesHeld"
    assert message.startswith("Pod stuck on node a should have ended by 22:13:45 UTC.")
    assert cluster.status("hard").message == message
    assert cluster.said("hard", "Feasible")[0] != "Reserved"
    cluster.run(60)
    assert cluster.said("hard", "OnTrack")[0] == "DevicesHeld"
    cluster.pods.clear()
    cluster.run(5)
    assert cluster.said("hard", "OnTrack")[0] in ("", "InTime")
    cluster.run(200, until=lambda: cluster.jobs["hard"].is_done)
    assert cluster.ended_s("hard") <= 300


def test_another_node_takes_what_was_promised_and_nothing_is_said() -> None:
    cluster = PodCluster({"a": 4, "b": 4}, deleted(grace_s=25))
    cluster.add("beside", images=20_000, deadline_s=60, gpus={"max": 4})
    cluster.decide()
    cluster.add("hard", images=20_000, deadline_s=300)
    cluster.run(60)
    assert cluster.said("hard", "OnTrack")[0] in ("", "InTime")
    cluster.run(240, until=lambda: cluster.jobs["hard"].is_done)
    assert cluster.ended_s("hard") <= 300


@pytest.mark.parametrize("grace_s", [600, YEARS_S])
def test_nothing_is_promised_on_the_devices_of_a_pod_that_may_take_long_to_end(grace_s: int) -> None:
    cluster = PodCluster({"a": 4}, deleted(grace_s=grace_s))
    cluster.add("hard", images=30_000, deadline_s=300)
    cluster.run(5)
    assert cluster.said("hard", "Feasible")[0] == "Waiting"
    assert not cluster.status("hard").plan


def test_the_name_of_another_namespaces_pod_is_not_told() -> None:
    cluster = PodCluster({"a": 4}, deleted(grace_s=-60, namespace="others"))
    cluster.add("hard", images=30_000, deadline_s=300)
    cluster.decide()
    reason, message = cluster.said("hard", "OnTrack")
    assert reason == "DevicesHeld"
    assert message.startswith("A pod of another namespace should have ended by 22:12:20 UTC.")


def test_an_overdue_pod_beside_which_there_is_room_is_not_blamed() -> None:
    cluster = PodCluster({"a": 4}, deleted(grace_s=-60, cores=0.1))
    cluster.pods.append(replace(deleted(grace_s=0, cores=3.9), leaves_at_us=None))
    cluster.add("hard", images=30_000, deadline_s=300)
    cluster.decide()
    assert cluster.said("hard", "Feasible")[0] == "Waiting"
    assert cluster.said("hard", "OnTrack") == ("", "")
