"""An image that kills the process that decodes it costs a few workers, and gets a row like every other image."""

import re
import signal
from pathlib import Path

import pytest

from dueby_api.step_config import CAREFUL_AFTER, LOSSES_VARIABLE
from dueby_worker.storage.stores import open_store
from support.poison import poison, python_path_of_victims
from support.processes import ProcessJob, make_photos
from support.run import Job, write_photos
from support.worker import rows_in

IMAGES, PART_SIZE = 64, 16
POISONED = (20, 21, 60)
ERROR = "It was given up because its decoder ended with SIGSEGV, twice."


@pytest.fixture
def victims(tmp_path: Path) -> str:
    return python_path_of_victims(tmp_path / "victims")


def test_a_share_with_such_images_costs_as_many_workers_as_it_takes_to_be_careful(tmp_path: Path, victims: str) -> None:
    photos = make_photos(tmp_path / "photos", IMAGES)
    for number in POISONED:
        poison(photos / f"{number:06d}.jpg")
    job = ProcessJob(
        folder=tmp_path / "run",
        source={"uri": str(photos)},
        sink=str(tmp_path / "sink"),
        images=IMAGES,
        part_size=PART_SIZE,
    )
    # The index step samples all images, and is lost to none.
    job.environment = {"PYTHONPATH": victims}
    indexed = job.index().result()
    assert (indexed["inputCost"]["sampled"], indexed["inputCost"]["unreadable"]) == (IMAGES - 3, 3)

    job.environment = {"PYTHONPATH": victims, LOSSES_VARIABLE: str(CAREFUL_AFTER - 1)}
    assert job.work(fingerprint=indexed["fingerprint"]).wait() == -signal.SIGSEGV
    job.environment = {"PYTHONPATH": victims, LOSSES_VARIABLE: str(CAREFUL_AFTER)}
    careful = job.work(fingerprint=indexed["fingerprint"])
    assert careful.result()["progress"]["imagesFailed"] == len(POISONED), careful.log
    # Rows with errors are done over with care, whatever was lost before.
    job.environment = {"PYTHONPATH": victims}
    job.work(fingerprint=indexed["fingerprint"], retryFailed=True).result()
    summary = job.finish_here()
    assert (summary["rows"], summary["errors"]) == (IMAGES, len(POISONED))
    errors = {part.first + at: text for part in rows_in(open_store(job.sink)) for at, text in part.errors.items()}
    assert errors == dict.fromkeys(POISONED, ERROR)


def test_dueby_run_ends_with_one_row_for_each_image(
    tmp_path: Path, victims: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", victims)
    write_photos(tmp_path / "photos", IMAGES)
    poison(tmp_path / "photos" / "00050.jpg")
    job = Job(folder=tmp_path, spec={"maxFailedImages": "2%"})
    try:
        code = job.run()
    finally:
        job.clean_up()
    assert code == 0, job.said()
    rows = job.rows()
    assert [row["index"] for row in rows] == list(range(IMAGES))
    assert {row["index"]: row["error"] for row in rows if row["error"]} == {50: ERROR}
    # The plan has one worker at a time.
    assert len(re.findall(r"^worker w\d+ was lost$", job.said(), re.MULTILINE)) == CAREFUL_AFTER, job.said()
