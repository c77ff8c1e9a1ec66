"""Pools that stand at zero: nodes are asked for in time and no earlier, and what does not come is planned around."""

from typing import Any

from dueby_api.capacity import AnnouncedDevices, NodePool
from dueby_api.gpu_profile import GPUProfile, ObservedJob
from dueby_api.schema import validate
from dueby_api.units import format_time, from_micros
from support.decisions import NOW, SECOND
from support.kueue_cluster import KueueCluster, Share
from support.operator import profile
from support.shared_cluster import SharedCluster, slowly_started

LABELS = {"pool": "burst"}
# A slice of a core does 160 images a second, and its worker is warm after 5 s.


def pool(*, nodes: int = 2, provision: str = "60s", **fields: Any) -> tuple[NodePool, ...]:
    """Nodes with four slices of a core, of which there is none."""
    usual = {"name": "burst", "class": "cpu-1", "devicesPerNode": 4, "nodeSelector": LABELS}
    return (validate(NodePool, {**usual, "maxNodes": nodes, "timeToProvision": provision, **fields}),)


def asked(cluster: SharedCluster) -> int:
    """How many workers wait for a node."""
    return sum(worker.node_us is None for running in cluster.jobs.values() for worker in running.alive)


def at_work(cluster: SharedCluster) -> list[str]:
    """The nodes on which workers are."""
    return sorted(worker.node for running in cluster.jobs.values() for worker in running.alive if worker.node)


def test_a_pool_at_zero_is_asked_for_as_many_nodes_as_the_deadline_needs_and_the_job_is_in_time() -> None:
    cluster = SharedCluster({}, node_pools=pool())
    cluster.add("hard", images=50_000, deadline_s=200)
    cluster.run(1)
    count = asked(cluster)
    assert count == 3, "160 images a second for 135 s, three times"
    reason, message = cluster.said("hard", "Feasible")
    assert reason == "Planned"
    assert message.endswith(" It stands on 3 cpu-1 of the pool burst, asked for now, which takes 1m00s.")
    cluster.run(50)
    assert (asked(cluster), at_work(cluster)) == (3, [])
    assert {held.pool for held in cluster.status("hard").held} == {"burst"}
    assert cluster.said("hard", "Admitted")[0] == "Admitted"
    assert cluster.status("hard").phase == "Starting"
    cluster.join("n1", 4, LABELS)
    cluster.run(5)
    assert at_work(cluster) == ["n1"] * 3
    assert {held.pool for held in cluster.status("hard").held} == {None}
    cluster.run(150, until=lambda: cluster.jobs["hard"].is_done)
    assert cluster.ended_s("hard") <= 200


def test_a_job_in_a_queue_asks_for_nodes_once_it_is_admitted_and_within_its_quota() -> None:
    cluster = KueueCluster({}, node_pools=pool(nodes=1), night=Share(cores=3))
    cluster.add("first", images=50_000, deadline_s=200, queueName="night")
    cluster.run(5)
    assert cluster.said("first", "Feasible")[0] == "Planned"
    assert (cluster.queued("first"), asked(cluster)) == ([], 3)
    cluster.add("second", images=50_000, deadline_s=200, queueName="night")
    cluster.run(3)
    assert cluster.said("second", "Feasible")[0] == "PromisedToOthers"
    cluster.run(40)
    cluster.join("n1", 4, LABELS)
    cluster.run(150, until=lambda: cluster.jobs["first"].is_done)
    assert cluster.ended_s("first") <= 200


def test_a_job_whose_queue_asks_for_nodes_itself_waits_for_them_in_the_queue() -> None:
    cluster = KueueCluster({}, node_pools=pool(), night=Share(cores=8, has_check=True))
    cluster.add("hard", images=50_000, deadline_s=200, queueName="night")
    cluster.run(50)
    assert len(cluster.queued("hard")) == 3
    assert len(cluster.jobs["hard"].workers) == 3, "nobody was asked for help meanwhile"
    cluster.join("n1", 4, LABELS)
    cluster.run(5)
    assert (cluster.queued("hard"), at_work(cluster)) == ([], ["n1"] * 3)
    cluster.run(150, until=lambda: cluster.jobs["hard"].is_done)
    assert cluster.ended_s("hard") <= 200


