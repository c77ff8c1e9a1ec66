"""Recover: is it known of every Job of workers what its workers do?"""

import pytest

from dueby_api.units import format_time
from dueby_operator import paths
from dueby_operator.jobs.repeats import LEAVING_US
from dueby_operator.model.actions import MAX_STOPPED
from dueby_operator.model.writes import Delete
from dueby_operator.objects.jobs import BatchJob
from support.decisions import NOW, SECOND, Started, look, started


def lost(begun: Started, *, is_deleting: bool = False) -> BatchJob:
    found = begun.worker_jobs[0].job
    deleted = format_time(NOW) if is_deleting else None
    return found.replace(metadata=found.metadata.replace(deletion_timestamp=deleted))


def test_a_job_of_workers_without_its_config_map_is_deleted_and_the_status_says_so() -> None:
    begun = started()
    found = look(begun.job(worker_jobs=(), without_config=(lost(begun),)))
    assert found.writes == (Delete(path=paths.batch_path("team", begun.name), uid="j", waits=True),)
    assert found.said("Admitted") == ("False", "AssignmentsLost")
    assert begun.name in found.message("Admitted")


def forged(begun: Started, count: int, *, is_deleting: bool = False) -> list[BatchJob]:
    """Jobs that somebody has made by hand."""
    there = lost(begun, is_deleting=is_deleting)
    return [
        there.replace(metadata=there.metadata.replace(name=f"forged-{number}", uid=f"uid-{number}"))
        for number in range(count)
    ]


@pytest.mark.parametrize("suspend", [False, True])
def test_of_very_many_such_jobs_some_are_deleted_in_a_pass_and_the_others_in_the_next_ones(suspend: bool) -> None:
    begun = started()
    document = {**begun.document, "spec": {**begun.document["spec"], "suspend": suspend}}
    there = forged(begun, MAX_STOPPED + 20)
    first = look(begun.job(document=document, worker_jobs=(), without_config=there))
    assert len(first.writes) == MAX_STOPPED
    leaving = [*forged(begun, MAX_STOPPED, is_deleting=True), *there[MAX_STOPPED:]]
    second = look(begun.job(document=document, worker_jobs=(), without_config=leaving))
    assert [write.path for write in second.writes if isinstance(write, Delete)] == [
        paths.batch_path("team", found.name) for found in there[MAX_STOPPED:]
    ]


def test_its_pods_are_waited_for_and_then_the_rest_is_planned_as_another_revision() -> None:
    begun = started()
    leaving = begun.job(worker_jobs=(), pods=(), without_config=(lost(begun, is_deleting=True),))
    assert not look(leaving, now_us=NOW + SECOND).writes
    assert look(leaving, now_us=NOW + LEAVING_US + SECOND).started_names[0].startswith("job-r2-")
    gone = look(begun.job(worker_jobs=(), pods=()), now_us=NOW + SECOND)
    assert gone.started_names[0].startswith("job-r2-")
    assert gone.said("Admitted") == ("True", "Admitted")
