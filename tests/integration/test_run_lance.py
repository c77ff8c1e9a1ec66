"""`dueby run` over a Lance dataset: one row for each image of the version that was indexed, killed and run again."""

import datetime
from collections.abc import Iterator
from pathlib import Path

import lance
import pytest
import yaml

from dueby_worker.storage.stores import open_store
from dueby_worker.storage.uris import file_uri
from support.fault_proxy import FaultProxy
from support.lances import append, delete, table_of, upload, write_lance
from support.run import MAX_WAIT_S, SMALL_PARTS_US, Job, kill, profile_document, wait_until, write_photos
from support.s3 import S3Server
from support.source_tree import REPOSITORY
from support.tars import jpeg
from support.within import kill_after, require_rows_of_folder

IMAGES, DELETED = 180, 7


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A dataset of photos of which one is deleted and another one damaged."""
    write_photos(tmp_path / "photos", IMAGES)
    photos = sorted((tmp_path / "photos").iterdir())
    photos[1].write_bytes(b"not a photo")
    path = tmp_path / "photos.lance"
    write_lance(path, table_of([photo.read_bytes() for photo in photos]), rows=50)
    delete(path, f"label = {DELETED}")
    photos[DELETED].unlink()
    return path


@pytest.fixture
def job(tmp_path: Path, path: Path) -> Iterator[Job]:
    """The job of the example, over the dataset."""
    source = yaml.safe_load((REPOSITORY / "examples" / "lance.yaml").read_text())["spec"]["source"]
    source["lance"]["uri"] = str(path)
    source["keep"] = ["label"]
    # Of the newest version, a second run would find other images.
    source["lance"]["version"] = lance.dataset(path).version
    job = Job(
        folder=tmp_path,
        profile=profile_document(latency_us=SMALL_PARTS_US),
        spec={"source": source, "maxFailedImages": 1},
    )
    yield job
    job.clean_up()


def names() -> list[str]:
    return [f"k{row:05d}" for row in range(IMAGES) if row != DELETED]


def test_killed_and_run_again_each_image_has_one_row_and_it_is_the_folders(
    job: Job, path: Path, tmp_path: Path
) -> None:
    kill_after(job, 2)
    append(path, table_of([jpeg(0)], first=IMAGES))
    delete(path, "label < 100")
    assert job.run() == 0, job.said()
    rows = job.rows()
    assert [row["uri"] for row in rows] == [f"{file_uri(str(path))}#{name}" for name in names()]
    assert [(row["name"], row["label"]) for row in rows] == [(name, int(name[1:])) for name in names()]
    assert [row["index"] for row in rows if row["error"]] == [1]
    assert (job.sink / "_SUCCESS").exists()
    require_rows_of_folder(job, tmp_path / "photos")


@pytest.mark.deep
def test_a_worker_that_is_killed_costs_no_row(job: Job) -> None:
    running = job.start()
    wait_until(lambda: len(job.parts()) >= 1 and job.worker_pids(), "a part, and a worker")
    kill(job.worker_pids()[0])
    assert running.wait(MAX_WAIT_S) == 0, job.said()
    assert [row["index"] for row in job.rows()] == list(range(IMAGES - 1))


def test_a_version_that_is_cleaned_up_under_a_job_is_told(job: Job, path: Path) -> None:
    kill_after(job, 1)
    lance.write_dataset(table_of([jpeg(0)]), path, mode="overwrite")
    lance.dataset(path).cleanup_old_versions(older_than=datetime.timedelta(0), delete_unverified=True)
    assert job.run() != 0
    assert f"{file_uri(str(path))}: has no version 2, or no longer" in job.said()


@pytest.mark.deep
@pytest.mark.s3
def test_rows_on_s3_are_read_in_runs(job: Job, path: Path, server: S3Server, proxy: FaultProxy) -> None:
    store = open_store(server.uri("data"))
    upload(path, store)
    job.write(source={"lance": {"uri": f"{store.uri}/photos.lance", "name": "key"}})
    assert job.run() == 0, job.said()
    assert [row["uri"] for row in job.rows()] == [f"{store.uri}/photos.lance#{name}" for name in names()]
    assert any("/data/" in request.path for request in proxy.requests)
