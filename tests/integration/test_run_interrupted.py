"""`dueby run` is interrupted while its sink's store doesn't answer and a worker hangs: it ends within seconds."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.run import SMALL_PARTS_US, Job, profile_document, wait_until, write_photos
from support.s3 import S3Server, versitygw_server

pytestmark = pytest.mark.s3
# Five seconds, and what a busy machine takes to end processes. A store that doesn't answer is asked for minutes.
ENDS_WITHIN_S = 30.0


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    with versitygw_server(tmp_path) as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def job(tmp_path: Path, server: S3Server) -> Iterator[Job]:
    write_photos(tmp_path / "photos", 240)
    job = Job(
        folder=tmp_path, profile=profile_document(latency_us=SMALL_PARTS_US), spec={"sink": {"uri": server.uri("rows")}}
    )
    yield job
    job.clean_up()


@pytest.mark.parametrize(
    "number",
    [pytest.param(signal.SIGINT, id="Ctrl-C"), pytest.param(signal.SIGTERM, id="SIGTERM", marks=pytest.mark.deep)],
)
def test_the_first_signal_ends_it_and_the_same_command_goes_on(
    server: S3Server, job: Job, number: signal.Signals
) -> None:
    rows = server.folder / "rows"
    process = job.start()
    wait_until(lambda: list(rows.glob("part-*")), "a part is there")
    for pid in job.worker_pids()[:1]:
        os.kill(pid, signal.SIGSTOP)
    with server.frozen():
        process.send_signal(number)
        began_s = time.monotonic()
        assert process.wait(120) == 130, job.said()
        assert time.monotonic() - began_s < ENDS_WITHIN_S
        wait_until(lambda: not job.worker_pids(), "the workers are gone")
    assert "dueby run: interrupted. The same command continues where it stopped." in job.said()
    assert "Traceback" not in job.said()
    assert job.run() == 0, job.said()
    assert (rows / "_SUCCESS").exists()