def test_what_is_asked_for_is_given_to_nobody_else() -> None:
    cluster = SharedCluster({}, node_pools=pool(nodes=1))
    cluster.add("first", images=50_000, deadline_s=200)
    cluster.run(3)
    cluster.add("second", images=60_000, deadline_s=200)
    cluster.run(3)
    assert asked(cluster) == 3
    assert cluster.said("second", "Feasible")[0] == "PromisedToOthers"
    cluster.add("third", images=15_000, deadline_s=200)
    cluster.run(3)
    assert asked(cluster) == 4


def test_nothing_is_asked_for_while_devices_that_are_there_will_do() -> None:
    cluster = SharedCluster({"a": 1}, node_pools=pool())
    cluster.add("first", images=160 * 60, deadline_s=80)
    cluster.run(3)
    cluster.add("second", images=160 * 60, deadline_s=300)
    cluster.run(10)
    assert cluster.said("second", "Feasible")[0] == "Reserved"
    assert asked(cluster) == 0
    cluster.add("third", images=160 * 60, deadline_s=140)
    cluster.run(3)
    assert asked(cluster) == 1


def test_best_effort_jobs_wait_for_idle_devices_and_buy_none() -> None:
    cluster = SharedCluster({}, node_pools=pool())
    cluster.add("whenever", images=10_000, deadline_s=600, deadline_class="BestEffort")
    cluster.run(10)
    assert asked(cluster) == 0
    assert cluster.said("whenever", "Feasible")[0] == "Waiting"
    cluster.join("n1", 4, LABELS)
    cluster.run(5)
    assert at_work(cluster)


def test_a_deadline_that_comes_before_a_node_could_is_refused_at_once() -> None:
    cluster = SharedCluster({}, node_pools=pool())
    cluster.add("hard", images=1_000, deadline_s=60)
    cluster.run(1)
    reason, message = cluster.said("hard", "Feasible")
    assert reason == "DeadlineTooEarly"
    assert "deadline" in message


def test_nodes_that_never_come_are_planned_around_and_the_job_says_which_are_missing() -> None:
    cluster = SharedCluster({"a": 1}, node_pools=pool())
    cluster.add("soft", images=50_000, deadline_s=250, deadline_class="Soft")
    cluster.run(85)
    assert asked(cluster)
    assert cluster.said("soft", "OnTrack")[0] == "InTime"
    cluster.run(10)
    count = asked(cluster)
    assert cluster.said("soft", "OnTrack")[0] == "CapacityMissing"
    assert f"{count} cpu-1 of the pool burst that w" in cluster.said("soft", "OnTrack")[1]
    cluster.add("hard", images=10_000, deadline_s=200)
    cluster.run(3)
    assert asked(cluster) == count, "nobody of the namespace asks for more of them"
    cluster.add("elsewhere", images=10_000, deadline_s=200, namespace="others")
    cluster.run(3)
    assert asked(cluster) > count


def test_with_half_of_the_nodes_the_job_is_late_for_that_reason_and_goes_on_when_the_rest_comes() -> None:
    cluster = SharedCluster({}, node_pools=pool())
    cluster.add("hard", images=100_000, deadline_s=200)
    cluster.run(50)
    assert asked(cluster) > 4
    cluster.join("n1", 4, LABELS)
    cluster.run(60)
    assert at_work(cluster) == ["n1"] * 4
    assert cluster.said("hard", "OnTrack")[0] == "CapacityMissing"
    cluster.join("n2", 4, LABELS)
    cluster.run(5)
    assert "n2" in at_work(cluster)
    assert cluster.said("hard", "OnTrack")[0] != "CapacityMissing"
    cluster.run(200, until=lambda: cluster.jobs["hard"].is_done)
    assert cluster.jobs["hard"].is_done


