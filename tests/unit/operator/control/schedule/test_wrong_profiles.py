"""Jobs whose workers are slower than their profile says: what these show is believed, and few workers come and go."""

from collections.abc import Collection
from dataclasses import replace

import pytest

from dueby_planner.schedule.job import NOISE, Assignment
from support.operator import STEP_US, model, worker
from support.shared_cluster import SharedCluster
from support.shared_cluster_jobs import Running, Working

IMAGES_A_SECOND = 160
Others = list[tuple[str, int, int, str]]
"""Name, images, deadline in seconds, and class of the jobs that come after the first."""


class SlowCluster(SharedCluster):
    """One whose workers take longer for a step than was measured."""

    def __init__(self, cores: int, *, slower: float) -> None:
        super().__init__({"n": cores})
        self._slower = slower

    def _started(self, running: Running, assignment: Assignment, rather: Collection[str]) -> Working:
        worker = super()._started(running, assignment, rather)
        worker.speed = assignment.choice.step_ratio / self._slower
        return worker


def run(slower: float, others: Others) -> SharedCluster:
    """Eight slices, and a Hard job of two minutes that is promised its end on four of them, until all jobs are done."""
    cluster = SlowCluster(8, slower=slower)
    cluster.add("first", images=IMAGES_A_SECOND * 345, deadline_s=120)
    cluster.run(2)
    assert cluster.jobs["first"].most == 4
    for name, seconds, deadline_s, deadline_class in others:
        images = IMAGES_A_SECOND * seconds
        cluster.add(name, images=images, deadline_s=deadline_s, deadline_class=deadline_class)
    cluster.run(600, until=lambda: all(job.is_done for job in cluster.jobs.values()))
    return cluster


ALONE: Others = []
HARD: Others = [("second", 400, 200, "Hard")]
TWO: Others = [("second", 240, 190, "Hard"), ("third", 100, 150, "Soft")]


@pytest.mark.parametrize("slower", [1.5, 2.0, 3.0])
@pytest.mark.parametrize("others", [ALONE, HARD, TWO], ids=["alone", "a Hard job", "a Hard and a Soft job"])
def test_help_comes_at_once_and_nobody_is_stopped_for_it(slower: float, others: Others) -> None:
    cluster = run(slower, others)
    changes = cluster.changes("first")
    assert changes[0][0] == "Lagging"
    assert len(changes) <= 3
    assert all(after > before for _, before, after in changes)


def test_a_job_with_a_wrong_profile_has_all_devices_that_help_at_the_first_change() -> None:
    assert run(2.0, ALONE).ended_s("first") < 120
    assert run(3.0, ALONE).changes("first") == [("Lagging", 4, 8)]


def test_a_profile_that_is_right_changes_nothing() -> None:
    assert not run(1.0, TWO).changes("first")


@pytest.mark.parametrize(
    ("steps", "ratio", "is_believed"),
    [
        pytest.param(100, 3.0, True, id="far from the profile"),
        pytest.param(100, 0.5, True, id="faster than the profile says"),
        pytest.param(100, 1 + NOISE / 2, False, id="noise"),
        pytest.param(3, 3.0, False, id="a few steps"),
    ],
)
def test_what_workers_show_is_believed(steps: int, ratio: float, is_believed: bool) -> None:
    workers = [worker(f"w{number}", batches=steps, step_us=round(STEP_US * ratio)) for number in range(2)]
    found = model(revision=1, workers=(*workers, worker("w2", state="starting", step_us=None)))
    expected = round(STEP_US * ratio) if is_believed else STEP_US
    assert found.step_us(found.workers[2]) == pytest.approx(expected)
    assert {choice.latency_us for choice in found.pool({"cpu-1": 3}).groups[0].choices} >= {expected}


def test_a_worker_that_was_started_with_what_others_had_shown_is_no_news() -> None:
    believing = replace(worker().assignment, choice=worker().assignment.choice.at_ratio(3.0))
    found = model(revision=1, workers=(worker(batches=100, step_us=3 * STEP_US, assignment=believing),))
    assert found.shown_ratios == {"cpu-1": pytest.approx(3.0)}
    assert {choice.latency_us for choice in found.pool({"cpu-1": 3}).groups[0].choices} >= {3 * STEP_US}
