"""A single slow reading moves no job, whoever else waits for a place in the same pass."""

import pytest

from support.shared_cluster import SharedCluster, cluster_with_a_promise


def test_a_new_job_does_not_get_what_was_promised_to_another_by_one_reading() -> None:
    cluster = cluster_with_a_promise()
    cluster.run(10)
    before = cluster.status("promised").plan.windows
    cluster.jobs["first"].workers[0].speed = 0.7
    cluster.add("new", images=160 * 60, deadline_s=177)
    cluster.decide()
    cluster.jobs["first"].workers[0].speed = 1.0
    assert cluster.status("promised").plan.windows == before
    assert cluster.status("new").phase == "Queued"
    cluster.run(3)
    assert cluster.status("promised").plan.windows == before
    assert cluster.said("new", "Feasible")[0] == "PromisedToOthers"
    cluster.run(300, until=lambda: all(job.is_over for job in cluster.jobs.values()))
    assert cluster.ended_s("promised") <= 163


@pytest.mark.parametrize("passes", [10, 11])
def test_a_late_job_that_waits_does_not_make_a_reading_count_at_once(passes: int) -> None:
    cluster = cluster_with_a_promise()
    cluster.add("late", images=160 * 100, deadline_s=30, deadline_class="Soft")
    cluster.run(passes)
    before = cluster.status("promised").plan.windows
    cluster.jobs["first"].workers[0].speed = 0.7
    cluster.decide()
    assert cluster.status("promised").plan.windows == before


def test_a_job_whose_windows_are_kept_with_a_little_less_is_in_time() -> None:
    """It was given 3 % more than is left, and needs no more than what is left."""
    cluster = SharedCluster({"n": 2})
    cluster.add("first", images=160 * 60, deadline_s=70)
    cluster.run(3)
    cluster.add("second", images=160 * 120, deadline_s=102)
    cluster.run(20)
    windows = cluster.status("second").plan.windows
    assert windows, "of the device that `first` has"
    for speed in (1.0, 0.99, 1.0):
        cluster.jobs["second"].workers[0].speed = speed
        cluster.run(1)
        assert cluster.status("second").plan.windows == windows
        assert cluster.said("second", "OnTrack")[0] == "InTime"
    cluster.run(100, until=lambda: cluster.jobs["second"].is_over)
    assert cluster.ended_s("second") <= 105


def test_nobody_hands_a_device_over_because_of_one_reading() -> None:
    cluster = SharedCluster({"n": 2})
    cluster.add("first", images=160 * 60, deadline_s=100)
    cluster.add("long", images=160 * 150, deadline_s=600)
    cluster.run(3)
    cluster.add("promised", images=160 * 80, deadline_s=160)
    cluster.run(17)
    assert [len(cluster.jobs[name].alive) for name in ("first", "long", "promised")] == [1, 1, 0]
    before = cluster.status("promised").plan.windows
    cluster.jobs["first"].workers[0].speed = 0.5
    cluster.decide()
    assert cluster.status("promised").plan.windows == before
    assert not cluster.changes("long")
    # What stays so slow is no noise.
    cluster.run(3)
    assert cluster.changes("long") == [("GaveWay", 1, 0)]
    cluster.run(600, until=lambda: all(job.is_over for job in cluster.jobs.values()))
    assert cluster.ended_s("promised") <= 163
    assert cluster.ended_s("long") <= 600
