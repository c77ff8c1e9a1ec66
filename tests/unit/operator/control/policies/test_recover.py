"""Recover: is it known of every Job of workers what its workers do?"""

from dueby_api.units import format_time
from dueby_operator import paths
from dueby_operator.jobs.repeats import LEAVING_US
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


def test_its_pods_are_waited_for_and_then_the_rest_is_planned_as_another_revision() -> None:
    begun = started()
    leaving = begun.job(worker_jobs=(), pods=(), without_config=(lost(begun, is_deleting=True),))
    assert not look(leaving, now_us=NOW + SECOND).writes
    assert look(leaving, now_us=NOW + LEAVING_US + SECOND).started_names[0].startswith("job-r2-")
    gone = look(begun.job(worker_jobs=(), pods=()), now_us=NOW + SECOND)
    assert gone.started_names[0].startswith("job-r2-")
    assert gone.said("Admitted") == ("True", "Admitted")
