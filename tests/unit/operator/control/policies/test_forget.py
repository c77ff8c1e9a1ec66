"""Forget: are there workers of which the status knows nothing?"""

from dataclasses import replace

import pytest

from dueby_operator import paths
from dueby_operator.model.writes import Delete
from support.decisions import MADE, NOW, SECOND, indexed, infj, look, started


def test_workers_of_a_lost_status_are_ended_and_so_are_steps_that_saw_the_sink_before_there_were_rows() -> None:
    begun, (create,) = started(), look(infj()).created
    found = look(begun.job(document=infj(), steps={"index": create.job}))
    assert found.said("Admitted") == ("False", "WaitingForCleanup")
    assert "status was lost" in found.message("Admitted")
    assert [write.path for write in found.writes if isinstance(write, Delete)] == [
        paths.batch_path("team", name) for name in (create.job["metadata"]["name"], begun.name)
    ]
    assert not found.created


def test_it_waits_until_they_are_gone_and_then_begins_as_a_new_job_does() -> None:
    begun = started()
    (there,) = begun.worker_jobs
    leaving = replace(there, job=there.job.replace(metadata=there.job.metadata.replace(deletion_timestamp=MADE)))
    waiting = look(begun.job(document=infj(), worker_jobs=[leaving]), now_us=NOW + SECOND)
    assert not waiting.writes
    assert waiting.said("Admitted") == ("False", "WaitingForCleanup")
    gone = look(infj(status=waiting.status.document()), now_us=NOW + 2 * SECOND)
    assert [name.rpartition("-")[0] for name in gone.started_names] == ["job-index"]


@pytest.mark.parametrize("status", [indexed(), {}])
def test_a_job_without_workers_has_lost_nothing(status: dict[str, object]) -> None:
    assert look(infj(status=status)).created
