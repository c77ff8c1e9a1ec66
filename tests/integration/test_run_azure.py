"""`dueby run` from Azure Blob Storage to Azure Blob Storage, killed with its workers, and started again."""

import io
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import dueby
from dueby_worker.storage.stores import open_store
from support.azure import AzureServer, azurite_server
from support.run import SMALL_PARTS_US, Job, kill, profile_document, wait_until, write_photos

pytestmark = pytest.mark.azure
IMAGES = 64


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AzureServer]:
    with azurite_server(tmp_path) as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def job(tmp_path: Path, server: AzureServer) -> Iterator[Job]:
    write_photos(tmp_path / "photos", IMAGES)
    source = open_store(server.uri("in"))
    for path in (tmp_path / "photos").iterdir():
        source.create(path.name, path.read_bytes())
    spec = {"source": {"uri": source.uri}, "sink": {"uri": server.uri("rows")}}
    job = Job(folder=tmp_path, profile=profile_document(latency_us=SMALL_PARTS_US), spec=spec)
    yield job
    job.clean_up()


def test_each_image_has_one_row_though_everything_was_killed(server: AzureServer, job: Job) -> None:
    sink = open_store(server.uri("rows"))
    process = job.start()
    wait_until(lambda: any(name.startswith("part-") for name in sink.list_names()), "a part is there")
    for pid in (*job.worker_pids(), process.pid):
        kill(pid)
    process.wait()
    wait_until(lambda: not job.worker_pids(), "the workers are gone")
    assert not sink.exists("_SUCCESS")
    assert job.run() == 0, job.said()
    names = [name for name in sink.list_names() if name.startswith("part-")]
    rows = [row for name in names for row in pq.read_table(io.BytesIO(sink.read(name))).to_pylist()]
    assert sorted(row["index"] for row in rows) == list(range(IMAGES))
    assert {row["uri"] for row in rows} == {server.uri(f"in/{number:05d}.jpg") for number in range(IMAGES)}
    assert not [row for row in rows if row["error"]]
    assert dueby.read(server.uri("rows")).rows["index"].to_pylist() == list(range(IMAGES))
