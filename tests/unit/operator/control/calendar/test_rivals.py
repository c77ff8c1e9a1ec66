"""Jobs whose workers ask for different amounts share the cores of a node: devices that are made of the same ones."""

import pytest

from support.shared_cluster import SharedCluster, asking


def test_a_hard_job_is_promised_the_cores_that_workers_of_another_size_leave() -> None:
    cluster = SharedCluster({"a": 4})
    cluster.add("narrow", images=30_000, deadline_s=60, gpus={"max": 4})
    cluster.run(5)
    assert len(cluster.jobs["narrow"].alive) == 4
    cluster.add("wide", images=5000, deadline_s=200, worker=asking(3))
    cluster.run(5)
    assert cluster.status("wide").phase == "Scheduled"
    assert cluster.said("wide", "Feasible")[0] == "Reserved"
    cluster.run(200, until=lambda: cluster.jobs["wide"].is_done)
    assert cluster.ended_s("narrow") <= 60
    assert cluster.ended_s("wide") <= 205
    assert [running.most for running in cluster.jobs.values()] == [4, 1]


@pytest.mark.parametrize("deadline_class", ["Soft", "Relaxed", "BestEffort"])
def test_workers_of_another_size_give_way_to_a_hard_job(deadline_class: str) -> None:
    cluster = SharedCluster({"a": 4})
    cluster.add("narrow", images=100_000, deadline_s=3600, deadline_class=deadline_class)
    cluster.edit("narrow", deadline="60s")  # so early that it takes every core
    cluster.run(20)
    assert len(cluster.jobs["narrow"].alive) == 4
    cluster.add("wide", images=5000, deadline_s=100, worker=asking(3))
    cluster.run(150, until=lambda: cluster.jobs["wide"].is_done)
    assert cluster.ended_s("wide") <= 120
    assert "GaveWay" in [replan.reason for replan in cluster.status("narrow").replans]
    cluster.run(1000, until=lambda: cluster.jobs["narrow"].is_done)
    assert cluster.jobs["narrow"].is_done


def test_where_one_node_would_do_only_its_workers_give_way() -> None:
    cluster = SharedCluster({"a": 4, "b": 4})
    cluster.add("narrow", images=200_000, deadline_s=3600, deadline_class="Relaxed")
    cluster.edit("narrow", deadline="60s")
    cluster.run(20)
    assert len(cluster.jobs["narrow"].alive) == 8
    cluster.add("wide", images=5000, deadline_s=100, worker=asking(3))
    cluster.run(20)
    assert len(cluster.jobs["wide"].alive) == 1
    assert [(each.before, each.after) for each in cluster.status("narrow").replans if each.reason == "GaveWay"] == [
        (8, 4)
    ]


def test_what_would_be_enough_is_told_by_class() -> None:
    cluster = SharedCluster({"a": 4})
    cluster.add("narrow", images=90_000, deadline_s=180)
    cluster.run(5)
    cluster.add("wide", images=20_000, deadline_s=150, worker=asking(3))
    cluster.decide()
    reason, message = cluster.said("wide", "Feasible")
    assert reason in ("Waiting", "PromisedToOthers")
    assert "1 more cpu-1 would be enough" in message
    assert "#" not in message


def test_workers_of_several_sizes_start_in_one_pass_wherever_they_may_be_placed() -> None:
    cluster = SharedCluster({"a": 8, "b": 8})
    for cores in (1, 2, 3):
        cluster.add(f"of-{cores}", images=5000, deadline_s=100, worker=asking(cores), gpus={"max": 1})
    cluster.decide()
    assert [len(running.alive) for running in cluster.jobs.values()] == [1, 1, 1]
