"""Jobs of all deadline classes on the same devices, from their arrival to their end."""

from dataclasses import replace

import pytest

from dueby_api.status import WindowStatus
from dueby_api.units import parse_time_us
from support.decisions import NOW, SECOND
from support.shared_cluster import SharedCluster


def test_a_relaxed_job_gives_way_to_a_hard_one_and_goes_on_afterwards() -> None:
    cluster = SharedCluster({"a": 4, "b": 4})
    cluster.add("relaxed", images=60_000, deadline_s=3600, deadline_class="Relaxed", gpus={"max": 8})
    cluster.edit("relaxed", deadline="60s")  # so early that it takes every device
    cluster.run(20)
    assert len(cluster.jobs["relaxed"].alive) >= 6
    cluster.add("hard", images=40_000, deadline_s=60)
    cluster.run(70)
    assert cluster.ended_s("hard") <= 80
    cluster.run(200, until=lambda: cluster.jobs["relaxed"].is_done)
    assert cluster.jobs["relaxed"].is_done
    assert "GaveWay" in [replan.reason for replan in cluster.status("relaxed").replans]


def test_a_hard_job_that_needs_one_device_takes_one() -> None:
    cluster = SharedCluster({"a": 2})
    cluster.add("soft", images=24_000, deadline_s=100, deadline_class="Soft")
    cluster.run(14)
    assert len(cluster.jobs["soft"].alive) == 2
    cluster.add("hard", images=5000, deadline_s=70, gpus={"max": 1})
    cluster.run(5)
    assert len(cluster.jobs["hard"].alive) == 1
    assert cluster.changes("soft") == [("GaveWay", 2, 1)]


def test_two_hard_jobs_that_only_fit_one_after_the_other_are_both_in_time() -> None:
    cluster = SharedCluster({"a": 4})
    cluster.add("first", images=30_000, deadline_s=60, gpus={"max": 4})
    cluster.decide()
    cluster.add("second", images=30_000, deadline_s=120)
    cluster.run(5)
    assert cluster.status("second").phase == "Scheduled"
    assert cluster.said("second", "Feasible")[0] == "Reserved"
    # The calendar is made for all jobs at once, so that none has a time of its own.
    assert "solveMicros" not in cluster.status("second").plan.document()
    cluster.run(120, until=lambda: cluster.jobs["second"].is_done)
    assert cluster.ended_s("first") <= 60
    assert cluster.ended_s("second") <= 120


def test_a_hard_job_hands_devices_to_one_with_an_earlier_deadline_and_both_are_in_time() -> None:
    cluster = SharedCluster({"a": 4})
    cluster.add("long", images=150_000, deadline_s=300)
    cluster.run(20)
    assert len(cluster.jobs["long"].alive) == 4
    cluster.add("short", images=20_000, deadline_s=80)
    cluster.run(5)
    assert cluster.changes("long") == [("GaveWay", 4, 2)]
    windows = cluster.status("long").plan.windows
    assert windows
    cluster.forget()
    cluster.decide()
    assert cluster.status("long").plan.windows == windows
    cluster.run(280, until=lambda: cluster.jobs["long"].is_done)
    assert cluster.ended_s("short") <= 100
    assert cluster.ended_s("long") <= 300
    assert "WindowBegins" in [replan.reason for replan in cluster.status("long").replans]


def test_jobs_that_come_within_seconds_get_their_places_in_the_order_in_which_they_come() -> None:
    cluster = SharedCluster({"a": 4})
    cluster.add("long", images=140_000, deadline_s=300)
    cluster.run(2)
    assert len(cluster.jobs["long"].alive) == 3
    cluster.add("short", images=20_000, deadline_s=80)
    cluster.run(2)
    # It has hardly started, and what comes a minute later would have the room by then.
    assert cluster.changes("long") == [("GaveWay", 3, 2)]
    cluster.add("shorter", images=5_000, deadline_s=40)
    cluster.run(4)
    # It isn't stopped a second time before it has done something.
    assert cluster.changes("long") == [("GaveWay", 3, 2), ("GaveWay", 2, 0)]
    assert [replan.images_in_sink for replan in cluster.status("long").replans] == [0, 512]
    cluster.run(300, until=lambda: cluster.jobs["long"].is_done)
    assert cluster.ended_s("shorter") <= 44
    assert cluster.ended_s("short") <= 82
    assert cluster.ended_s("long") <= 300


