"""A job that the operator itself can't handle: its own trouble, tried again a few times, and then the end of it."""

from dataclasses import replace
from typing import Any

import pytest

from dueby_api.conditions import Reason
from dueby_api.status import MAX_MESSAGE
from dueby_operator.control.faults import MAX_FAULTS, pause_us
from dueby_operator.model.conditions import NewCondition, merge_conditions
from dueby_operator.model.job_snapshot import NOTHING, Fault, JobMemory, JobSnapshot
from support.decisions import NOW, SECOND, Look, cluster, indexed, infj, job, look, look_at, started

BUG = Fault(stage="observing", error=TypeError("no list"))


def broken(**more: Any) -> JobSnapshot:
    """A job that the operator can't observe."""
    return replace(job(infj(status=indexed(), metadata={"name": "broken", "uid": "u-broken"})), fault=BUG, **more)


def after(faults: int, *, now_us: int = NOW, **more: Any) -> Look:
    """What is decided about it after so many faults."""
    memory = replace(NOTHING, faults=faults, retry_us=now_us)
    return look(broken(memory=memory, **more), now_us=now_us)


def test_a_job_that_cant_be_handled_says_so_and_is_tried_again() -> None:
    found = look(broken())
    assert found.said("Failed") == ("False", "OperatorRetrying")
    assert "tries again in 5.0s: TypeError: no list (observing)" in found.message("Failed")
    assert found.status.message == found.message("Failed")
    assert [(event.reason, event.is_warning) for event in found.decision.events] == [("OperatorRetrying", True)]
    assert (found.memory.faults, found.memory.retry_us, found.writes) == (1, NOW + 5 * SECOND, ())


def test_it_is_left_alone_until_the_next_try() -> None:
    first = look(broken())
    resting = replace(broken(memory=first.memory), status=first.status)
    found = look(resting, now_us=NOW + 5 * SECOND - 1)
    assert (found.status, found.memory, found.decision.fault) == (first.status, first.memory, None)
    assert look(resting, now_us=NOW + 5 * SECOND).memory.faults == 2


def test_after_the_last_try_it_is_failed() -> None:
    found = [after(faults) for faults in range(MAX_FAULTS)]
    assert [each.said("Failed")[0] for each in found] == ["False"] * (MAX_FAULTS - 1) + ["True"]
    assert found[-1].said("Failed") == ("True", "OperatorError")
    assert found[-1].status.phase == "Failed"
    assert f"{MAX_FAULTS} times in a row" in found[-1].message("Failed")
    assert [pause_us(faults) // SECOND for faults in range(1, MAX_FAULTS)] == [5, 10, 20, 40]


def test_a_try_that_goes_well_takes_the_condition_away() -> None:
    begun = started()
    status = replace(begun.job(), fault=BUG)
    told = look(status).status
    again = begun.job(document={**begun.document, "status": told.document()})
    assert "Failed" not in [found.type for found in look(again).status.conditions]


def test_what_raises_in_the_decision_concerns_this_job_alone() -> None:
    begun = started()
    document = {**begun.document, "metadata": {**begun.document["metadata"], "name": "odd", "uid": "u-odd"}}
    document["status"] = {**document["status"], "plan": {**document["status"]["plan"], "expectedFinish": "soon"}}
    odd = begun.job(document=document, memory=JobMemory())
    found = {each.decision.job.name: each for each in look_at(cluster(odd, job(infj(status=indexed()))))}
    assert found["odd"].said("Failed") == ("False", "OperatorRetrying")
    assert "ValueError: Invalid isoformat string: 'soon'" in found["odd"].message("Failed")
    assert found["job"].said("Feasible") == ("True", "Planned")
    assert found["job"].created


def test_a_job_that_cant_be_handled_takes_no_device() -> None:
    alone, beside = look(infj(status=indexed())), look_at(cluster(broken(), job(infj(status=indexed()))))
    assert beside[-1].decision.job.name == "job"
    assert beside[-1].decisions.left.devices == alone.decisions.left.devices


@pytest.mark.parametrize("length", [MAX_MESSAGE, MAX_MESSAGE + 1, 10 * MAX_MESSAGE])
def test_a_message_is_no_longer_than_a_condition_can_hold(length: int) -> None:
    new = NewCondition(reason=Reason.PROFILING_FAILED, message="x" * length)
    (found,) = merge_conditions((), [new], generation=1, now_us=NOW)
    assert len(found.message) == MAX_MESSAGE
    assert found.message.endswith("…") == (length > MAX_MESSAGE)


def test_a_fault_says_where_it_was_raised() -> None:
    try:
        raise RuntimeError("x" * 1000)
    except RuntimeError as error:
        fault = Fault(stage="applying", error=error)
    assert fault.place.startswith("test_faults.py:")
    assert fault.sentence == f"RuntimeError: {'x' * 300} (applying, {fault.place})"
