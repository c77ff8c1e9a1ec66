"""Several jobs in one `dueby run`, on one slice of this machine: who gives way, who waits, and how each ends."""

import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from support.run import Job, profile_document, wait_until, write_photos

# So slow by its profile that a Hard job can't wait for the end of a long one.
PROFILE = profile_document(latency_us=2_000_000, startup_us=500_000, slices=1)
LONG, SHORT = 6_000, 80


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[tuple[Job, Job]]:
    """A long one that needs no index step, and a short one that takes what is left, on one slice."""
    write_photos(tmp_path / "photos", SHORT)
    for name in ("long", "short"):
        (tmp_path / name).mkdir()
    spec = {"deadline": "60m", "deadlineClass": "Relaxed", "images": LONG, "source": {"synthetic": {}}}
    long = Job(folder=tmp_path / "long", name="long", profile=PROFILE, spec=spec)
    source = {"source": {"uri": str(tmp_path / "photos")}}
    short = Job(
        folder=tmp_path / "short",
        name="short",
        profile=PROFILE,
        spec={"deadline": "90m", "deadlineClass": "BestEffort", **source},
    )
    yield long, short
    long.clean_up()


def assert_each_image_once(job: Job, images: int) -> None:
    assert [row["index"] for row in job.rows()] == list(range(images))
    assert (job.sink / "_SUCCESS").exists()


def test_a_relaxed_job_gives_way_to_a_hard_one_and_both_are_done_once(jobs: tuple[Job, Job]) -> None:
    long, short = jobs
    process = long.start("-f", str(short.manifest))
    wait_until(long.parts, "the long job has a part")
    wait_until(lambda: "  short: " in long.said(), "the short job waits")
    soon = datetime.now(UTC) + timedelta(seconds=36)
    del short.spec["deadline"]
    short.write(deadlineTime=f"{soon:%Y-%m-%dT%H:%M:%SZ}", deadlineClass="Hard")

    assert process.wait(1200) in (0, 4), long.said()  # in time or late: this machine may be busy
    assert "long: Other jobs need the devices: 1 to 0 workers" in long.said()
    assert_each_image_once(long, LONG)
    assert_each_image_once(short, SHORT)
    assert "GaveWay" in [replan["reason"] for replan in long.record("summary.json")["replans"]]
    assert long.record("summary.json")["imagesDone"] == LONG
    assert short.record("summary.json")["imagesDone"] == SHORT


def test_interrupted_all_end_and_the_same_command_goes_on(jobs: tuple[Job, Job]) -> None:
    long, short = jobs
    short.write(gpus={"classes": ["cpu-1"]})
    process = long.start("-f", str(short.manifest))
    wait_until(long.parts, "the long job has a part")
    process.send_signal(signal.SIGINT)

    assert process.wait(30) == 130, long.said()
    wait_until(lambda: not long.worker_pids(), "the workers are gone with their parent")
    assert long.record("summary.json")["verdict"] == "Interrupted"
    assert "The same command continues where it stopped." in long.said()
    kept = {path: path.stat().st_mtime_ns for path in long.parts()}
    long.start("-f", str(short.manifest))
    wait_until(lambda: len(long.parts()) > len(kept), "it goes on")
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in kept.items())
