"""Stop: has the deadline passed for a job that has not come to have workers?"""

from dataclasses import replace
from typing import Any

import pytest

from dueby_operator.model.job_snapshot import NOTHING, JobMemory
from support.decisions import NOW, SECOND, indexed, infj, look, started
from support.decisions import job as job_of

WAITING = [
    pytest.param({}, {}, id="its source is being listed"),
    pytest.param({"status": indexed()}, {"profiles": ()}, id="it has no profile"),
    pytest.param({"status": indexed()}, {"nodes": {}}, id="no device is free"),
    pytest.param({"status": indexed(), "suspend": True}, {}, id="it is suspended"),
    pytest.param({"status": indexed(), "queueName": "q"}, {}, id="its queue doesn't exist"),
]


@pytest.mark.parametrize(("job", "more"), WAITING)
def test_a_job_that_waits_until_its_deadline_stops_there_if_it_says_so(
    job: dict[str, Any], more: dict[str, Any]
) -> None:
    late_us = NOW + 60 * SECOND
    late = look(infj(**job, onDeadline="Stop"), now_us=late_us, **more)
    assert late.said("Failed") == ("True", "Stopped")
    assert not late.writes
    assert look(infj(**job, onDeadline="Stop"), now_us=late_us - SECOND, **more).status.phase != "Failed"
    assert look(infj(**job), now_us=late_us, **more).status.phase != "Failed"


def test_a_job_that_could_start_is_stopped_with_what_it_would_have_been_planned_on() -> None:
    found = look(infj(status=indexed(), onDeadline="Stop"), now_us=NOW + 60 * SECOND)
    assert found.said("Failed") == ("True", "Stopped")
    assert found.decision.scheduled is not None, "dueby run tells of it"


@pytest.mark.parametrize(("job", "more"), WAITING)
def test_a_job_that_waits_beyond_its_deadline_says_that_it_is_late(job: dict[str, Any], more: dict[str, Any]) -> None:
    late = look(infj(**job), now_us=NOW + 70 * SECOND, **more)
    assert late.said("DeadlineMet") == ("False", "Late")
    assert late.status.phase != "Failed"


@pytest.mark.parametrize(("job", "more"), WAITING)
def test_a_hard_job_that_has_not_started_by_its_deadline_is_failed(job: dict[str, Any], more: dict[str, Any]) -> None:
    hard = infj(**job, deadlineClass="Hard")
    assert look(hard, now_us=NOW + 59 * SECOND, **more).status.phase != "Failed"
    late = look(hard, now_us=NOW + 60 * SECOND, **more)
    assert late.said("Failed") == ("True", "Infeasible")
    assert late.said("Feasible") == ("False", "DeadlineTooEarly")
    assert late.said("DeadlineMet") == ("False", "Late")
    assert not late.writes


def test_a_hard_job_that_was_suspended_after_its_start_waits_on() -> None:
    begun = started(deadlineClass="Hard").once_seen()
    document = infj(status=begun.document["status"], deadlineClass="Hard", suspend=True)
    late = look(job_of(document), now_us=NOW + 70 * SECOND)
    assert late.status.phase == "Queued"
    assert late.said("DeadlineMet") == ("False", "Late")


def test_a_hard_job_whose_workers_were_never_allowed_has_not_started() -> None:
    begun = started(deadlineClass="Hard")
    memory = replace(begun.look.memory, refused_until_us=NOW + 75 * SECOND)
    late = look(begun.job(worker_jobs=(), pods=(), memory=memory), now_us=NOW + 70 * SECOND)
    assert late.said("Failed") == ("True", "Infeasible")


@pytest.mark.parametrize("memory", [JobMemory(refused_until_us=NOW + 30 * SECOND), NOTHING], ids=["", "restarted"])
def test_parts_of_an_earlier_job_are_no_start_of_one_whose_workers_were_never_allowed(memory: JobMemory) -> None:
    begun_by_another = indexed(partSize=16, partsThere="0-9")
    first = look(infj(status=begun_by_another, deadlineClass="Hard"))
    assert first.created
    document = infj(status=first.status.document(), deadlineClass="Hard")
    second = look(job_of(document, memory=memory), now_us=NOW + 32 * SECOND)
    assert second.status.progress is not None
    assert second.status.progress.images_done > 0
    document = infj(status=second.status.document(), deadlineClass="Hard")
    late = look(job_of(document, memory=second.memory), now_us=NOW + 60 * SECOND)
    assert late.said("Failed") == ("True", "Infeasible")
    assert not late.writes


def test_a_hard_job_whose_workers_are_gone_before_a_part_was_done_has_started() -> None:
    begun = started(deadlineClass="Hard").once_seen()
    memory = replace(begun.look.memory, refused_until_us=NOW - 3600 * SECOND)  # its index step was forbidden once
    late = look(begun.job(worker_jobs=(), pods=(), memory=memory), nodes={}, now_us=NOW + 70 * SECOND)
    assert late.status.phase == "Queued"
    assert late.said("DeadlineMet") == ("False", "Late")


def test_a_deadline_that_is_moved_into_the_future_is_not_missed() -> None:
    missed = look(infj(status=indexed()), nodes={}, now_us=NOW + 70 * SECOND)
    assert missed.said("DeadlineMet") == ("False", "Late")
    moved = look(infj(status=missed.status.document(), deadline="600s"), nodes={}, now_us=NOW + 80 * SECOND)
    assert "DeadlineMet" not in [found.type for found in moved.status.conditions]