def test_who_moves_for_a_new_job_moves_in_the_same_pass_and_not_again() -> None:
    cluster = SharedCluster({"a": 4})
    cluster.add("first", images=30_000, deadline_s=60)
    cluster.decide()
    cluster.add("second", images=22_000, deadline_s=140)
    cluster.add("third", images=20_000, deadline_s=230)
    cluster.run(3)
    before = cluster.status("third").plan.windows
    cluster.add("new", images=8_000, deadline_s=110)
    cluster.decide()
    reserved = windows_of(cluster, "second", "third", "new")
    assert cluster.status("third").plan.windows != before
    for begins_us in {parse_time_us(window.from_time) for window in reserved}:
        there = [each for each in reserved if is_within(begins_us, each)]
        assert sum(each.count for each in there) <= 4
    cluster.run(2)
    assert windows_of(cluster, "second", "third", "new") == reserved


def windows_of(cluster: SharedCluster, *names: str) -> list[WindowStatus]:
    return [window for name in names for window in cluster.status(name).plan.windows]


def is_within(time_us: int, window: WindowStatus) -> bool:
    return parse_time_us(window.from_time) <= time_us < parse_time_us(window.to_time)


def test_an_operator_that_starts_again_finds_the_same_calendar() -> None:
    cluster = SharedCluster({"a": 4})
    cluster.add("first", images=30_000, deadline_s=60)
    cluster.decide()
    cluster.add("second", images=30_000, deadline_s=120)
    cluster.run(5)
    before = cluster.status("second").plan.windows
    cluster.forget()
    cluster.decide()
    assert before
    assert cluster.status("second").plan.windows == before


def with_one_refused() -> SharedCluster:
    """Two Hard jobs, of which the second fits beside no promise."""
    cluster = SharedCluster({"a": 4})
    cluster.add("first", images=30_000, deadline_s=60)
    cluster.decide()
    cluster.add("second", images=30_000, deadline_s=70)
    cluster.decide()
    return cluster


def test_a_hard_job_that_fits_beside_no_promise_is_refused_with_the_cut() -> None:
    cluster = with_one_refused()
    reason, message = cluster.said("second", "Failed")
    assert reason == "Infeasible"
    assert "second and first need at least" in message
    assert cluster.said("second", "Feasible") == ("PromisedToOthers", message)
    cluster.run(70)
    assert cluster.ended_s("first") <= 60


def test_a_job_that_runs_on_a_node_which_takes_no_new_pods_is_no_part_of_the_proof() -> None:
    cluster = SharedCluster({"n0": 1, "n1": 1})
    cluster.add("away", images=160 * 100, deadline_s=140)
    cluster.run(3)
    cluster.add("here", images=160 * 40, deadline_s=70)
    cluster.run(20)
    node = cluster.jobs["away"].alive[0].node
    assert node != cluster.jobs["here"].alive[0].node
    cluster.nodes[node] = replace(cluster.nodes[node], is_ready=False)
    cluster.run(2)
    # It would fit if `here` ended as soon as it is expected to.
    cluster.add("new", images=160 * 72, deadline_s=103)
    cluster.decide()
    assert cluster.said("new", "Feasible")[0] == "Waiting"
    cluster.edit("new", deadline="99s")
    cluster.decide()
    reason, message = cluster.said("new", "Feasible")
    assert reason == "PromisedToOthers"
    assert "new and here need at least" in message


def test_a_job_that_was_refused_is_tried_again_once_it_is_edited() -> None:
    cluster = with_one_refused()
    _, refused = cluster.said("second", "Failed")
    cluster.edit("second", deadline="80s")
    cluster.run(2)
    again = cluster.status("second")
    assert cluster.said("second", "Failed")[1] not in ("", refused), "a deadline that is too early, too"
    assert again.observed_generation == 2
    cluster.run(2)
    assert cluster.status("second") == again, "once"

    cluster.edit("second", deadline="130s")
    cluster.decide()
    assert cluster.said("second", "Feasible")[0] == "Reserved"
    assert cluster.said("second", "Failed") == ("", "")
    assert cluster.status("second").phase == "Scheduled"
    cluster.run(130)
    assert cluster.ended_s("first") <= 60
    assert cluster.ended_s("second") <= 130


