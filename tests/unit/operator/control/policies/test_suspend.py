"""Suspend: is the job to wait without devices?"""

from dataclasses import replace

from dueby_api.units import format_time
from dueby_operator import paths
from dueby_operator.model.writes import Delete
from support.decisions import NOW, a_batch, indexed, infj, look, started


def test_a_suspended_job_gives_all_its_workers_back() -> None:
    begun = started()
    document = infj(suspend=True, status=begun.document["status"])
    found = look(begun.job(document=document))
    assert found.writes == (Delete(path=paths.batch_path("team", begun.name), uid="j"),)
    assert found.said("Admitted") == ("False", "Suspended")


def test_what_is_on_its_way_out_is_not_deleted_again_in_each_pass() -> None:
    begun = started()
    leaving = [
        replace(found, job=found.job.replace(metadata=found.job.metadata.replace(deletion_timestamp=format_time(NOW))))
        for found in begun.worker_jobs
    ]
    document = infj(suspend=True, status=begun.document["status"])
    found = look(begun.job(document=document, worker_jobs=leaving, without_config=[each.job for each in leaving]))
    assert not found.writes
    assert found.said("Admitted") == ("False", "Suspended")


def test_a_job_that_is_suspended_from_the_start_waits_for_its_plan() -> None:
    found = look(infj(suspend=True, status=indexed()))
    assert not found.writes
    assert found.status.phase == "Queued"


def test_of_a_suspended_job_nobody_knows_whether_it_will_be_in_time() -> None:
    begun = started()
    running = look(begun.job(progress={pod["metadata"]["name"]: a_batch() for pod in begun.pods}))
    assert running.said("OnTrack") == ("True", "InTime")
    found = look(infj(suspend=True, status=running.status.document()))
    assert "OnTrack" not in [condition.type for condition in found.status.conditions]
    progress = found.status.progress
    assert progress is not None
    assert (progress.images_per_second, progress.expected_finish, progress.slack) == (0, None, None)
    assert running.status.progress is not None
    assert progress.images == running.status.progress.images
