"""What a job is told that has no place in the calendar: why, and what would help."""

from dataclasses import replace

import pytest

from dueby_api.units import parse_time_us
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
    advised_us = parse_time_us(alternatives.earliest_deadline)
    assert advised_us - cluster.now_us <= (11 * 60 + 31) * SECOND
    cluster.add("as-advised", images=160 * 60, deadline_s=(advised_us - cluster.now_us) // SECOND)
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


def test_beside_pods_that_are_no_jobs_a_job_is_told_all_that_helps_too() -> None:
    cluster = SharedCluster({"n": 2})
    theirs = cluster.nodes["n"]
    cluster.nodes["n"] = replace(theirs, free={**theirs.free, "cpu": 1.0})
    cluster.add("large", images=160 * 6000, deadline_s=40)
    cluster.decide()
    assert "Do one of: move the deadline to" in cluster.said("large", "Feasible")[1]
    assert cluster.status("large").alternatives.largest_images


@pytest.mark.parametrize(
    ("gpus", "ways"),
    [
        pytest.param(
            {"maxIterations": 3},
            "can do at most 126 of 9,600 images at confidence 0.95, however long they have. Do one of: lower images to "
            "126; add 151 more of cpu-1; raise gpus.maxIterations to 302.",
            id="too few iterations",
        ),
        pytest.param(
            {"reserve": 2},
            "can do at most 0 of 9,600 images at confidence 0.95, however long they have. Do one of: add 1 more of "
            "cpu-1; lower gpus.reserve to 1.",
            id="no device beside the reserve",
        ),
    ],
)
@pytest.mark.parametrize("kind", ["Soft", "Relaxed", "BestEffort"])
def test_a_job_that_idle_devices_could_never_do_is_told_so_and_not_that_others_have_them(
    kind: str, gpus: dict[str, int], ways: str
) -> None:
    cluster = SharedCluster({"a": 1, "b": 1})
    cluster.take_away("b", 50_000)  # its device is of the same class, and apart from the other one
    cluster.add("never", images=160 * 60, deadline_s=600, deadline_class=kind, gpus=gpus)
    cluster.decide()
    reason, message = cluster.said("never", "Feasible")
    assert reason == "Waiting"
    assert "Other jobs" not in message
    assert message.endswith(f"that the job may use {ways} The job waits.")


@pytest.mark.parametrize(
    ("at_s", "says"),
    [
        pytest.param(20, "would be enough. It goes on as soon as there are devices for it.", id="before its deadline"),
        pytest.param(100, "Other jobs have the devices, or are promised them. The job waits for one.", id="after it"),
    ],
)
def test_a_hard_job_that_had_workers_waits_for_devices_however_late_it_is(at_s: int, says: str) -> None:
    begun = started(deadlineClass="Hard").once_seen()
    busy = replace(ONE, free={**ONE.free, "cpu": 0.0})
    found = look(begun.job(worker_jobs=(), pods=()), now_us=NOW + at_s * SECOND, nodes={"n": busy})
    assert found.said("Feasible") == ("Unknown", "Waiting")
    assert found.message("Feasible").endswith(says)


def test_a_hard_job_that_can_wait_is_told_until_when() -> None:
    cluster = busy_for_ten_minutes()
    cluster.add("waits", images=160 * 60, deadline_s=80)
    cluster.decide()
    assert cluster.said("waits", "Feasible")[1].endswith("at each change until 22:13:37 UTC, its latest start.")
