"""A Soft job that is due soon, and many Hard jobs that can wait."""

from support.shared_cluster import SharedCluster


def test_a_soft_job_that_is_due_in_half_an_hour_is_in_time_before_promises_for_weeks_ahead() -> None:
    cluster = SharedCluster({"a": 1})
    days, minutes = 86_400, 60
    for number in range(30):
        cluster.add(f"hard-{number:02}", images=160 * 10 * minutes, deadline_s=20 * days + number)
    cluster.run(3)
    assert [cluster.said(name, "Feasible")[0] for name in cluster.jobs] == ["Planned", *["Reserved"] * 29]
    cluster.add("soft", images=160 * 5 * minutes, deadline_s=30 * minutes, deadline_class="Soft", namespace="other")
    cluster.run(3)
    assert cluster.said("soft", "Feasible")[0] == "Reserved"
    cluster.run(30 * minutes, every_s=20, until=lambda: cluster.jobs["soft"].is_done)
    assert cluster.ended_s("soft") <= 30 * minutes
    promised = [cluster.said(name, "Feasible")[0] for name in cluster.jobs if name.startswith("hard")]
    assert set(promised) <= {"Planned", "Reserved"}
