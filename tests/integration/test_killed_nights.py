"""Nights of a growing folder, with runs that are killed: in the end each photo has one row.

A run is killed a moment after something that it does: it is started, has its index, has begun the generation, has
written a part. Photos also come between a kill and the run after it.
"""

import random
import time
from pathlib import Path

import dueby
from support.pictures import write_photos
from support.run import Job, wait_until

NIGHTS, FIRST, MOST_NEW = 4, 24, 7
SEED = 20261130
# Most of a second, so that it may be anything that comes next.
PAUSE_S = 0.8


def kill_a_run(job: Job, night: int, chance: random.Random) -> None:
    """Start a run, and kill it, unless it is faster."""
    infix = "" if night == 1 else f".g{night:04}"
    moments = ["_dueby", f"_dueby/index/index{infix}.json", f"_dueby/job{infix}.json", f"part-*{infix}.parquet"]
    moment = chance.choice(moments)
    run = job.start()
    wait_until(lambda: run.poll() is not None or any(job.sink.glob(moment)), f"{moment} in night {night}")
    time.sleep(chance.uniform(0, PAUSE_S))
    run.kill()
    run.wait()
    wait_until(lambda: not job.worker_pids(), "the workers are gone with their parent")


def test_each_photo_has_one_row_after_nights_with_kills(tmp_path: Path) -> None:
    chance, photos = random.Random(SEED), tmp_path / "photos"
    job = Job(folder=tmp_path, spec={"sink": {"uri": str(tmp_path / "rows"), "ifExists": "Append"}})
    count = 0
    for night in range(1, NIGHTS + 1):
        count += FIRST if night == 1 else chance.randint(1, MOST_NEW)
        write_photos(photos, count)
        for _ in range(chance.choice((0, 1, 1, 2))):
            kill_a_run(job, night, chance)
            count += chance.randint(0, 1)
            write_photos(photos, count)
        assert job.run() == 0, job.said()
    # What came in the last night, after its index was made.
    assert job.run() == 0, job.said()
    found = dueby.read(job.sink)
    names = sorted(uri.rpartition("/")[2] for uri in found.rows["uri"].to_pylist())
    assert names == [f"{number:05}.jpg" for number in range(count)]
    assert (found.is_complete, len(found.errors)) == (True, 0)
    # As any reader of the folder finds them.
    assert [row["index"] for row in job.rows()] == list(range(count))
