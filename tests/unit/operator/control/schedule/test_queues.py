"""Jobs in Kueue queues on the calendar: quotas bound what they have together, over time."""

from support.kueue_cluster import KueueCluster, Share

NODES = {"a": 4, "b": 4}


def test_two_hard_jobs_in_a_queue_that_only_fit_one_after_the_other_are_both_in_time() -> None:
    cluster = KueueCluster(NODES, night=Share(cores=4))
    cluster.add("first", images=30_000, deadline_s=60, queueName="night")
    cluster.decide()
    cluster.add("second", images=30_000, deadline_s=120, queueName="night")
    cluster.run(5)
    assert cluster.status("second").phase == "Scheduled"
    assert cluster.said("second", "Feasible")[0] == "Reserved"
    assert not cluster.queued("second")
    # None of its workers can be stopped before the others.
    assert len({window.to_time for window in cluster.status("second").plan.windows}) == 1
    cluster.run(120, until=lambda: cluster.jobs["second"].is_done)
    assert cluster.ended_s("first") <= 60
    assert cluster.ended_s("second") <= 120


def test_a_job_outside_of_the_queue_is_not_bound_by_its_quota() -> None:
    cluster = KueueCluster(NODES, night=Share(cores=4))
    cluster.add("inside", images=30_000, deadline_s=60, queueName="night")
    cluster.decide()
    cluster.add("outside", images=30_000, deadline_s=60)
    cluster.run(60, until=lambda: all(job.is_done for job in cluster.jobs.values()))
    assert len(cluster.jobs["inside"].workers) == 4
    assert cluster.ended_s("outside") <= 60


def test_what_a_cluster_queue_may_borrow_is_its_limit() -> None:
    cluster = KueueCluster(NODES, night=Share(cores=2, cohort="all", borrows=1), day=Share(cores=6, cohort="all"))
    cluster.add("three", images=20_000, deadline_s=60, queueName="night")
    cluster.decide()
    assert len(cluster.jobs["three"].alive) == 3
    cluster.add("four", images=29_000, deadline_s=60, queueName="night")
    cluster.decide()
    assert cluster.said("four", "Feasible")[0] == "DeadlineTooEarly"


def test_what_others_of_the_cohort_use_is_not_borrowed() -> None:
    cluster = KueueCluster(NODES, night=Share(cores=2, cohort="all"), day=Share(cores=6, cohort="all", others=6))
    cluster.add("two", images=12_000, deadline_s=60, queueName="night")
    cluster.add("five", images=36_000, deadline_s=60, queueName="night")
    cluster.decide()
    assert len(cluster.jobs["two"].alive) == 2
    assert len(cluster.queued("five")) == 5
    cluster.shares["day"].others = 0
    cluster.run(70, until=lambda: cluster.jobs["five"].is_done)
    assert max(cluster.ended_s("two"), cluster.ended_s("five")) <= 60


def test_while_others_use_the_quota_a_job_waits_in_its_queue_and_is_counted_once() -> None:
    cluster = KueueCluster(NODES, night=Share(cores=4, others=4))
    cluster.add("first", images=12_000, deadline_s=120, queueName="night")
    cluster.run(10)
    waiting = len(cluster.queued("first"))
    assert (waiting, cluster.said("first", "Feasible")[0]) == (1, "Planned")
    cluster.add("second", images=12_000, deadline_s=120, queueName="night")
    cluster.add("best", images=12_000, deadline_s=120, deadline_class="BestEffort", queueName="night")
    cluster.run(10)
    assert (len(cluster.queued("second")), cluster.queued("best")) == (1, [])
    cluster.shares["night"].others = 0
    cluster.run(100, until=lambda: cluster.jobs["second"].is_done)
    assert len(cluster.jobs["first"].workers) == waiting
    assert max(cluster.ended_s("first"), cluster.ended_s("second")) <= 120


def test_a_job_whose_workers_are_lost_waits_in_its_queue_again() -> None:
    cluster = KueueCluster(NODES, night=Share(cores=4))
    cluster.add("job", images=12_000, deadline_s=200, queueName="night")
    cluster.run(20)
    for worker in cluster.jobs["job"].alive:
        worker.is_lost = True
    cluster.shares["night"].others = 4
    cluster.run(20)
    assert cluster.queued("job")
    cluster.shares["night"].others = 0
    cluster.run(160, until=lambda: cluster.jobs["job"].is_done)
    assert cluster.ended_s("job") <= 200
