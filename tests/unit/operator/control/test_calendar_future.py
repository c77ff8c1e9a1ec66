"""Nodes that go away and come back: what is planned on them, and what becomes of their workers."""

from dataclasses import replace

import pytest

from dueby_operator.cluster.nodes import Node
from dueby_operator.model.writes import Delete
from dueby_planner.model.problem import NEVER_US
from dueby_planner.schedule.spans import Span
from support.decisions import NOW, SECOND, Look, a_batch, indexed, infj, look, node, started
from support.shared_cluster import SharedCluster


def at_work(cluster: SharedCluster, node: str) -> list[str]:
    """The workers on the node."""
    return [
        worker.assignment.worker for running in cluster.jobs.values() for worker in running.alive if worker.node == node
    ]


def reasons(cluster: SharedCluster, name: str) -> list[str]:
    return [replan.reason for replan in cluster.status(name).replans]


def test_nobody_is_on_a_node_during_its_maintenance_and_a_job_runs_before_and_after_it() -> None:
    cluster = SharedCluster({"a": 4})
    cluster.take_away("a", 40, 80)
    cluster.add("hard", images=55_000, deadline_s=160)
    cluster.run(20)
    assert at_work(cluster, "a")
    cluster.run(20)
    for _ in range(40):
        assert not at_work(cluster, "a")
        cluster.run(1)
    cluster.run(80, until=lambda: cluster.jobs["hard"].is_done)
    assert cluster.ended_s("hard") <= 160


def test_a_job_that_can_wait_for_a_node_is_given_it_from_the_time_when_it_is_back() -> None:
    cluster = SharedCluster({"a": 4})
    cluster.take_away("a", 0, 30)
    cluster.add("hard", images=30_000, deadline_s=120)
    cluster.run(5)
    assert cluster.status("hard").phase == "Scheduled"
    cluster.run(115, until=lambda: cluster.jobs["hard"].is_done)
    assert 30 < cluster.ended_s("hard") <= 120


def test_others_take_over_before_a_node_is_drained() -> None:
    cluster = SharedCluster({"a": 6, "b": 6})
    cluster.add("hard", images=75_000, deadline_s=120)
    cluster.run(20)
    before = at_work(cluster, "b")
    assert before
    cluster.take_away("b", 60)
    # A part takes five seconds at most, and a device five more to change hands.
    cluster.run(25)
    assert "NodeDrains" not in reasons(cluster, "hard")
    cluster.run(15)
    assert not at_work(cluster, "b")
    assert "NodeDrains" in reasons(cluster, "hard")
    cluster.run(60, until=lambda: cluster.jobs["hard"].is_done)
    assert cluster.ended_s("hard") <= 120
    assert all(worker.node == "a" for worker in cluster.jobs["hard"].workers if worker.born_us > NOW + 20 * SECOND)


def test_a_node_that_is_drained_after_the_deadline_is_like_any_other() -> None:
    cluster = SharedCluster({"a": 4})
    cluster.take_away("a", 100)
    cluster.add("hard", images=30_000, deadline_s=60)
    cluster.run(60, until=lambda: cluster.jobs["hard"].is_done)
    assert cluster.ended_s("hard") <= 60
    assert not reasons(cluster, "hard")


def test_workers_on_a_cordoned_node_go_on_and_their_devices_come_back_for_nobody() -> None:
    cluster = SharedCluster({"a": 2, "b": 2})
    cluster.add("first", images=30_000, deadline_s=60)
    cluster.run(10)
    before = at_work(cluster, "b")
    assert len(before) == 2
    cluster.nodes["b"] = replace(cluster.nodes["b"], is_ready=False)
    cluster.add("second", images=20_000, deadline_s=180)
    cluster.run(20)
    assert at_work(cluster, "b") == before
    assert cluster.status("second").phase == "Scheduled"
    cluster.run(160, until=lambda: cluster.jobs["second"].is_done)
    assert cluster.ended_s("first") <= 60
    assert cluster.ended_s("second") <= 190
    assert all(worker.node == "a" for worker in cluster.jobs["second"].workers)


