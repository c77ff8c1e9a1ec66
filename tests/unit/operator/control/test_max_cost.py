"""spec.maxCost in a cluster: refused at its start, the cheapest devices, and help that is left out for money.

A worker does 160 images a second once it is warm. A device costs 1 EUR a second.
"""

import pytest

from dueby_api.units import parse_time_us
from dueby_planner.model.cost import Price, Tariff
from support.decisions import NOW
from support.operator import SECOND
from support.shared_cluster import SharedCluster

TARIFF = Tariff(currency="EUR", prices={"cpu-1": Price(hourly=3_600_000_000)})
# Of 100 device-seconds, beside its starts.
IMAGES = 16_000


def cluster_with(
    max_cost: str, *, tariff: Tariff | None = TARIFF, deadline_s: int = 70, **spec: object
) -> SharedCluster:
    """Return a cluster of four devices with one job, after some passes."""
    cluster = SharedCluster({"n": 4}, tariff=tariff)
    cluster.add("j", images=IMAGES, deadline_s=deadline_s, maxCost=max_cost, **spec)  # type: ignore[arg-type]
    cluster.run(3)
    return cluster


@pytest.mark.parametrize("deadline_class", ["Hard", "Soft", "Relaxed", "BestEffort"])
def test_a_job_whose_cheapest_plan_costs_too_much_is_refused_with_what_would_do(deadline_class: str) -> None:
    cluster = cluster_with("50 EUR", deadline_class=deadline_class)
    assert cluster.said("j", "Failed")[0] == "Infeasible"
    reason, message = cluster.said("j", "Feasible")
    assert reason == "OverMaxCost"
    assert "which is proved to be the least; spec.maxCost is 50.00 EUR" in message
    assert not cluster.jobs["j"].workers
    alternatives = cluster.status("j").alternatives
    assert alternatives.max_cost == alternatives.cost_bound
    assert alternatives.earliest_deadline is None
    assert "no later deadline is affordable" in message
    cluster.edit("j", max_cost=alternatives.max_cost)
    cluster.run(70)
    assert cluster.ended_s("j") <= 70
    assert float(cluster.status("j").cost.removesuffix(" EUR")) <= 113


@pytest.mark.parametrize(
    ("max_cost", "tariff", "sentence"),
    [
        pytest.param("500 EUR", None, "spec.maxCost: needs prices", id="without prices"),
        pytest.param("500 USD", TARIFF, "spec.maxCost: is in USD, and the prices are in EUR", id="in another currency"),
        pytest.param(
            "500 EUR",
            Tariff(currency="EUR", prices={"other": Price(hourly=1)}),
            "cpu-1 has none",
            id="without its price",
        ),
    ],
)
def test_a_limit_that_cannot_be_judged_is_refused(max_cost: str, tariff: Tariff | None, sentence: str) -> None:
    cluster = cluster_with(max_cost, tariff=tariff)
    assert sentence in cluster.said("j", "Failed")[1]
    assert not cluster.jobs["j"].workers


def test_help_that_costs_too_much_is_left_out_and_comes_once_the_limit_is_raised() -> None:
    cluster = cluster_with("125 EUR", deadline_class="Soft")
    (first, second) = cluster.jobs["j"].workers
    cluster.run(10)
    first.speed = second.speed = 0.5
    cluster.run(20)
    assert cluster.said("j", "OnTrack")[0] == "HelpOverMaxCost"
    assert "spec.maxCost is 125.00 EUR" in cluster.said("j", "OnTrack")[1]
    assert len(cluster.jobs["j"].workers) == 2
    cluster.edit("j", max_cost="1000 EUR")
    cluster.run(5)
    assert len(cluster.jobs["j"].workers) > 2
    assert cluster.said("j", "OnTrack")[0] != "HelpOverMaxCost"


def test_a_job_that_lost_all_its_workers_gets_others_only_within_its_limit() -> None:
    cluster = cluster_with("110 EUR", deadline_class="Soft", deadline_s=300)
    (worker,) = cluster.jobs["j"].workers
    cluster.run(20)
    worker.is_lost = True
    cluster.run(10)
    assert cluster.jobs["j"].workers == [worker]
    assert cluster.said("j", "OnTrack")[0] == "HelpOverMaxCost"
    cluster.edit("j", max_cost="130 EUR")
    cluster.run(200, until=lambda: cluster.jobs["j"].is_over)
    assert cluster.jobs["j"].is_over
    assert float(cluster.status("j").cost.removesuffix(" EUR")) <= 130


def test_a_later_deadline_that_is_affordable_is_said_and_is_enough() -> None:
    cluster = cluster_with("107 EUR", deadline_class="Hard")
    alternatives = cluster.status("j").alternatives
    assert alternatives.earliest_deadline
    later_s = (parse_time_us(alternatives.earliest_deadline) - NOW) // SECOND
    assert 70 < later_s <= 110
    # It is edited some seconds after it was refused.
    cluster.edit("j", deadline=f"{later_s + 5}s")
    cluster.run(120)
    assert cluster.ended_s("j") <= later_s + 5
    assert float(cluster.status("j").cost.removesuffix(" EUR")) <= 107


def paused_cluster(max_cost: str) -> SharedCluster:
    """Return a cluster whose one device is away from 40 s to 60 s, and a job that starts on it twice to be in time."""
    cluster = SharedCluster({"n": 1}, tariff=TARIFF)
    cluster.take_away("n", 40, 60)
    cluster.add("j", images=9_000, deadline_s=100, deadline_class="Soft", maxCost=max_cost)
    cluster.run(3)
    return cluster


def test_a_new_job_waits_if_its_place_costs_more_than_its_plan_alone() -> None:
    cluster = paused_cluster("65 EUR")
    reason, message = cluster.said("j", "Feasible")
    assert (reason, cluster.jobs["j"].workers) == ("Waiting", [])
    assert "spec.maxCost is 65.00 EUR. The job waits for cheaper ones." in message
    cluster.run(140, until=lambda: cluster.jobs["j"].is_over)
    assert cluster.ended_s("j") > 100
    assert float(cluster.status("j").cost.removesuffix(" EUR")) <= 65


def test_what_is_reserved_for_a_job_is_given_up_once_it_costs_too_much() -> None:
    cluster = paused_cluster("70 EUR")
    (worker,) = cluster.jobs["j"].workers
    cluster.run(20)
    worker.speed = 0.5
    cluster.run(60)
    assert cluster.jobs["j"].workers == [worker]
    assert cluster.said("j", "OnTrack")[0] == "HelpOverMaxCost"
    assert not cluster.status("j").plan.windows
    cluster.edit("j", max_cost="100 EUR")
    cluster.run(60, until=lambda: cluster.jobs["j"].is_over)
    assert float(cluster.status("j").cost.removesuffix(" EUR")) > 70
