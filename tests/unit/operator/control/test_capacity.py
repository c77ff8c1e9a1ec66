"""Capacity that comes and goes: what is promised on it, and what becomes of that when it comes, or doesn't."""

from dataclasses import replace

from dueby_api.capacity import AnnouncedDevices
from dueby_api.schema import validate
from dueby_api.units import format_time
from support.decisions import NOW, SECOND, node
from support.shared_cluster import SharedCluster

POOL = {"pool": "night"}


def announced(from_s: int, to_s: int, *, count: int = 4, device_class: str = "cpu-1") -> tuple[AnnouncedDevices, ...]:
    """Slices of a core that will be there from one second after the beginning to another."""
    times = {"from": format_time(NOW + from_s * SECOND), "to": format_time(NOW + to_s * SECOND)}
    return (validate(AnnouncedDevices, {"class": device_class, "count": count, "nodeSelector": POOL, **times}),)


def come(cluster: SharedCluster, *, cores: int = 4) -> None:
    """Let the node of the pool join the cluster."""
    cluster.nodes["night"] = replace(node("night", cores), labels=POOL)


def at_work(cluster: SharedCluster) -> list[str]:
    """The nodes on which workers are."""
    return sorted({worker.node for running in cluster.jobs.values() for worker in running.alive})


def test_a_hard_job_is_promised_announced_devices_and_works_on_them_when_they_have_come() -> None:
    cluster = SharedCluster({}, capacity=announced(40, 140))
    cluster.add("hard", images=50_000, deadline_s=140)
    cluster.run(30)
    reason, message = cluster.said("hard", "Feasible")
    assert reason == "Reserved"
    assert message.endswith(" It stands on 4 cpu-1 announced from 22:14:00 UTC.")
    assert {window.announced for window in cluster.status("hard").plan.windows} == {True}
    assert not at_work(cluster)
    come(cluster)
    cluster.run(8)
    assert "announced" not in cluster.said("hard", "Feasible")[1]
    assert not at_work(cluster), "its time has not come"
    cluster.run(110, until=lambda: cluster.jobs["hard"].is_done)
    assert 40 < cluster.ended_s("hard") <= 140


def test_a_hard_job_that_is_due_before_the_devices_come_is_refused_at_once() -> None:
    cluster = SharedCluster({}, capacity=announced(40, 140))
    cluster.add("early", images=10_000, deadline_s=39)
    cluster.run(1)
    reason, message = cluster.said("early", "Feasible")
    assert reason == "DeadlineTooEarly"
    assert "and there are 0.0 CPU slice-seconds for it" in message
    assert "A deadline of " in message


def test_a_job_whose_announced_devices_do_not_come_is_told_so_at_once_and_goes_on_when_they_are_there() -> None:
    cluster = SharedCluster({}, capacity=announced(40, 300))
    cluster.add("hard", images=50_000, deadline_s=220)
    cluster.run(40)
    assert cluster.said("hard", "Feasible")[0] == "Reserved"
    cluster.run(4)
    missing = "4 of the 4 cpu-1 that were announced from 22:14:00 UTC are not there."
    assert cluster.said("hard", "OnTrack") == ("CapacityMissing", missing)
    reason, message = cluster.said("hard", "Feasible")
    assert reason == "Waiting"
    assert message.startswith(missing)
    assert not cluster.status("hard").plan
    cluster.run(30)
    come(cluster)
    cluster.run(3)
    assert at_work(cluster) == ["night"]
    assert cluster.said("hard", "OnTrack")[0] != "CapacityMissing"
    cluster.run(150, until=lambda: cluster.jobs["hard"].is_done)
    assert cluster.ended_s("hard") <= 220


def test_a_job_that_is_late_without_the_rest_of_what_was_announced_says_so_while_it_works_on_what_has_come() -> None:
    cluster = SharedCluster({"a": 1}, capacity=announced(40, 300))
    cluster.add("hard", images=75_000, deadline_s=160)
    cluster.run(35)
    assert at_work(cluster) == ["a"]
    come(cluster, cores=2)
    cluster.run(20)
    assert at_work(cluster) == ["a", "night"]
    missing = "2 of the 4 cpu-1 that were announced from 22:14:00 UTC are not there."
    assert cluster.said("hard", "OnTrack") == ("CapacityMissing", missing)


