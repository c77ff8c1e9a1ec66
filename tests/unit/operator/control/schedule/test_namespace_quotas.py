"""ResourceQuotas on the calendar: they bound what the jobs of a namespace have together, over time."""

from collections.abc import Mapping

import pytest

from dueby_operator.cluster.quotas import Bound, Room
from support.shared_cluster import SharedCluster


class QuotaCluster(SharedCluster):
    """A cluster in which the pods of the namespace team may have so many cores."""

    def __init__(self, cores: Mapping[str, int], *, quota: int, others: int = 0) -> None:
        super().__init__(cores)
        self.quota = quota
        self.others = others

    def _room(self) -> Mapping[str, Room]:
        workers = [worker for running in self.jobs.values() for worker in running.workers]
        there = sum(worker.cpus for worker in workers if not self._is_away(worker))
        bound = Bound(hard=self.quota, left=self.quota - self.others - there, others=self.others)
        return {"team": {"requests.cpu": bound}}


def test_two_hard_jobs_that_only_fit_the_quota_one_after_the_other_are_both_in_time() -> None:
    cluster = QuotaCluster({"a": 8}, quota=4)
    cluster.add("first", images=30_000, deadline_s=60)
    cluster.decide()
    cluster.add("second", images=30_000, deadline_s=120)
    cluster.run(5)
    assert len(cluster.jobs["first"].alive) == 4
    assert cluster.said("second", "Feasible")[0] == "Reserved"
    cluster.run(120, until=lambda: cluster.jobs["second"].is_done)
    assert cluster.ended_s("first") <= 60
    assert cluster.ended_s("second") <= 120
    assert cluster.jobs["second"].most == 4


def test_a_job_gives_way_to_one_of_its_own_namespace_for_room_in_the_quota() -> None:
    cluster = QuotaCluster({"a": 8}, quota=4)
    cluster.add("relaxed", images=200_000, deadline_s=60, deadline_class="Relaxed")
    cluster.run(20)
    assert len(cluster.jobs["relaxed"].alive) == 4
    cluster.add("hard", images=10_000, deadline_s=60)
    cluster.run(60, until=lambda: cluster.jobs["hard"].is_done)
    assert cluster.ended_s("hard") <= 80
    assert "GaveWay" in [replan.reason for replan in cluster.status("relaxed").replans]


def test_a_hard_job_hands_room_in_the_quota_over_to_one_that_is_due_sooner_and_goes_on_later() -> None:
    cluster = QuotaCluster({"a": 8}, quota=4)
    cluster.add("long", images=50_000, deadline_s=200)
    cluster.add("beside", images=50_000, deadline_s=400, namespace="other")
    cluster.run(20)
    there = len(cluster.jobs["beside"].alive)
    assert len(cluster.jobs["long"].alive) + there <= 8
    cluster.add("soon", images=10_000, deadline_s=40)
    cluster.run(380, until=lambda: all(running.is_done for running in cluster.jobs.values()))
    assert cluster.ended_s("soon") <= 60
    assert cluster.ended_s("long") <= 200
    assert cluster.ended_s("beside") <= 400
    assert "GaveWay" in [replan.reason for replan in cluster.status("long").replans]
    assert not cluster.status("beside").replans


@pytest.mark.parametrize("change", [{"quota": 0}, {"others": 4}])
def test_a_quota_that_is_lowered_or_taken_ends_no_worker_and_what_was_reserved_waits(change: dict[str, int]) -> None:
    cluster = QuotaCluster({"a": 8}, quota=4)
    cluster.add("first", images=30_000, deadline_s=60)
    cluster.decide()
    cluster.add("second", images=30_000, deadline_s=120)
    cluster.run(5)
    vars(cluster).update(change)
    cluster.run(3)
    reason, message = cluster.said("second", "Feasible")
    assert reason == "Waiting"
    assert "ResourceQuota" in message
    cluster.run(60, until=lambda: cluster.jobs["first"].is_done)
    assert cluster.ended_s("first") <= 60
    assert not cluster.status("first").replans


def test_other_namespaces_are_not_bound() -> None:
    cluster = QuotaCluster({"a": 8}, quota=0)
    cluster.add("free", images=30_000, deadline_s=60, namespace="other")
    cluster.decide()
    assert cluster.jobs["free"].alive


@pytest.mark.parametrize(
    ("quota", "others"),
    [pytest.param(1, 0, id="too little in all"), pytest.param(4, 3, id="others have the rest, nobody knows how long")],
)
@pytest.mark.parametrize("deadline_class", ["Hard", "Soft"])
def test_nothing_is_promised_that_the_quota_has_no_room_for(quota: int, others: int, deadline_class: str) -> None:
    cluster = QuotaCluster({"a": 8}, quota=quota, others=others)
    cluster.add("large", images=30_000, deadline_s=100, deadline_class=deadline_class)
    cluster.run(5)
    assert len(cluster.jobs["large"].alive) <= 1
    if deadline_class == "Hard":
        reason, message = cluster.said("large", "Feasible")
        assert reason == "Waiting"
        assert "the namespace's ResourceQuota has no room for one" in message
        cluster.quota = 8
        cluster.run(95, until=lambda: cluster.jobs["large"].is_done)
        assert cluster.ended_s("large") <= 100


def test_without_any_room_a_job_waits_and_says_for_what() -> None:
    cluster = QuotaCluster({"a": 8}, quota=2, others=2)
    cluster.add("soft", images=3_000, deadline_s=60, deadline_class="Soft")
    cluster.run(3)
    assert not cluster.jobs["soft"].alive
    reason, message = cluster.said("soft", "Feasible")
    assert reason == "Waiting"
    assert "the namespace's ResourceQuota has no room for one" in message


def test_a_hard_job_whose_latest_start_has_passed_is_tried_until_its_deadline_since_quotas_are_raised() -> None:
    cluster = QuotaCluster({"a": 2}, quota=1)
    cluster.add("hard", images=160 * 60, deadline_s=20)
    cluster.decide()
    reason, message = cluster.said("hard", "Feasible")
    assert reason == "Waiting"
    assert message.endswith("It is tried again at each change until its deadline.")
