"""`dueby run` over tar shards: one row for each image, the same as of a folder, killed and run again."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dueby_worker.storage.uris import file_uri
from support.run import Job, write_photos
from support.tars import tar_of
from support.within import kill_after, require_rows_of_folder

SHARDS, IMAGES = 3, 60


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    """A job over tars of photos, of which the second one in each tar is damaged."""
    write_photos(tmp_path / "photos", SHARDS * IMAGES)
    photos = sorted((tmp_path / "photos").iterdir())
    for shard in range(SHARDS):
        mine = photos[shard * IMAGES : (shard + 1) * IMAGES]
        mine[1].write_bytes(b"not a photo")
        members = [(f"./{path.name}", path.read_bytes()) for path in mine]
        members += [(f"./{path.stem}.cls", str(int(path.stem) % 7).encode()) for path in mine]
        members.sort()
        (tmp_path / f"{shard:03d}.tar").write_bytes(tar_of([("labels.json", b"{}" * 9000), *members], kind="pax"))
    uri = f"{tmp_path}/{{000..{SHARDS - 1:03d}}}.tar"
    job = Job(folder=tmp_path, spec={"source": {"uri": uri, "keep": ["cls"]}, "maxFailedImages": SHARDS})
    yield job
    job.clean_up()


def test_killed_and_run_again_each_image_has_one_row_and_it_is_the_folders(job: Job, tmp_path: Path) -> None:
    kill_after(job, 2)
    assert job.run() == 0, job.said()
    rows = job.rows()
    assert [row["uri"] for row in rows] == [
        f"{file_uri(str(tmp_path))}/{number // IMAGES:03d}.tar#./{number:05d}.jpg" for number in range(SHARDS * IMAGES)
    ]
    assert [(row["name"], row["cls"]) for row in rows] == [
        (f"./{number:05d}.jpg", number % 7) for number in range(SHARDS * IMAGES)
    ]
    assert [row["index"] for row in rows if row["error"]] == [1, IMAGES + 1, 2 * IMAGES + 1]
    assert (job.sink / "_SUCCESS").exists()
    require_rows_of_folder(job, tmp_path / "photos")


def test_a_shard_that_changes_under_a_job_is_told(job: Job, tmp_path: Path) -> None:
    kill_after(job, 1)
    last = tmp_path / f"{SHARDS - 1:03d}.tar"
    last.write_bytes(tar_of([("one.jpg", b"x")]))
    assert job.run() != 0
    assert f"are for {2 * IMAGES} of them and for {IMAGES} others: sink.ifExists: Append" in job.said()
