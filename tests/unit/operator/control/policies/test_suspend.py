"""Suspend: is the job to wait without devices?"""

from dueby_operator import paths
from dueby_operator.model.writes import Delete
from support.decisions import indexed, infj, look, started


def test_a_suspended_job_gives_all_its_workers_back() -> None:
    begun = started()
    document = infj(suspend=True, status=begun.document["status"])
    found = look(begun.job(document=document))
    assert found.writes == (Delete(path=paths.batch_path("team", begun.name), uid="j"),)
    assert found.said("Admitted") == ("False", "Suspended")


def test_a_job_that_is_suspended_from_the_start_waits_for_its_plan() -> None:
    found = look(infj(suspend=True, status=indexed()))
    assert not found.writes
    assert found.status.phase == "Queued"