def test_a_refusal_names_the_jobs_of_its_own_namespace_and_counts_the_others() -> None:
    cluster = SharedCluster({"a": 4})
    for name, namespace in (("secret-1", "other"), ("secret-2", "team-b"), ("mine", "team")):
        cluster.add(name, images=8_000, deadline_s=60, namespace=namespace)
        cluster.decide()
    cluster.add("refused", images=22_000, deadline_s=70)
    cluster.decide()
    reason, message = cluster.said("refused", "Feasible")
    assert reason == "PromisedToOthers"
    assert "Within 1m10s refused, mine and 2 jobs of other namespaces need at least" in message
    assert "secret" not in str(cluster.status("refused").document())


def test_a_hopeless_best_effort_job_leaves_devices_to_whoever_comes() -> None:
    cluster = SharedCluster({"a": 8})
    cluster.add("best-effort", images=1_000_000, deadline_s=30, deadline_class="BestEffort")
    cluster.run(30)
    assert len(cluster.jobs["best-effort"].alive) >= 6
    cluster.add("hard", images=20_000, deadline_s=60)
    cluster.add("soft", images=20_000, deadline_s=60, deadline_class="Soft")
    cluster.run(65)
    assert cluster.ended_s("hard") <= 90
    assert cluster.ended_s("soft") <= 90


def test_a_lost_node_under_two_promises_is_made_up_for_where_devices_are_left() -> None:
    cluster = SharedCluster({"a": 4, "b": 4})
    cluster.add("one", images=25_000, deadline_s=100)
    cluster.add("two", images=25_000, deadline_s=110)
    cluster.run(20)
    for running in cluster.jobs.values():
        for worker in running.alive:
            worker.is_lost = worker.node == "b"
    del cluster.nodes["b"]
    cluster.run(100, until=lambda: all(running.is_done for running in cluster.jobs.values()))
    assert cluster.ended_s("one") <= 100
    assert cluster.ended_s("two") <= 110


def test_a_job_that_waits_keeps_its_clock() -> None:
    cluster = SharedCluster({"a": 2})
    cluster.add("hard", images=15_000, deadline_s=60, gpus={"max": 2})
    cluster.decide()
    cluster.add("soft", images=3_000, deadline_s=20, deadline_class="Soft")
    cluster.run(40)
    assert cluster.status("soft").phase in ("Scheduled", "Queued")
    reasons = {found.type: found.reason for found in cluster.status("soft").conditions}
    assert reasons["DeadlineMet"] == "Late"
    cluster.run(60, until=lambda: cluster.jobs["soft"].is_done)
    assert cluster.jobs["soft"].is_done


@pytest.mark.parametrize("deadline_class", ["Hard", "Soft", "Relaxed", "BestEffort"])
def test_one_job_alone_has_the_same_number_of_devices_in_every_class(deadline_class: str) -> None:
    cluster = SharedCluster({"a": 8})
    cluster.add("job", images=30_000, deadline_s=60, deadline_class=deadline_class, confidence=0.95)
    cluster.run(3)
    assert cluster.status("job").plan.gpus == len(cluster.jobs["job"].alive) == 4


def test_a_job_that_goes_on_after_it_was_suspended_takes_nothing_back_that_was_promised_meanwhile() -> None:
    cluster = SharedCluster({"n": 1})
    cluster.add("first", images=160 * 60, deadline_s=100)
    cluster.run(3)
    cluster.add("suspended", images=160 * 60, deadline_s=160)
    cluster.run(3)
    cluster.edit("suspended", suspend=True)
    cluster.run(3)
    cluster.add("promised", images=160 * 60, deadline_s=170)
    cluster.run(3)
    before = cluster.status("promised").plan.windows
    cluster.edit("suspended", suspend=False)
    cluster.run(5)
    assert cluster.said("promised", "Feasible")[0] == "Reserved"
    assert cluster.status("promised").plan.windows == before


def test_nothing_flaps_while_nothing_happens() -> None:
    cluster = SharedCluster({"a": 4})
    cluster.add("first", images=30_000, deadline_s=60)
    cluster.decide()
    cluster.add("second", images=30_000, deadline_s=120)
    cluster.run(1)
    before = cluster.status("second").plan.windows
    for _ in range(40):
        cluster.run(1)
        assert cluster.status("second").plan.windows == before
    assert cluster.now_us == NOW + 41 * SECOND
