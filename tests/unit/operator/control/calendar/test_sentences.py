"""What a job is told that has no place in the calendar: why, and what would help."""

from dataclasses import replace

import pytest

from support.decisions import NOW, SECOND, look, node, started
from support.shared_cluster import SharedCluster

ONE = node(cpus=1)


def busy_for_ten_minutes() -> SharedCluster:
    """One core, which a Hard job has."""
    cluster = SharedCluster({"n": 1})
    cluster.add("first", images=160 * 600, deadline_s=700)
    cluster.run(3)
    return cluster


def test_a_job_that_is_too_large_even_alone_is_advised_beside_the_hard_jobs_that_have_the_devices() -> None:
    cluster = busy_for_ten_minutes()
    cluster.add("large", images=160 * 60, deadline_s=40)
    cluster.decide()
    reason, message = cluster.said("large", "Feasible")
    assert reason == "DeadlineTooEarly"
    assert "A deadline of 11m31s from now or 2 more cpu-1 would be enough." in message
    assert cluster.said("large", "Failed") == ("Infeasible", message)
    alternatives = cluster.status("large").alternatives
    assert alternatives.extra_gpus == {"cpu-1": 2}
    assert alternatives.largest_images is None, "it is sought on idle devices only"
    cluster.add("as-advised", images=160 * 60, deadline_s=11 * 60 + 31)
    cluster.decide()
    assert cluster.said("as-advised", "Feasible")[0] == "Reserved"


def test_a_job_that_is_too_large_for_idle_devices_is_told_all_that_helps() -> None:
    cluster = SharedCluster({"n": 1})
    cluster.add("large", images=160 * 60, deadline_s=40)
    cluster.decide()
    reason, message = cluster.said("large", "Feasible")
    assert reason == "DeadlineTooEarly"
    assert "move the deadline to 1m06s from now; lower images to 5,529" in message
    assert cluster.status("large").alternatives.largest_images == 5529


@pytest.mark.parametrize("at_s", [20, 100], ids=["after its latest start", "after its deadline"])
def test_a_hard_job_that_had_workers_goes_on_as_soon_as_there_are_devices(at_s: int) -> None:
    begun = started(deadlineClass="Hard").once_seen()
    busy = replace(ONE, free={**ONE.free, "cpu": 0.0})
    found = look(begun.job(worker_jobs=(), pods=()), now_us=NOW + at_s * SECOND, nodes={"n": busy})
    assert found.said("Feasible") == ("Unknown", "Waiting")
    assert found.message("Feasible").endswith("It goes on as soon as there are devices for it.")


def test_a_hard_job_that_can_wait_is_told_until_when() -> None:
    cluster = busy_for_ten_minutes()
    cluster.add("waits", images=160 * 60, deadline_s=80)
    cluster.decide()
    assert cluster.said("waits", "Feasible")[1].endswith("at each change until 22:13:37 UTC, its latest start.")
