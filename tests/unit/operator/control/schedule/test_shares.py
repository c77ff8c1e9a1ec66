"""The chart's promises: how much of a class one namespace is promised, until when, and in which deadline classes."""

from typing import Any

import pytest

from dueby_planner.deadline_classes import Promises
from dueby_planner.schedule.devices import share_of
from support.shared_cluster import SharedCluster

DAY_S = 86_400


class PromisesCluster(SharedCluster):
    """A cluster whose administrator has limited what is promised."""

    def __init__(self, cores: int, **promises: Any) -> None:
        super().__init__({"a": cores}, promises=Promises(**promises))


def test_hard_jobs_of_one_namespace_have_their_share_and_leave_the_rest_to_others() -> None:
    cluster = PromisesCluster(8, max_share=0.5)
    for number in range(3):
        cluster.add(f"many-{number}", images=30_000, deadline_s=300 + number)
    cluster.run(5)
    assert sum(len(cluster.jobs[f"many-{number}"].alive) for number in range(3)) <= 4
    cluster.add("other", images=30_000, deadline_s=60, namespace="others")
    cluster.run(2)
    assert cluster.said("other", "Feasible")[0] == "Planned"
    cluster.run(300, until=lambda: all(running.is_done for running in cluster.jobs.values()))
    assert cluster.ended_s("other") <= 65
    assert all(cluster.ended_s(f"many-{number}") <= 302 for number in range(3))


def test_a_soft_job_has_more_than_the_share() -> None:
    cluster = PromisesCluster(8, max_share=0.5)
    cluster.add("soft", images=50_000, deadline_s=60, deadline_class="Soft")
    cluster.run(5)
    assert len(cluster.jobs["soft"].alive) > 4


@pytest.mark.parametrize(
    ("promises", "images", "deadline_s", "says"),
    [
        pytest.param(
            {"max_share": 0.5},
            50_000,
            60,
            "Hard jobs of one namespace are promised at most 50 % of a device class",
            id="more devices than the share",
        ),
        pytest.param(
            {"horizon": "48h"},
            160 * 3 * DAY_S * 8,
            30 * DAY_S,
            "Nothing is promised beyond 48h00m from now",
            id="an end beyond the horizon",
        ),
        pytest.param(
            {"classes": {"*": ("Soft", "BestEffort"), "research": ("Hard",)}},
            1000,
            600,
            "Jobs of the namespace team may not be Hard",
            id="a class that others may use",
        ),
    ],
)
def test_a_refusal_says_by_which_value(promises: dict[str, Any], images: int, deadline_s: int, says: str) -> None:
    cluster = PromisesCluster(8, **promises)
    cluster.add("hard", images=images, deadline_s=deadline_s)
    cluster.decide()
    reason, message = cluster.said("hard", "Feasible")
    assert (reason, cluster.said("hard", "Failed")) == ("NotPromised", ("Infeasible", message))
    assert message.startswith(says)
    unlimited = SharedCluster({"a": 8})
    unlimited.add("hard", images=images, deadline_s=deadline_s)
    unlimited.decide()
    assert unlimited.said("hard", "Feasible")[0] == "Planned"


def test_nothing_is_reserved_beyond_the_horizon_and_the_job_waits() -> None:
    cluster = PromisesCluster(1, horizon="1h")
    cluster.add("first", images=160 * 3000, deadline_s=3300)
    cluster.run(2)
    cluster.add("second", images=160 * 3000, deadline_s=3 * 3600)
    cluster.decide()
    reason, message = cluster.said("second", "Feasible")
    assert reason == "Waiting"
    assert "Nothing is promised beyond 1h00m from now" in message
    assert not cluster.status("second").plan
    # What is promised stays so, whatever is allowed later.
    before = cluster.status("first").plan
    cluster.promises = Promises(horizon="1m")
    cluster.run(2)
    assert cluster.status("first").plan == before


def test_jobs_that_run_in_a_class_that_is_forbidden_later_go_on() -> None:
    cluster = PromisesCluster(4)
    cluster.add("hard", images=10_000, deadline_s=300)
    cluster.run(2)
    cluster.promises = Promises(classes={"*": ("Soft",)})
    cluster.run(100, until=lambda: cluster.jobs["hard"].is_done)
    assert cluster.ended_s("hard") <= 300


@pytest.mark.parametrize(("devices", "share", "expected"), [(8, 0.5, 4), (10, 0.3, 3), (3, 0.5, 1), (2, 0.1, 1)])
def test_a_share_is_whole_devices_and_one_at_least(devices: int, share: float, expected: int) -> None:
    assert share_of(devices, Promises(max_share=share)) == expected
