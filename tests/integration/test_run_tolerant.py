"""`dueby run` of photos of which some are cut off, strictly and tolerantly."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import dueby
from support.run import SMALL_PARTS_US, Job, kill, profile_document, wait_until, write_photos

PHOTOS = 160
CUT, NO_IMAGE = {7, 60, 61, 150}, {30}


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    write_photos(tmp_path / "photos", PHOTOS)
    for number in CUT:
        path = tmp_path / "photos" / f"{number:05d}.jpg"
        path.write_bytes(path.read_bytes()[:-900])
    (tmp_path / "photos" / "00030.jpg").write_bytes(b"not a photo")
    job = Job(folder=tmp_path, profile=profile_document(latency_us=SMALL_PARTS_US), spec={"maxFailedImages": "10%"})
    yield job
    job.clean_up()


def numbers(job: Job, column: str) -> set[int]:
    return {row["index"] for row in job.rows() if row[column] is not None}


def test_a_strict_job_has_errors_for_cut_photos(job: Job) -> None:
    assert job.run() == 0, job.said()
    assert [row["index"] for row in job.rows()] == list(range(PHOTOS))
    assert numbers(job, "error") == CUT | NO_IMAGE
    assert numbers(job, "warning") == set()


def test_a_tolerant_job_that_was_killed_has_each_photo_once_and_warnings_for_cut_ones(job: Job) -> None:
    job.write(source=job.spec["source"] | {"decode": "tolerant"})
    process = job.start()
    wait_until(lambda: len(job.parts()) >= 2, "two parts are there")
    process.send_signal(signal.SIGKILL)
    for pid in job.worker_pids():
        kill(pid)
    process.wait()
    before = {path.name: path.read_bytes() for path in job.parts()}

    assert job.run() == 0, job.said()
    assert all((job.sink / name).read_bytes() == data for name, data in before.items())
    assert [row["index"] for row in job.rows()] == list(range(PHOTOS))
    assert numbers(job, "error") == NO_IMAGE
    assert numbers(job, "warning") == CUT
    assert numbers(job, "classes") == set(range(PHOTOS)) - NO_IMAGE
    assert "4 with a warning" in repr(dueby.read(job.sink))

    job.write(source=job.spec["source"] | {"decode": "strict"})
    assert job.run() == 2
    assert "its source.decode was tolerant (now strict)" in " ".join(job.said().split())
