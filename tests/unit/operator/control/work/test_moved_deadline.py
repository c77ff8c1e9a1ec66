"""What a plan that is carried out says once its deadline is moved, and whether workers will be in time."""

from dataclasses import replace
from typing import Any

import pytest

from dueby_api.status import PlanStatus, ProgressStatus
from dueby_api.units import format_time, parse_time_us
from dueby_operator.model.job_snapshot import JobMemory
from support.decisions import (
    NOW,
    SECOND,
    Document,
    Look,
    a_batch,
    indexed,
    infj,
    job,
    look,
    node,
    pod_of,
    worker_job_of,
)
from support.shared_cluster import SharedCluster

ONE = node(cpus=1)
BUSY = {"n": replace(ONE, free={**ONE.free, "cpu": 0.0})}


class OneWorker:
    """A Soft job on a cluster of one core, pass after pass."""

    def __init__(self, deadline: str) -> None:
        self.found = look(infj(status=indexed(), deadlineClass="Soft", deadline=deadline), nodes={"n": ONE})
        (self.create,) = self.found.created
        self.spec: dict[str, Any] = {"deadlineClass": "Soft", "deadline": deadline}
        self.generation = 1

    def edit(self, deadline: str) -> None:
        self.spec["deadline"] = deadline
        self.generation += 1

    def look(self, at_s: float, *, memory: JobMemory | None = None, **progress: Any) -> Look:
        pod = pod_of(self.create)
        document: Document = infj(
            status=self.found.status.document(), metadata={"generation": self.generation}, **self.spec
        )
        seen = job(
            document,
            memory=self.found.memory if memory is None else memory,
            worker_jobs=[worker_job_of(self.create)],
            pods=[pod],
            progress={pod["metadata"]["name"]: a_batch(**progress)},
        )
        self.found = look(seen, now_us=NOW + round(at_s * SECOND), nodes=BUSY)
        return self.found


def test_what_is_in_time_for_a_later_deadline_is_feasible() -> None:
    late = OneWorker("30s")
    assert late.found.said("Feasible") == ("False", "Late")
    assert late.found.status.alternatives is not None
    late.edit("600s")
    for at_s in (3, 5):
        found = late.look(at_s)
        assert found.said("Feasible") == ("True", "Planned")
        assert "2023-11-14T22:23:20Z" in found.message("Feasible")
        assert found.status.alternatives is None
        assert found.status.plan is not None
        assert not found.status.plan.slack.startswith("-")


def test_an_operator_that_has_just_started_sees_that_the_deadline_was_moved() -> None:
    late = OneWorker("30s")
    late.edit("600s")
    assert late.look(3, memory=JobMemory()).said("Feasible") == ("True", "Planned")


def test_what_is_late_for_the_other_deadline_too_says_so_without_what_was_advised_for_the_first() -> None:
    late = OneWorker("30s")
    late.edit("35s")
    found = late.look(3)
    assert found.said("Feasible") == ("False", "Late")
    assert "2023-11-14T22:13:55Z" in found.message("Feasible")
    assert found.status.alternatives is None


def test_a_plan_that_an_earlier_deadline_is_too_early_for_is_not_feasible_any_more() -> None:
    early = OneWorker("300s")
    assert early.found.said("Feasible") == ("True", "Planned")
    early.edit("30s")
    assert early.look(3).said("Feasible") == ("False", "Late")


def test_a_job_that_will_be_far_too_late_says_so_from_its_first_pass_on() -> None:
    late = OneWorker("30s")
    assert {late.look(at_s).said("OnTrack") for at_s in (2, 3, 4, 6, 8)} == {("False", "Late")}


def test_a_job_at_the_border_is_news_once() -> None:
    border = OneWorker("64s")
    size = border.found.status.plan.groups[0].mini_batch_size if border.found.status.plan else 0
    left = 24 * 10 // 1.005 * size
    events = 0
    for step_us in (100_000, 101_500, 101_500) * 10:
        found = border.look(40, batches=100, imagesDone=int(10_000 - left), stepMicros=step_us)
        events += len(found.decision.events)
    assert events == 1


def plan_and_progress(cluster: SharedCluster) -> tuple[PlanStatus, ProgressStatus]:
    """Both of the job `moved`, which has workers."""
    status = cluster.status("moved")
    assert isinstance(status.plan, PlanStatus)
    assert isinstance(status.progress, ProgressStatus)
    return status.plan, status.progress


