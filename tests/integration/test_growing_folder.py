"""A folder that grows: what was classified stays as it is, and what is new is told of."""

import json
from pathlib import Path

import pytest

from dueby_worker.storage.uris import file_uri
from support.decisions import MADE, infj, job, look, pod_of
from support.pictures import write_photos
from support.processes import ProcessJob
from support.run import Job


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_photos(tmp_path / "photos", 30)
    return tmp_path


def test_a_local_run_over_a_folder_that_has_grown_is_refused_with_what_it_found(folder: Path) -> None:
    run = Job(folder=folder)
    assert run.run() == 0, run.said()
    write_photos(folder / "photos", 40)
    assert run.run() == 2
    assert "the source has 40 images, the results in" in run.said()
    assert "are for 30 of them" in run.said()


def test_a_job_in_a_cluster_over_a_folder_that_has_grown_fails_with_what_it_found(folder: Path) -> None:
    source = {"uri": str(folder / "photos")}
    steps = ProcessJob(folder=folder, source=source, sink=str(folder / "rows"), images=30, part_size=10)
    begun = steps.index_here(uid="u-1")
    steps.work_here(uid="u-1", fingerprint=begun["fingerprint"])
    steps.finish_here()
    write_photos(folder / "photos", 40)
    step = steps.index(uid="u-2", images=None)
    assert step.wait() == 2
    said = f"the source has 40 images, the results in {file_uri(steps.sink)} are for 30 of them"
    (created,) = look(infj(source=source)).created
    ended = {"exitCode": 2, "message": json.dumps(step.last_words()), "finishedAt": MADE}
    pod = pod_of(created, phase="Failed", containerStatuses=[{"name": "dueby", "state": {"terminated": ended}}])
    seen = look(job(infj(source=source), steps={"index": created.job}, pods=[pod]))
    assert seen.said("Failed") == ("True", "IndexFailed")
    assert said in seen.message("Failed")
    assert said in seen.message("Indexed")
    # The job whose status was lost is the same job, of the images that there were.
    assert steps.index_here(uid="u-1")["partsThere"] == "0-2"
