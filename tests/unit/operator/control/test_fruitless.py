"""Workers that are lost again and again: replaced while it may help, and no longer."""

from dataclasses import replace
from typing import Any

import pytest

from dueby_operator.control.work.changes import MAX_FRUITLESS
from dueby_operator.jobs.pod_state import absent_workers
from dueby_operator.model.writes import Create
from support.decisions import MADE, NOW, Look, look, started

LOST = {"time": MADE, "reason": "WorkerLost", "from": 1, "to": 2, "imagesInSink": 0}


def look_after(replans: list[dict[str, Any]], **more: Any) -> Look:
    """Lose all workers of a job that has been replanned so before, and look at it."""
    begun = started(deadline="600s")
    status = {**begun.document["status"], "replans": replans}
    (there,) = begun.worker_jobs
    crashed = there.job.status.replace(failed_indexes=f"0-{len(begun.pods) - 1}")
    lost = [replace(there, job=there.job.replace(status=crashed))]
    return look(begun.job(document={**begun.document, "status": status}, worker_jobs=lost, **more))


def test_lost_workers_are_replaced() -> None:
    found = look_after([LOST] * (MAX_FRUITLESS - 1))
    assert found.created
    assert [replan.images_in_sink for replan in found.status.replans] == [0] * MAX_FRUITLESS


def test_a_job_whose_workers_are_lost_again_and_again_without_a_part_has_failed() -> None:
    found = look_after([LOST] * MAX_FRUITLESS)
    assert found.said("Failed") == ("True", "NoProgress")
    assert f"replaced {MAX_FRUITLESS} times in a row" in found.message("Failed")
    assert not found.created


def look_without_a_node(last: dict[str, Any], *, given_up: str = "", workers: int = 1) -> Look:
    """Look at a job of which so many workers find no node, after they were replaced again and again."""
    begun = started(deadline="20s")
    (there,) = begun.worker_jobs
    assert len(begun.pods) > 2
    status = {**begun.document["status"], "replans": [LOST] * (MAX_FRUITLESS - 1) + [last]}
    seen = replace(there, job=there.job.replace(status=there.job.status.replace(failed_indexes=given_up)))
    absent = frozenset((there.name, index) for index in range(min(workers, len(begun.pods))))
    return look(begun.job(document={**begun.document, "status": status}, worker_jobs=[seen], absent=absent))


@pytest.mark.parametrize("workers", [1, 99])
@pytest.mark.parametrize("reason", ["WorkerLost", "Lagging"])
def test_workers_that_find_no_node_do_not_end_the_job_and_are_not_replaced_for_ever(reason: str, workers: int) -> None:
    found = look_without_a_node({**LOST, "reason": reason}, workers=workers)
    assert "Failed" not in [each.type for each in found.status.conditions]
    assert not found.created


def test_it_is_replaced_again_once_the_others_have_written_a_part() -> None:
    assert look_without_a_node({**LOST, "imagesInSink": 500}).created


def test_a_worker_that_was_given_up_meanwhile_ends_the_job() -> None:
    assert look_without_a_node(LOST, given_up="1").said("Failed") == ("True", "NoProgress")


def test_it_says_what_the_last_worker_said() -> None:
    state = {"name": "dueby", "state": {"terminated": {"exitCode": 1, "message": "Killed by an image"}}}
    pods = [{**pod, "status": {**pod["status"], "containerStatuses": [state]}} for pod in started().pods]
    assert 'The last one said: "Killed by an image".' in look_after([LOST] * MAX_FRUITLESS, pods=pods).message("Failed")


@pytest.mark.parametrize(
    "last",
    [
        pytest.param({**LOST, "imagesInSink": 500}, id="if a part came to the sink meanwhile"),
        pytest.param({**LOST, "reason": "Lagging"}, id="if one was for another reason"),
        pytest.param({name: value for name, value in LOST.items() if name != "imagesInSink"}, id="if it isn't known"),
    ],
)
def test_they_are_replaced(last: dict[str, Any]) -> None:
    assert look_after([LOST] * (MAX_FRUITLESS - 1) + [last]).created


@pytest.mark.parametrize(
    ("scheduler_says", "is_absent"),
    [
        pytest.param('0/3 nodes are available: persistentvolumeclaim "data" not found.', False, id="its volume"),
        pytest.param("0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims.", False, id="unbound"),
        pytest.param("0/3 nodes are available: 3 Insufficient cpu.", True, id="room on a node"),
    ],
)
def test_workers_that_wait_for_their_volume_are_not_replaced_and_the_condition_says_so(
    scheduler_says: str, is_absent: bool
) -> None:
    begun = started()
    (there,) = begun.worker_jobs
    there = replace(there, job=there.job.replace(status=there.job.status.replace(start_time=MADE)))
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": scheduler_says}
    pods = [{**pod, "spec": {}, "status": {"phase": "Pending", "conditions": [scheduled]}} for pod in begun.pods]
    seen = begun.job(worker_jobs=[there], pods=pods)
    absent = frozenset(absent_workers([there], seen.pods, now_us=NOW))
    assert bool(absent) is is_absent
    found = look(begun.job(worker_jobs=[there], pods=pods, absent=absent))
    assert not any(isinstance(write, Create) for write in found.writes) or is_absent
    told = found.message("Admitted" if is_absent else "OnTrack")
    assert scheduler_says in told
    if not is_absent:
        assert found.said("OnTrack") == ("False", "PodsNotStarting")
