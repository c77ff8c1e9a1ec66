"""Budgets of namespaces in a cluster: refused, kept waiting until the window has moved on, and help that is left out.

A worker does 160 images a second once it is warm. A device costs 1 EUR a second.
"""

from dataclasses import replace
from typing import Any

import pytest

from dueby_api.budgets import NamespaceBudget
from dueby_operator import paths
from dueby_operator.control.clear import clear
from dueby_planner.model.cost import Price, Tariff
from support.operator import SECOND
from support.shared_cluster import SharedCluster

TARIFF = Tariff(currency="EUR", prices={"cpu-1": Price(hourly=3_600_000_000)})
# Of 50 device-seconds, beside its starts.
IMAGES = 8_000


def cluster_with(budget: NamespaceBudget, *, devices: int = 8, namespace: str = "team") -> SharedCluster:
    """Return a cluster in which a namespace has a budget."""
    return SharedCluster({"n": devices}, tariff=TARIFF, budgets={namespace: budget})


def add(cluster: SharedCluster, name: str, **spec: Any) -> None:
    """Add a job that costs about 56 EUR, and let some passes go by."""
    cluster.add(name, **{"images": IMAGES, "deadline_s": 100, **spec})
    cluster.run(3)


def end(cluster: SharedCluster, name: str) -> None:
    """Let a job end."""
    cluster.run(200, until=lambda: cluster.jobs[name].is_over)
    assert cluster.jobs[name].is_over


MONEY = NamespaceBudget(window="100s", cost="80 EUR")
HOURS = NamespaceBudget(window="100s", device_hours=80 / 3600)


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        pytest.param(MONEY, "(budgets.team.cost) is 80.00 EUR in 100s", id="of money"),
        pytest.param(HOURS, "(budgets.team.deviceHours) is 0.0222 device-hours in 100s", id="of device time"),
    ],
)
class TestABudget:
    def test_a_hard_job_is_refused_and_told_when_it_is_enough(self, budget: NamespaceBudget, words: str) -> None:
        cluster = cluster_with(budget)
        add(cluster, "first")
        assert cluster.jobs["first"].workers
        add(cluster, "second")
        reason, message = cluster.said("second", "Feasible")
        assert (reason, cluster.said("second", "Failed")[0]) == ("OverBudget", "Infeasible")
        assert words in message
        assert "Enough of it is free at " in message
        assert not cluster.jobs["second"].workers

    def test_a_soft_job_waits_until_the_window_has_moved_on(self, budget: NamespaceBudget, words: str) -> None:
        cluster = cluster_with(budget)
        add(cluster, "first")
        add(cluster, "second", deadline_class="Soft", deadline_s=300)
        reason, message = cluster.said("second", "Feasible")
        assert reason == "Waiting"
        assert words in message
        cluster.run(5)
        assert cluster.said("second", "Feasible")[1] == message, "a status is not written in each pass"
        end(cluster, "first")
        cluster.run(90)
        assert not cluster.jobs["second"].workers
        cluster.run(20)
        assert cluster.jobs["second"].workers

    def test_jobs_of_one_pass_share_what_is_left(self, budget: NamespaceBudget, words: str) -> None:
        cluster = cluster_with(budget)
        cluster.add("first", images=IMAGES, deadline_s=100)
        cluster.add("second", images=IMAGES, deadline_s=110)
        cluster.run(1)
        assert cluster.jobs["first"].workers
        assert cluster.said("second", "Feasible")[0] == "OverBudget"
        assert not cluster.jobs["second"].workers

    def test_another_namespace_is_free_of_it(self, budget: NamespaceBudget, words: str) -> None:
        cluster = cluster_with(budget, namespace="other")
        add(cluster, "first")
        add(cluster, "second")
        assert cluster.jobs["second"].workers

    def test_what_the_whole_budget_is_too_little_for_is_refused(self, budget: NamespaceBudget, words: str) -> None:
        cluster = cluster_with(budget)
        add(cluster, "large", images=4 * IMAGES, deadline_class="BestEffort", deadline_s=1_000)
        reason, message = cluster.said("large", "Feasible")
        assert reason == "OverBudget"
        assert "more than the whole budget" in message

    def test_what_is_reserved_counts(self, budget: NamespaceBudget, words: str) -> None:
        cluster = cluster_with(budget, devices=1)
        add(cluster, "elsewhere", namespace="elsewhere", deadline_s=65)
        add(cluster, "reserved", deadline_s=150)
        assert cluster.said("reserved", "Feasible")[0] == "Reserved"
        add(cluster, "late", deadline_s=400)
        assert cluster.said("late", "Feasible")[0] == "OverBudget"
        end(cluster, "reserved")
        assert cluster.ended_s("reserved") <= 150

    @pytest.mark.parametrize("ran_s", [pytest.param(40, id="while it runs"), pytest.param(80, id="once it is over")])
    def test_what_a_deleted_job_used_counts(self, budget: NamespaceBudget, words: str, ran_s: int) -> None:
        cluster = cluster_with(budget)
        add(cluster, "first")
        cluster.run(ran_s)
        del cluster.jobs["first"]
        add(cluster, "second", deadline_class="Soft", deadline_s=300)
        assert words in cluster.said("second", "Feasible")[1]
        cluster.run(130)
        assert cluster.jobs["second"].workers

    def test_help_is_left_out_once_it_is_spent(self, budget: NamespaceBudget, words: str) -> None:
        cluster = cluster_with(budget)
        add(cluster, "slow", deadline_class="Soft")
        (worker,) = cluster.jobs["slow"].workers
        cluster.run(10)
        worker.speed = 0.3
        cluster.run(20)
        reason, message = cluster.said("slow", "OnTrack")
        assert reason == "HelpOverBudget"
        assert words in message
        assert cluster.jobs["slow"].workers == [worker]


def test_a_job_of_its_own_limit_is_told_of_the_narrower_one() -> None:
    cluster = cluster_with(MONEY)
    add(cluster, "poor", maxCost="20 EUR")
    assert cluster.said("poor", "Feasible")[0] == "OverMaxCost"
    add(cluster, "first")
    add(cluster, "second", maxCost="70 EUR")
    assert cluster.said("second", "Feasible")[0] == "OverBudget"


@pytest.mark.parametrize(
    ("window_s", "spent", "is_kept"),
    [
        pytest.param(0, True, False, id="without a budget"),
        pytest.param(50, True, False, id="after the window"),
        pytest.param(200, True, True, id="in the window"),
        pytest.param(200, False, False, id="of which nothing was used"),
    ],
)
def test_a_finished_job_is_kept_while_it_counts(window_s: int, spent: bool, is_kept: bool) -> None:
    cluster = cluster_with(MONEY)
    add(cluster, "j")
    end(cluster, "j")
    job = cluster.jobs["j"].snapshot
    if not spent:
        job = replace(job, status=job.status.replace(spent=None))
    ended_us = cluster.jobs["j"].ended_us or 0
    deletes = clear(job, now_us=ended_us + 100 * SECOND, time_to_live_us=10 * SECOND, window_us=window_s * SECOND)
    assert (paths.jobs_path("team", "j") not in {delete.path for delete in deletes}) == is_kept
