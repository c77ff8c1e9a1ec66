"""What a plan that is carried out says once its deadline is moved, and whether workers will be in time."""

from dataclasses import replace
from typing import Any

from dueby_operator.model.memory import JobMemory
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
