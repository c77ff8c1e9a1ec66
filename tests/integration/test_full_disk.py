"""Sinks on a disk that is full or read-only for a while: what is said meanwhile, and that no row is lost."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dueby_api.errors import Invalid
from dueby_worker.storage.retry import RetryPolicy
from dueby_worker.storage.stores import open_store
from dueby_worker.telemetry.progress import StoreWaits
from support.processes import wait_for
from support.run import MAX_WAIT_S, Job, wait_until, write_photos
from support.small_disk import fill, make_room, remount, small_disk

pytestmark = pytest.mark.disk
PHOTOS = 480


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "rows") as disk:
        yield disk


def test_a_disk_that_is_remounted_read_only_is_waited_for_once_it_was_written_to(disk: Path) -> None:
    waits = StoreWaits("sink")
    retry = RetryPolicy(first_pause_s=0.01, max_pause_s=0.05, total_s=60, waits=waits)
    remount(disk, "ro")
    with pytest.raises(Invalid, match=r"^spec.sink.uri: .*read-only file system$"):
        open_store(str(disk), retry=retry).create("part-0", b"rows")
    remount(disk, "rw")
    store = open_store(str(disk), retry=retry)
    assert store.create("part-0", b"rows")
    remount(disk, "ro")
    created: list[bool] = []
    thread = threading.Thread(target=lambda: created.append(store.create("part-1", b"rows")))
    thread.start()
    said = wait_for(lambda: waits.longest(now_s=0), "a call that waits")
    assert "read-only file system" in said.error
    remount(disk, "rw")
    thread.join(60)
    assert created == [True]
    assert store.list_names() == ["part-0", "part-1"]


def test_a_run_into_a_full_disk_says_so_and_goes_on_when_there_is_room(tmp_path: Path, disk: Path) -> None:
    write_photos(tmp_path / "photos", PHOTOS)
    job = Job(folder=tmp_path)
    try:
        process = job.start()
        wait_until(job.parts, "a part is there")
        fill(disk)
        wait_until(lambda: "no space left on device" in job.said(), "the full disk is said")
        assert re.search(r"\d of \d workers? can't write to", job.said())
        assert "the workers go on by themselves then" in job.said()
        done = len(job.parts())
        make_room(disk)
        assert process.wait(MAX_WAIT_S) == 0, job.said()
    finally:
        job.clean_up()
    assert len(job.parts()) > done
    assert [row["index"] for row in job.rows()] == list(range(PHOTOS))
    assert not [row["error"] for row in job.rows() if row["error"]]
