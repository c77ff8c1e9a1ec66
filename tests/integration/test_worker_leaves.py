"""Workers that are told to stop: what becomes of the part that is open then, and how soon they are gone."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dueby_worker.storage.stores import open_store
from support.processes import ProcessJob, Step, wait_for
from support.worker import rows_in

IMAGES, PART_SIZE = 2000, 400
# A minute or more of work in one part, and less than an hour however busy the machine is.
ENDLESS = 60_000
# Of a process that waits for nothing, on a machine that is busy.
AT_ONCE_S = 30.0


@pytest.fixture
def new_job(tmp_path: Path) -> Iterator[Any]:
    """Make a job of synthetic images; its processes end with the test."""
    made: list[ProcessJob] = []

    def make(*, images: int = IMAGES, part_size: int = PART_SIZE) -> ProcessJob:
        folder, sink = tmp_path / "job", str(tmp_path / "sink")
        made.append(ProcessJob(folder=folder, source={"synthetic": {}}, sink=sink, images=images, part_size=part_size))
        return made[-1]

    yield make
    for each in made:
        each.stop_all()


def begin_part(worker: Step, *, after: int = 0) -> int:
    """Wait until it has committed so many parts, is in another one, and knows how long a mini-batch takes.

    Return the images that it has done.
    """

    def images_done() -> int:
        assert worker.is_running, worker.log
        seen = worker.progress()
        is_begun = seen and seen["partsCommitted"] >= after and seen["imagesDone"] > after * PART_SIZE
        return seen["imagesDone"] if is_begun and seen["batches"] > 3 else 0

    return int(wait_for(images_done, "a worker in the middle of a part"))


def seconds_to_exit(worker: Step, sent: signal.Signals, code: int) -> float:
    began_s = time.monotonic()
    worker.process.send_signal(sent)
    assert worker.wait() == code
    return time.monotonic() - began_s


def require_each_image_once(job: ProcessJob, images: int) -> None:
    rows = rows_in(open_store(job.sink))
    index = np.concatenate([np.arange(part.first, part.first + len(part.uris)) for part in rows])
    np.testing.assert_array_equal(index, np.arange(images))


def test_a_worker_that_is_told_to_stop_finishes_its_open_part_and_others_do_the_rest(new_job: Any) -> None:
    job = new_job()
    worker = job.work(graceSeconds=60)
    done = begin_part(worker, after=1)
    worker.process.terminate()
    wait_for(lambda: worker.progress().get("leaving") or not worker.is_running, "it says that it leaves")
    assert worker.wait() == 143
    kept = rows_in(open_store(job.sink))
    assert len(kept) * PART_SIZE >= done

    assert job.work_here(0)["progress"]["partsCommitted"] == IMAGES // PART_SIZE - len(kept)
    assert job.finish_here()["rows"] == IMAGES
    require_each_image_once(job, IMAGES)


def test_a_part_that_takes_longer_than_it_has_is_dropped_at_once(new_job: Any) -> None:
    job = new_job(images=10 * ENDLESS, part_size=10 * ENDLESS)
    worker = job.work(graceSeconds=100)
    begin_part(worker)
    assert seconds_to_exit(worker, signal.SIGTERM, 143) < AT_ONCE_S
    assert rows_in(open_store(job.sink)) == []


def test_without_time_a_part_is_dropped_at_once(new_job: Any) -> None:
    job = new_job(images=ENDLESS, part_size=ENDLESS)
    worker = job.work()
    begin_part(worker)
    assert seconds_to_exit(worker, signal.SIGTERM, 143) < AT_ONCE_S


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT], ids=lambda sent: sent.name)
def test_a_second_signal_ends_a_worker_that_finishes_its_part(new_job: Any, second: signal.Signals) -> None:
    job = new_job(images=ENDLESS, part_size=ENDLESS)
    worker = job.work(graceSeconds=3600)
    begin_part(worker)
    worker.process.terminate()
    wait_for(lambda: worker.progress().get("leaving"), "it says that it leaves")
    assert seconds_to_exit(worker, second, 128 + second) < AT_ONCE_S


def test_ctrl_c_waits_for_no_part(new_job: Any) -> None:
    worker = new_job(images=ENDLESS, part_size=ENDLESS).work(graceSeconds=3600)
    begin_part(worker)
    assert seconds_to_exit(worker, signal.SIGINT, 130) < AT_ONCE_S