def test_nobody_is_on_nodes_that_have_come_after_their_time() -> None:
    cluster = SharedCluster({"a": 1}, capacity=announced(10, 60))
    come(cluster)
    cluster.add("soft", images=35_000, deadline_s=90, deadline_class="Soft")
    cluster.run(30)
    assert at_work(cluster) == ["a", "night"]
    cluster.run(30)
    assert at_work(cluster) == ["a"]
    assert "NodeDrains" in [replan.reason for replan in cluster.status("soft").replans]


def test_two_jobs_are_promised_what_is_announced_and_no_more() -> None:
    cluster = SharedCluster({}, capacity=announced(40, 140))
    cluster.add("first", images=30_000, deadline_s=140)
    cluster.add("second", images=25_000, deadline_s=140)
    cluster.add("third", images=30_000, deadline_s=140)
    cluster.run(3)
    assert cluster.status("first").phase == cluster.status("second").phase == "Scheduled"
    assert cluster.said("third", "Feasible")[0] == "PromisedToOthers"


def test_a_job_is_not_promised_devices_that_its_selector_does_not_find() -> None:
    cluster = SharedCluster({}, capacity=announced(40, 140))
    cluster.add("day", images=30_000, deadline_s=140, worker={"nodeSelector": {"pool": "day"}})
    cluster.add("night", images=30_000, deadline_s=140, worker={"nodeSelector": POOL})
    cluster.run(3)
    assert cluster.said("day", "Feasible")[0] == "Waiting"
    assert cluster.said("night", "Feasible")[0] == "Reserved"


def test_announced_devices_without_a_profile_are_left_out_and_the_job_says_so() -> None:
    cluster = SharedCluster({"a": 1}, capacity=announced(40, 140, device_class="NVIDIA-H100"))
    cluster.add("hard", images=10_000, deadline_s=140)
    cluster.run(3)
    sentence = "NVIDIA-H100, of which there is no node yet, is left out until it has a profile of the model"
    assert cluster.said("hard", "Profiled") == ("Profiled", sentence)
    assert at_work(cluster) == ["a"]


def test_an_announcement_of_each_week_is_promised_again_after_nodes_have_not_come_once() -> None:
    nightly = {"days": "*", "start": "22:14", "hours": 1}
    weekly = validate(AnnouncedDevices, {"class": "cpu-1", "count": 4, "nodeSelector": POOL, "weekly": nightly})
    cluster = SharedCluster({}, capacity=(weekly,))
    cluster.add("hard", images=50_000, deadline_s=30 * 3600)
    cluster.run(39)
    assert "announced from 22:14:00 UTC" in cluster.said("hard", "Feasible")[1]
    cluster.run(5)
    reason, message = cluster.said("hard", "Feasible")
    assert reason == "Reserved"
    assert message.startswith(
        "4 of the 4 cpu-1 that were announced from 22:14:00 UTC are not there. Starts at 2023-11-15"
    )
    assert message.endswith("It stands on 1 cpu-1 announced from 2023-11-15 22:14:00 UTC.")


def test_a_promised_job_is_not_refused_while_its_announced_devices_are_missing() -> None:
    cluster = SharedCluster({"a": 1}, capacity=announced(40, 300))
    cluster.add("other", images=160 * 200, deadline_s=290)
    cluster.run(3)
    cluster.add("hard", images=60_000, deadline_s=290)
    cluster.run(30)
    assert cluster.said("hard", "Feasible")[0] == "Reserved"
    cluster.run(8)
    for _ in range(4):
        cluster.run(1)
        assert cluster.said("hard", "OnTrack")[0] == "CapacityMissing"
        reason, message = cluster.said("hard", "Feasible")
        assert reason == "Late"
        assert message.startswith("4 of the 4 cpu-1 that were announced from 22:14:00 UTC are not there. Starts at ")
    come(cluster)
    cluster.run(240, until=lambda: cluster.jobs["hard"].is_done)
    assert cluster.ended_s("hard") <= 290
