"""`gpus.spot`: whose workers are on spot nodes, and how many are on others."""

from typing import Any

import pytest

from support.shared_cluster import SharedCluster

SPOT = {"karpenter.sh/capacity-type": "spot"}
# A slice of a core does 160 images a second, and its worker is warm after 5 s.


def mixed(*, spot: int = 2, on_demand: int = 4) -> SharedCluster:
    """A spot node and one on demand, of so many slices."""
    cluster = SharedCluster({"d": on_demand} if on_demand else {})
    if spot:
        cluster.join("s", spot, SPOT)
    return cluster


def at_work(cluster: SharedCluster, name: str = "job") -> list[str]:
    return sorted(worker.node for worker in cluster.jobs[name].alive)


@pytest.mark.parametrize(
    ("deadline_class", "spot", "nodes"),
    [
        pytest.param("Soft", None, ["d", "s", "s"], id="a Soft job prefers spot"),
        pytest.param("Hard", None, ["d", "d", "d"], id="a Hard job avoids it"),
        pytest.param("Hard", "Prefer", ["d", "d", "s", "s"], id="unless it says so, with one spare for a loss"),
        pytest.param("Soft", "Avoid", ["d", "d", "d"], id="who avoids spot"),
        pytest.param("Soft", "Only", ["s", "s"], id="who wants nothing else, although that is too little"),
        pytest.param("BestEffort", "Avoid", ["d", "d", "d"], id="who takes what is idle and avoids spot"),
    ],
)
def test_workers_are_on_the_kind_of_nodes_that_the_job_says(
    deadline_class: str, spot: str | None, nodes: list[str]
) -> None:
    cluster = mixed()
    gpus: dict[str, Any] = {} if spot is None else {"gpus": {"spot": spot}}
    cluster.add("job", images=160 * 140, deadline_s=60, deadline_class=deadline_class, **gpus)
    cluster.run(10)
    assert at_work(cluster) == nodes


def test_where_spot_devices_will_do_there_is_nothing_on_demand() -> None:
    cluster = mixed(spot=3)
    cluster.add("job", images=160 * 100, deadline_s=60, deadline_class="Soft")
    cluster.run(10)
    assert set(at_work(cluster)) == {"s"}


def test_where_no_node_is_spot_the_plan_says_nothing_of_it() -> None:
    cluster = mixed(spot=0)
    cluster.add("job", images=160 * 100, deadline_s=60, deadline_class="Soft")
    cluster.run(10)
    assert {worker.assignment.is_spot for worker in cluster.jobs["job"].alive} == {None}
    assert set(at_work(cluster)) == {"d"}


def test_a_hard_job_is_promised_nothing_on_spot_nodes() -> None:
    cluster = mixed(on_demand=0)
    cluster.add("job", images=160 * 20, deadline_s=60)
    cluster.run(5)
    assert at_work(cluster) == []
    message = cluster.said("job", "Feasible")[1]
    assert "1 node with cpu-1, all of them spot, which the job doesn't use (spec.gpus.spot is Avoid)" in message
    cluster.add("spot", images=160 * 20, deadline_s=60, gpus={"spot": "Only"})
    cluster.run(5)
    assert set(at_work(cluster, "spot")) == {"s"}


def test_when_the_spot_node_is_taken_the_job_goes_on_on_demand_as_far_as_its_deadline_needs_it() -> None:
    cluster = mixed()
    cluster.add("job", images=160 * 100, deadline_s=80, deadline_class="Soft")
    cluster.run(15)
    assert at_work(cluster) == ["s", "s"]
    cluster.take_away("s", 15)
    cluster.run(10)
    # Two do 160 images a second for 10 s, and what is left takes 84 s of one device.
    assert at_work(cluster) == ["d", "d"]
    cluster.run(65, until=lambda: cluster.jobs["job"].is_done)
    assert cluster.ended_s("job") <= 80


@pytest.mark.parametrize("deadline_class", ["Hard", "Soft", "Relaxed"])
def test_with_time_left_the_job_waits_for_spot_devices_and_begins_on_demand_as_late_as_it_may(
    deadline_class: str,
) -> None:
    cluster = mixed(spot=1, on_demand=1)
    cluster.add("job", images=160 * 200, deadline_s=600, deadline_class=deadline_class, gpus={"spot": "Prefer"})
    cluster.run(25)
    cluster.take_away("s", 25)
    cluster.run(20)
    assert at_work(cluster) == []
    # A device on demand takes 190 s or so.
    message = cluster.said("job", "Feasible")[1]
    assert "on 1 device at most" in message
    assert message.endswith("Until then it waits for spot devices.")
    cluster.join("t", 1, SPOT)
    cluster.run(5)
    assert at_work(cluster) == ["t"]
    cluster.run(50)
    cluster.take_away("t", 100)
    before = cluster.now_us
    cluster.run(600, until=lambda: bool(cluster.jobs["job"].alive) and at_work(cluster) == ["d"])
    assert cluster.now_us - before > 250 * 10**6
    cluster.run(400, until=lambda: cluster.jobs["job"].is_done)
    assert 500 < cluster.ended_s("job") <= 600


def test_an_absent_spot_node_keeps_no_device_on_demand_from_the_job() -> None:
    cluster = mixed(spot=2, on_demand=2)
    cluster.add("job", images=160 * 60, deadline_s=120, deadline_class="Soft")
    cluster.run(5)
    assert at_work(cluster) == ["s"]
    (worker,) = cluster.jobs["job"].alive
    worker.node, worker.node_us = "", None
    del cluster.nodes["s"]
    cluster.run(60)
    assert at_work(cluster) == ["", "d"]
    cluster.run(60, until=lambda: cluster.jobs["job"].is_done)
    assert cluster.ended_s("job") <= 120


@pytest.mark.parametrize(
    ("coming", "gpus", "at_s", "nodes", "changes"),
    [
        pytest.param(2, {}, 20, ["s", "s"], ["SpotCame", "Ahead", "Ahead"], id="as many as there are on demand"),
        pytest.param(9, {}, 20, ["s", "s"], ["SpotCame", "Ahead", "Ahead"], id="no more than it takes"),
        pytest.param(1, {}, 20, ["d", "s"], ["SpotCame", "Ahead"], id="fewer: as far as they go"),
        pytest.param(2, {"spot": "Avoid"}, 20, ["d", "d"], [], id="not for a job that avoids them"),
        pytest.param(2, {"max": 2}, 20, ["d", "d"], [], id="not while it has all devices that it may have"),
        pytest.param(2, {}, 85, ["d", "d"], [], id="nor so late that nothing is gained"),
    ],
)
def test_workers_on_demand_give_way_to_spot_devices_that_come(
    coming: int, gpus: dict[str, Any], at_s: int, nodes: list[str], changes: list[str]
) -> None:
    cluster = mixed(spot=0)
    cluster.add("job", images=160 * 180, deadline_s=150, deadline_class="Soft", gpus=gpus)
    cluster.run(at_s)
    assert at_work(cluster) == ["d", "d"]
    cluster.join("s", coming, SPOT)
    cluster.run(40 if changes else 8, until=lambda: bool(changes) and len(cluster.changes("job")) == len(changes))
    assert at_work(cluster) == nodes
    assert [reason for reason, *_ in cluster.changes("job")] == changes
    cluster.run(130, until=lambda: cluster.jobs["job"].is_done)
    assert cluster.ended_s("job") <= 150