def test_a_job_whose_last_worker_was_lost_says_so_while_it_waits_and_when_it_goes_on() -> None:
    cluster = SharedCluster({"a": 1, "b": 1})
    for name in ("first", "second"):
        cluster.add(name, images=10_000, deadline_s=240)
        cluster.run(10)
    (lost,) = cluster.jobs["first"].alive
    lost.is_lost = True
    cluster.nodes[lost.node] = replace(cluster.nodes[lost.node], is_ready=False)
    cluster.run(3)
    assert cluster.said("first", "Feasible")[0] == "Reserved"
    assert cluster.said("first", "Feasible")[1].startswith("Its last worker was lost. Starts at ")
    cluster.run(220, until=lambda: cluster.jobs["first"].is_done)
    assert reasons(cluster, "first") == ["WorkerLost"]
    assert cluster.ended_s("second") < cluster.ended_s("first") <= 240


@pytest.mark.parametrize(
    ("seconds", "reason"),
    [
        pytest.param(126, "Ahead", id="it no longer needs the worker that it has"),
        pytest.param(130, "NodeDrains", id="the worker goes with its node"),
    ],
)
def test_what_is_reserved_for_a_job_is_still_so_when_its_worker_stops(seconds: int, reason: str) -> None:
    cluster = SharedCluster({"a": 1, "b": 1})
    cluster.add("first", images=160 * 60, deadline_s=75)
    cluster.run(3)
    cluster.take_away("b", 60)
    cluster.add("long", images=160 * seconds, deadline_s=160)
    cluster.run(10)
    windows = cluster.status("long").plan.windows
    assert windows, "of the device that `first` has"
    # It has no place beside these, and is tried again in each pass.
    cluster.add("new", images=160 * 6, deadline_s=105)
    cluster.run(60, until=lambda: bool(reasons(cluster, "long")))
    assert reasons(cluster, "long") == [reason]
    assert cluster.status("long").plan.windows == windows
    cluster.run(2)
    assert cluster.said("long", "Feasible")[0] == "Reserved"
    assert cluster.status("new").phase == "Queued"
    cluster.run(120, until=lambda: cluster.jobs["long"].is_done)
    assert cluster.ended_s("long") <= 163


def with_draining_node(in_s: int) -> dict[str, Node]:
    """A node that stays, and one that is drained so soon."""
    return {"n": node(), "b": replace(node("b"), away=(Span(NOW + in_s * SECOND, NEVER_US),))}


def seen_with(workers_on_b: int | None, *, drains_in_s: int = 1) -> tuple[Look, list[str]]:
    """What is decided about a job of which so many workers, or all, are on a draining node; and their pods' names."""
    begun = started(images=10_000, deadline="30s")
    assert len(begun.pods) > 1
    leaving = begun.pods[:workers_on_b]
    for pod in leaving:
        pod["spec"]["nodeName"] = "b"
    progress = {pod["metadata"]["name"]: a_batch() for pod in begun.pods}
    found = look(begun.job(progress=progress), nodes=with_draining_node(drains_in_s))
    return found, [pod["metadata"]["name"] for pod in leaving]


def deleted(found: Look) -> list[str]:
    return [write.path.rpartition("/")[2] for write in found.writes if isinstance(write, Delete)]


def test_the_pods_on_a_draining_node_go_and_their_job_makes_others() -> None:
    found, leaving = seen_with(1)
    assert deleted(found) == leaving
    assert found.status.replans[-1].reason == "NodeDrains"


def test_so_do_those_on_a_node_that_is_being_taken_away_now() -> None:
    found, leaving = seen_with(1, drains_in_s=-NOW // SECOND)
    assert deleted(found) == leaving
    assert found.status.replans[-1].reason == "NodeDrains"


def test_a_job_of_which_all_workers_are_on_a_draining_node_is_deleted() -> None:
    found, leaving = seen_with(None)
    assert deleted(found) == [leaving[0].rpartition("-")[0]]
    assert found.status.replans[-1].reason == "NodeDrains"


def test_workers_stay_while_there_is_time_for_another_part() -> None:
    found, _ = seen_with(1, drains_in_s=45)
    assert not deleted(found)


def test_workers_keep_off_a_node_that_goes_before_they_would_end() -> None:
    (create,) = look(infj(status=indexed()), nodes=with_draining_node(30)).created
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    term, _ = create.job["spec"]["template"]["spec"]["affinity"]["nodeAffinity"][required]["nodeSelectorTerms"]
    assert term["matchFields"] == [{"key": "metadata.name", "operator": "NotIn", "values": ["b"]}]
    (later,) = look(infj(status=indexed()), nodes=with_draining_node(600)).created
    term, _ = later.job["spec"]["template"]["spec"]["affinity"]["nodeAffinity"][required]["nodeSelectorTerms"]
    assert "matchFields" not in term
