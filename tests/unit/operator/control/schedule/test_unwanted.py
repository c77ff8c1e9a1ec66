"""Which devices a job gives back, and which it keeps although it could do without."""

import pytest

from support.shared_cluster import SharedCluster


@pytest.mark.parametrize("cores", [4, 6])
def test_a_job_that_is_ahead_gives_a_device_back_only_while_none_is_idle(cores: int) -> None:
    cluster = SharedCluster({"a": cores})
    cluster.add("fast", images=100_000, deadline_s=200)
    cluster.run(10)
    for worker in cluster.jobs["fast"].alive:
        worker.speed = 2.0
    cluster.run(10)
    assert cluster.changes("fast") == ([("Ahead", 4, 3)] if cores == 4 else [])


@pytest.mark.parametrize(("deadline_s", "is_helped"), [(400, False), (30, True)])
def test_a_job_that_is_ahead_gives_a_device_back_for_one_that_is_late_without_it(
    deadline_s: int, is_helped: bool
) -> None:
    cluster = SharedCluster({"a": 4})
    cluster.add("fast", images=100_000, deadline_s=200)
    cluster.run(10)
    cluster.add("waiting", images=10_000, deadline_s=deadline_s, deadline_class="Soft")
    cluster.decide()
    assert cluster.status("waiting").phase == "Scheduled"
    for worker in cluster.jobs["fast"].alive:
        worker.speed = 2.0
    cluster.run(10)
    assert cluster.changes("fast") == ([("Ahead", 4, 3)] if is_helped else [])
    cluster.run(400, until=lambda: all(job.is_done for job in cluster.jobs.values()))
    assert cluster.ended_s("fast") <= 200
    assert cluster.ended_s("waiting") <= 400


def test_a_job_that_is_edited_to_need_fewer_devices_has_fewer() -> None:
    cluster = SharedCluster({"a": 6})
    cluster.add("edited", images=100_000, deadline_s=200)
    cluster.run(20)
    cluster.edit("edited", deadline="900s")
    cluster.run(5)
    assert cluster.changes("edited") == [("Edited", 4, 3)]