def test_a_job_that_waits_for_announced_devices_asks_for_the_pool_s_when_these_do_not_come() -> None:
    times = {"from": format_time(NOW + 40 * SECOND), "to": format_time(NOW + 300 * SECOND)}
    entry = {"class": "cpu-1", "count": 4, "nodeSelector": {"pool": "night"}, **times}
    cluster = SharedCluster({}, capacity=(validate(AnnouncedDevices, entry),), node_pools=pool())
    cluster.add("hard", images=50_000, deadline_s=280)
    cluster.run(38)
    assert cluster.said("hard", "Feasible")[0] == "Reserved"
    assert asked(cluster) == 0
    cluster.run(8)
    assert asked(cluster)


def test_a_running_job_that_lags_asks_for_a_node() -> None:
    cluster = SharedCluster({"a": 1}, node_pools=pool(provision="20s"))
    cluster.add("hard", images=160 * 150, deadline_s=200)
    cluster.run(20)
    assert (at_work(cluster), asked(cluster)) == (["a"], 0)
    cluster.jobs["hard"].alive[0].speed = 0.5
    cluster.run(60, until=lambda: asked(cluster) > 0)
    assert asked(cluster) == 1


def test_a_worker_whose_node_has_come_is_stopped_when_the_others_do_without_it() -> None:
    cluster = SharedCluster({}, node_pools=pool(provision="20s"))
    cluster.add("hard", images=150_000, deadline_s=600)
    cluster.run(10)
    cluster.join("n1", 4, LABELS)
    cluster.run(10)
    assert at_work(cluster) == ["n1"] * 2
    for worker in cluster.jobs["hard"].alive:
        worker.speed = 3.0
    cluster.run(60, until=lambda: len(at_work(cluster)) < 2)
    assert cluster.changes("hard") == [("Ahead", 2, 1)], "whoever pays for the node gains by it"


def test_nobody_asks_before_its_window_begins_and_nobody_asks_for_a_node_that_has_come() -> None:
    cluster = SharedCluster({}, node_pools=pool(nodes=1, provision="30s"))
    cluster.add("first", images=160 * 4 * 100, deadline_s=150)
    cluster.run(3)
    assert asked(cluster) == 4
    cluster.add("second", images=160 * 4 * 60, deadline_s=330)
    cluster.run(3)
    assert cluster.said("second", "Feasible")[0] == "Reserved"
    assert {window.pool for window in cluster.status("second").plan.windows} == {"burst"}
    assert "asked for at 22:1" in cluster.said("second", "Feasible")[1]
    cluster.run(20)
    assert asked(cluster) == 4, "those of the first job"
    cluster.join("n1", 4, LABELS)
    cluster.run(10)
    assert {window.pool for window in cluster.status("second").plan.windows} == {None}
    cluster.run(330, until=lambda: cluster.jobs["second"].is_done)
    assert cluster.ended_s("first") <= 150
    assert cluster.ended_s("second") <= 330
    assert not any(worker.assignment.pool for worker in cluster.jobs["second"].workers)


def learned(*seconds: int) -> GPUProfile:
    """The class's profile, with what nodes of the pool took in earlier jobs."""
    times = tuple(each * SECOND for each in sorted(seconds))
    row = ObservedJob(job="u", time=from_micros(NOW), workers=1, provision_micros={"burst": times})
    found = slowly_started(profile())
    return found.replace(spec=found.spec.replace(observed=(row,)))


def test_what_nodes_took_before_is_what_is_planned_with_and_what_is_waited_for() -> None:
    times = [20] * 5 + [60]
    cluster = SharedCluster({}, node_pools=pool(provision="20s"))
    cluster.profiles = (learned(*times),)
    cluster.add("hard", images=1_000, deadline_s=70)
    cluster.run(1)
    assert cluster.said("hard", "Feasible")[0] == "DeadlineTooEarly", "one in six came after a minute"
    cluster.add("later", images=1_000, deadline_s=100)
    cluster.run(1)
    message = cluster.said("later", "Feasible")[1]
    assert message.endswith(" of the pool burst, asked for now, which takes 20s (p95 1m00s)."), message
    cluster.run(85)
    assert cluster.said("later", "OnTrack")[0] != "CapacityMissing"
    cluster.run(10)
    assert cluster.said("later", "OnTrack")[1].endswith(" not come within 1m00s.")
