"""Kill -9 any process at any time, any number of times, run again: each image has one row, once.

Real workers with a real network, on a folder and on real servers of S3 and Azure. Moments come from a seed and are tied
to what a worker has done, so that they fall where work is being done however fast the machine is.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dueby_worker.output.rows import Rows
from dueby_worker.output.success import SUCCESS
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store
from support.azure import AzureServer, azurite_server
from support.processes import ProcessJob, Step, make_photos, wait_for
from support.s3 import S3Server, versitygw_server
from support.worker import rows_in

IMAGES = 320
PART_SIZE = 16
WORKERS = 2
ROUNDS = 3
SERVERS: Mapping[str, Callable[[Path], AbstractContextManager[S3Server | AzureServer]]] = {
    "s3": versitygw_server,
    "azure": azurite_server,
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_photos(tmp_path_factory.mktemp("source") / "photos", IMAGES, damaged=(100, 101, 319))


@pytest.fixture(scope="module")
def undisturbed(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Rows]:
    """The rows of one worker that nobody disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    job = ProcessJob(
        folder=folder, source={"uri": str(photos)}, sink=str(folder / "sink"), images=IMAGES, part_size=PART_SIZE
    )
    job.index_here()
    job.work_here()
    return rows_in(open_store(job.sink))


@pytest.fixture
def job(request: pytest.FixtureRequest, photos: Path, tmp_path: Path) -> Iterator[ProcessJob]:
    """A job on a folder, on S3 or on Azure, whose processes end with the test."""
    job = ProcessJob(
        folder=tmp_path / "run",
        source={"uri": str(photos)},
        sink=str(tmp_path / "sink"),
        images=IMAGES,
        part_size=PART_SIZE,
        workers=WORKERS,
    )
    if request.param == "folder":
        yield job
    else:
        with SERVERS[request.param](tmp_path) as server, pytest.MonkeyPatch.context() as patch:
            for name, value in server.env.items():
                patch.setenv(name, value)
            job.sink = server.uri("results/catalog")
            yield job
    job.stop_all()


on_every_store = pytest.mark.parametrize(
    "job",
    [
        pytest.param("folder", id="on a folder"),
        pytest.param("s3", marks=pytest.mark.s3, id="on S3"),
        pytest.param("azure", marks=[pytest.mark.azure, pytest.mark.deep], id="on Azure"),
    ],
    indirect=True,
)


def require_each_image_once(store: Store, expected: list[Rows]) -> None:
    """Every image has one row, and it is what an undisturbed worker writes."""
    found = rows_in(store)
    assert [(part.first, part.uris, part.errors) for part in found] == [
        (part.first, part.uris, part.errors) for part in expected
    ]
    for part, same in zip(found, expected, strict=True):
        fine = [position for position in range(len(part.uris)) if position not in part.errors]
        # Mini-batches are cut otherwise after each resumption, which is 1e-6 of difference in fp32.
        np.testing.assert_allclose(part.columns["scores"][fine], same.columns["scores"][fine], atol=1e-5)
        clear = np.array(
            [n for n in fine if part.columns["scores"][n, 0] - part.columns["scores"][n, 1] > 1e-4], dtype=np.int64
        )
        np.testing.assert_array_equal(part.columns["classes"][clear, 0], same.columns["classes"][clear, 0])


def kill_at(moments: dict[Step, int]) -> None:
    """Kill -9 each worker when it has done so many images or has ended: mid-part, mid-batch, in a commit."""

    def is_there(worker: Step) -> bool:
        return not worker.is_running or worker.progress().get("imagesDone", 0) >= moments[worker]

    waiting = set(moments)
    while waiting:
        worker = wait_for(lambda: next(filter(is_there, waiting), None), f"one of {len(waiting)} workers at its moment")
        worker.kill()
        waiting.remove(worker)


@on_every_store
@pytest.mark.parametrize("seed", [1])
def test_each_image_has_one_row_however_often_workers_are_killed(
    job: ProcessJob, seed: int, undisturbed: list[Rows]
) -> None:
    chance = random.Random(seed)
    fingerprint = job.index_here()["fingerprint"]
    store = open_store(job.sink)
    for number in range(ROUNDS):
        workers = [job.work(place, fingerprint=fingerprint) for place in range(WORKERS)]
        if number == ROUNDS - 1:
            # An image counts as done before its part is in the sink: without this a slow sink may get none.
            wait_for(lambda: rows_in(store), "a part in the sink")
        kill_at({worker: chance.randrange(1, IMAGES // WORKERS // ROUNDS) for worker in workers})
    killed_at = len(rows_in(store))
    assert killed_at > 0
    assert not store.exists(SUCCESS)

    workers = [job.work(place, fingerprint=fingerprint) for place in range(WORKERS)]
    done = [worker.result()["progress"] for worker in workers]
    assert sum(progress["partsCommitted"] for progress in done) == IMAGES // PART_SIZE - killed_at
    summary = job.finish().result()
    assert (summary["rows"], summary["errors"]) == (IMAGES, 3)
    require_each_image_once(store, undisturbed)


@on_every_store
def test_a_worker_finishes_what_one_that_was_killed_and_one_that_hangs_have_left(
    job: ProcessJob, undisturbed: list[Rows]
) -> None:
    fingerprint = job.index_here()["fingerprint"]
    hanging = job.work(0, fingerprint=fingerprint)
    wait_for(lambda: hanging.progress().get("imagesDone", 0) >= PART_SIZE, "a worker in its share")
    with hanging.hung():
        progress = job.work(1, fingerprint=fingerprint).result()["progress"]
        assert progress["partsCommitted"] > IMAGES // PART_SIZE // 2
        require_each_image_once(open_store(job.sink), undisturbed)
    # It wakes up to find its work done, and says so.
    assert hanging.result()["progress"]["state"] == "done"
    assert job.finish().result()["rows"] == IMAGES
    require_each_image_once(open_store(job.sink), undisturbed)


def test_index_and_finish_may_be_killed_too(photos: Path, tmp_path: Path, undisturbed: list[Rows]) -> None:
    chance = random.Random(2)
    job = ProcessJob(
        folder=tmp_path / "run", source={"uri": str(photos)}, sink=str(tmp_path / "sink"), images=IMAGES, part_size=16
    )

    def kill_some(start: Any) -> None:
        for _ in range(3):
            step = start()
            time.sleep(chance.uniform(0, 1.5))
            step.kill()

    kill_some(job.index)
    fingerprint = job.index_here()["fingerprint"]
    job.work_here(fingerprint=fingerprint)
    kill_some(job.finish)
    assert job.finish().result()["rows"] == IMAGES
    require_each_image_once(open_store(job.sink), undisturbed)
