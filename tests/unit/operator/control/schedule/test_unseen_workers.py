"""A promise on devices of a running job is kept while nothing is decided about that job, or nothing is known of it."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from dueby_operator.model.job_snapshot import JobSnapshot
from support.decisions import SECOND
from support.operator import profile
from support.shared_cluster import SharedCluster, slowly_started
from support.shared_cluster_jobs import Running

FIRST = slowly_started(profile())
OTHERS = FIRST.replace(
    metadata=FIRST.metadata.replace(name="others"),
    spec=FIRST.spec.replace(model=FIRST.spec.model.replace(name="resnet18")),
)


class Cluster(SharedCluster):
    """A device on which one Hard job runs; it is promised to another, which comes after it."""

    def __init__(self) -> None:
        super().__init__({"n": 1})
        self.profiles = (FIRST, OTHERS)
        self.is_unreadable = False
        self.add("first", images=160 * 60, deadline_s=100)
        self.run(3)
        self.add("promised", images=160 * 60, deadline_s=160, model={"name": "resnet18"})
        self.run(10)
        assert self.said("promised", "Feasible")[0] == "Reserved"

    def _seen(self, running: Running) -> JobSnapshot:
        seen = super()._seen(running)
        is_unseen = self.is_unreadable and seen.name == "first"
        return replace(seen, unreadable="its queue can't be read", workers=()) if is_unseen else seen


def rest(cluster: Cluster) -> None:
    running = cluster.jobs["first"]
    memory = replace(running.snapshot.memory, faults=1, retry_us=cluster.now_us + 6 * SECOND)
    running.snapshot = replace(running.snapshot, memory=memory)


def lose_sight(cluster: Cluster) -> None:
    cluster.is_unreadable = True


def delete_profile(cluster: Cluster) -> None:
    cluster.profiles = (OTHERS,)


@pytest.mark.parametrize("happen", [rest, lose_sight, delete_profile], ids=lambda each: each.__name__)
def test_a_promise_behind_a_running_job_is_kept(happen: Callable[[Cluster], None]) -> None:
    cluster = Cluster()
    before = cluster.status("promised").plan.windows
    happen(cluster)
    for _ in range(3):
        cluster.run(2, every_s=2)
        assert cluster.status("promised").plan.windows == before
    cluster.add("rush", images=160 * 70, deadline_s=135, model={"name": "resnet18"})
    cluster.run(4)
    assert not cluster.status("rush").plan
    cluster.is_unreadable, cluster.profiles = False, (FIRST, OTHERS)
    cluster.run(300, until=lambda: all(job.is_over for job in cluster.jobs.values()))
    assert cluster.ended_s("promised") <= 163


def test_a_running_job_keeps_its_later_windows_while_its_profile_is_gone() -> None:
    cluster = SharedCluster({"a": 4})
    cluster.profiles = (FIRST, OTHERS)
    cluster.add("long", images=90_000, deadline_s=300)
    cluster.run(20)
    cluster.add("rush", images=30_000, deadline_s=80, model={"name": "resnet18"})
    cluster.run(15)
    before = cluster.status("long").plan.windows
    assert before
    cluster.profiles = (OTHERS,)
    cluster.add("new", images=90_000, deadline_s=300, model={"name": "resnet18"})
    cluster.run(3)
    assert cluster.status("long").plan.windows == before
    cluster.profiles = (FIRST, OTHERS)
    cluster.run(300, until=lambda: cluster.jobs["long"].is_over)
    assert cluster.ended_s("long") <= 300