@pytest.mark.parametrize("kind", ["Hard", "Soft"])
def test_what_gets_windows_so_that_it_is_in_time_is_not_late(kind: str) -> None:
    cluster = SharedCluster({"n": 4})
    cluster.add("other", images=3 * 160 * 60, deadline_s=90)  # three cores for a minute
    cluster.decide()
    cluster.add("moved", images=160 * 300, deadline_s=600, deadline_class=kind)
    cluster.run(20)
    cluster.edit("moved", deadline="220s")
    for _ in range(5):
        cluster.run(1)
        plan, progress = plan_and_progress(cluster)
        assert plan.windows
        assert cluster.said("moved", "Feasible")[0] == "Planned"
        assert plan.expected_finish == progress.expected_finish, "it is to the second here"
        assert not plan.slack.startswith("-")
    cluster.run(300, until=lambda: cluster.jobs["moved"].is_over)
    assert NOW + cluster.ended_s("moved") * SECOND <= parse_time_us(plan.expected_finish)


def test_what_gets_helpers_at_once_says_when_it_ends_with_them() -> None:
    cluster = SharedCluster({"n": 4})
    cluster.add("moved", images=160 * 300, deadline_s=600, deadline_class="Soft")
    cluster.run(20)
    cluster.edit("moved", deadline="200s")
    cluster.run(1)
    assert len(cluster.jobs["moved"].alive) == 2
    plan, progress = plan_and_progress(cluster)
    assert (plan.slack, progress.slack) == ("32s", "35s")
    cluster.run(5)
    _, later = plan_and_progress(cluster)
    assert plan.expected_finish == progress.expected_finish == later.expected_finish


def test_what_needs_fewer_workers_for_a_later_deadline_says_when_it_ends_without_one() -> None:
    cluster = SharedCluster({"n": 4})
    cluster.add("moved", images=160 * 300, deadline_s=120)
    cluster.run(20)
    cluster.edit("moved", deadline="600s")
    cluster.add("other", images=160 * 300, deadline_s=600, deadline_class="Soft")  # it would have the device
    had = len(cluster.jobs["moved"].alive)
    cluster.run(1)
    assert len(cluster.jobs["moved"].alive) == had - 1
    plan, _ = plan_and_progress(cluster)
    cluster.run(5)
    _, later = plan_and_progress(cluster)
    assert later.expected_finish is not None
    assert abs(parse_time_us(plan.expected_finish) - parse_time_us(later.expected_finish)) < 3 * SECOND


def test_what_was_late_for_the_new_deadline_is_in_time_once_it_has_help() -> None:
    cluster = SharedCluster({"n": 2})
    cluster.add("other", images=160 * 200, deadline_s=600, deadline_class="Soft")
    cluster.run(2)
    cluster.add("moved", images=160 * 300, deadline_s=600, deadline_class="Soft")
    cluster.run(20)
    cluster.edit("moved", deadline="180s")
    cluster.run(5)
    plan, _ = plan_and_progress(cluster)
    assert cluster.said("moved", "Feasible")[0] == "Late"
    assert plan.slack.startswith("-")
    del cluster.jobs["other"]
    cluster.forget()
    cluster.run(5)
    plan, _ = plan_and_progress(cluster)
    reason, message = cluster.said("moved", "Feasible")
    assert reason == "Planned"
    assert message.startswith(f"The deadline was moved to {format_time(NOW + 182 * SECOND)}.")
    assert not plan.slack.startswith("-")
    cluster.run(20)
    assert cluster.said("moved", "Feasible") == (reason, message), "it is news once"


def test_a_job_whose_windows_are_noise_is_still_expected_to_end_then() -> None:
    cluster = SharedCluster({"n": 2})
    cluster.add("other", images=160 * 60, deadline_s=600, deadline_class="Soft")
    cluster.run(2)
    cluster.add("moved", images=160 * 300, deadline_s=600, deadline_class="Soft")
    cluster.run(20)
    cluster.edit("moved", deadline="150s")
    for _ in range(4):
        cluster.run(1)
        _, progress = plan_and_progress(cluster)
        assert progress.expected_finish is not None
