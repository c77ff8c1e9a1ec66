"""`dueby run` over images in Parquet files: one row for each image, the same as of a folder, killed and run again."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from dueby_worker.storage.stores import open_store
from dueby_worker.storage.uris import file_uri
from support.fault_proxy import FaultProxy
from support.parquets import dataset_of
from support.run import MAX_WAIT_S, SMALL_PARTS_US, Job, kill, profile_document, wait_until, write_photos
from support.s3 import S3Server
from support.source_tree import REPOSITORY
from support.within import kill_after, require_rows_of_folder

FILES, IMAGES = 3, 60


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    """The job of the example, over files of photos on this machine, of which the second one in each is damaged."""
    write_photos(tmp_path / "photos", FILES * IMAGES)
    photos = sorted((tmp_path / "photos").iterdir())
    for number in range(FILES):
        mine = photos[number * IMAGES : (number + 1) * IMAGES]
        mine[1].write_bytes(b"not a photo")
        data = dataset_of([path.read_bytes() for path in mine], rows=25, paths=[path.name for path in mine])
        (tmp_path / f"train-{number:05d}.parquet").write_bytes(data)
    source = yaml.safe_load((REPOSITORY / "examples" / "parquet.yaml").read_text())["spec"]["source"]
    source["parquet"]["uri"] = str(tmp_path / Path(source["parquet"]["uri"]).name)
    source["keep"] = ["label"]
    job = Job(
        folder=tmp_path,
        profile=profile_document(latency_us=SMALL_PARTS_US),
        spec={"source": source, "maxFailedImages": FILES},
    )
    yield job
    job.clean_up()


def test_killed_and_run_again_each_image_has_one_row_and_it_is_the_folders(job: Job, tmp_path: Path) -> None:
    kill_after(job, 2)
    assert job.run() == 0, job.said()
    rows = job.rows()
    assert [row["uri"] for row in rows] == [
        f"{file_uri(str(tmp_path))}/train-{number // IMAGES:05d}.parquet#{number:05d}.jpg"
        for number in range(FILES * IMAGES)
    ]
    assert [(row["name"], row["label"]) for row in rows] == [
        (f"{number:05d}.jpg", number % IMAGES) for number in range(FILES * IMAGES)
    ]
    assert [row["index"] for row in rows if row["error"]] == [1, IMAGES + 1, 2 * IMAGES + 1]
    assert (job.sink / "_SUCCESS").exists()
    require_rows_of_folder(job, tmp_path / "photos")


@pytest.mark.deep
def test_a_worker_that_is_killed_costs_no_row(job: Job) -> None:
    running = job.start()
    wait_until(lambda: len(job.parts()) >= 1 and job.worker_pids(), "a part, and a worker")
    kill(job.worker_pids()[0])
    assert running.wait(MAX_WAIT_S) == 0, job.said()
    assert [row["index"] for row in job.rows()] == list(range(FILES * IMAGES))


def test_a_file_that_changes_under_a_job_is_told(job: Job, tmp_path: Path) -> None:
    kill_after(job, 1)
    last = tmp_path / f"train-{FILES - 1:05d}.parquet"
    last.write_bytes(dataset_of([b"x"]))
    assert job.run() != 0
    assert f"are for {2 * IMAGES} of them and for {IMAGES} others: sink.ifExists: Append" in job.said()


@pytest.mark.deep
@pytest.mark.s3
def test_rows_on_s3_are_read_once_but_for_samples_and_borders_of_shares(
    job: Job, tmp_path: Path, server: S3Server, proxy: FaultProxy
) -> None:
    store = open_store(server.uri("data"))
    for path in sorted(tmp_path.glob("*.parquet")):
        store.replace(path.name, path.read_bytes())
    job.write(source={"parquet": {"uri": f"{store.uri}/*.parquet"}})
    proxy.requests.clear()
    assert job.run() == 0, job.said()
    assert [row["uri"] for row in job.rows()] == [
        f"{store.uri}/train-{number // IMAGES:05d}.parquet#{number % IMAGES}" for number in range(FILES * IMAGES)
    ]
    # Footers, for two workers and twice for the index; row groups, three in each file, which are also sampled; and what
    # a worker begins once more, at a border or for a part that it takes over. A request for each image would be 180.
    assert proxy.asked("GET", ".parquet") <= FILES * (4 + 2 * 3) + 50
