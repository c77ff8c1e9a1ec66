"""A job that overwrites, from its index step to `_SUCCESS`: whose rows stay, and what a worker before it leaves."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import dueby
from dueby_api.errors import Transient
from dueby_worker.output.part_names import part_name
from dueby_worker.output.sink_manifest import SINK_MANIFEST, encode_sink_manifest
from dueby_worker.output.success import SUCCESS
from dueby_worker.steps.finish_step import finish
from dueby_worker.storage.local_store import LocalStore
from dueby_worker.storage.retry import RetryPolicy
from dueby_worker.storage.stores import open_store
from support.processes import ProcessJob
from support.run import MODEL
from support.worker import a_manifest

HOUR_US = 3_600_000_000


@pytest.fixture
def job(tmp_path: Path) -> ProcessJob:
    return ProcessJob(
        folder=tmp_path,
        source={"synthetic": {}},
        sink=str(tmp_path / "sink"),
        images=60,
        part_size=20,
        model={**MODEL, "engine": "eager"},
        mini_batch_size=20,
        if_exists="Overwrite",
    )


def created(uid: str, *, hours_ago: int = 0, **more: Any) -> dict[str, Any]:
    """What an index step knows of an InferenceJob that is so old."""
    return {"uid": uid, "createdUnixMicros": time.time_ns() // 1000 - hours_ago * HOUR_US, **more}


def run(job: ProcessJob, uid: str) -> dict[str, Any]:
    """Run the job to its end; return what its `_SUCCESS` holds."""
    found = job.index_here(**created(uid))
    job.work_here(uid=uid, fingerprint=found["fingerprint"])
    finish(open_store(job.sink), is_overwriting=True, uid=uid)
    success: dict[str, Any] = json.loads(open_store(job.sink).read(SUCCESS))
    return success


@pytest.mark.parametrize(
    ("again", "stay"),
    [
        pytest.param({"uid": "u-1"}, True, id="its status was lost"),
        pytest.param({"uid": "u-2", "hours_ago": 1}, True, id="a job that waited meanwhile"),
        pytest.param({"uid": "u-2", "isRestored": True}, True, id="it was restored from a backup"),
        pytest.param({"uid": "u-2"}, False, id="it is applied again"),
    ],
)
def test_whose_rows_stay(job: ProcessJob, again: Mapping[str, Any], stay: bool) -> None:
    run(job, "u-1")
    indexed = job.index_here(**created(**again))
    assert ("partSize" in indexed) == stay
    assert indexed.get("partsThere", "") == ("0-2" if stay else "")
    assert len(list(Path(job.sink).glob("part-*.parquet"))) == (3 if stay else 0)
    assert (Path(job.sink) / SUCCESS).exists() == stay


def test_who_has_finished_the_rows_of_another_job_does_not_empty_them(job: ProcessJob) -> None:
    assert run(job, "u-1")["uids"] == ["u-1"]
    assert finish(open_store(job.sink), is_overwriting=True, uid="u-2").uids == ("u-1", "u-2")
    assert job.index_here(**created("u-2"))["partsThere"] == "0-2"


def test_without_a_cluster_each_run_overwrites(job: ProcessJob) -> None:
    job.index_here()
    job.work_here()
    job.finish_here()
    assert "partSize" not in job.index_here()
    assert not list(Path(job.sink).glob("part-*"))


def test_rows_are_counted_once_though_a_worker_of_the_job_before_writes_after_the_end(job: ProcessJob) -> None:
    run(job, "u-1")
    late = part_name(a_manifest(images=60, part_size=20, uid="u-1").grid, 1)
    rows = (Path(job.sink) / late).read_bytes()
    job.part_size = 30
    success = run(job, "u-2")
    assert {name: success[name] for name in ("images", "parts", "partSize", "mark")} == {
        "images": 60,
        "parts": 2,
        "partSize": 30,
        "mark": a_manifest(uid="u-2").grid.mark,
    }
    (Path(job.sink) / late).write_bytes(rows)
    assert dueby.read(job.sink).rows["index"].to_pylist() == list(range(60))
    # Before the end, the finish step deletes it.
    finish(open_store(job.sink), is_overwriting=True)
    assert not (Path(job.sink) / late).exists()


class OverwrittenMeanwhile(LocalStore):
    """A sink that another job begins while its parts are counted."""

    def read_end(self, path: str, length: int) -> bytes:
        self.replace(SINK_MANIFEST, encode_sink_manifest(a_manifest(uid="u-2")))
        return super().read_end(path, length)


def test_a_finish_step_that_was_stopped_for_long_says_nothing_of_another_job_s_rows(job: ProcessJob) -> None:
    found = job.index_here(**created("u-1"))
    job.work_here(uid="u-1", fingerprint=found["fingerprint"])
    paused = OverwrittenMeanwhile(job.sink, field="sink", retry=RetryPolicy(total_s=0))
    with pytest.raises(Transient, match="begun by another job, while its rows were counted"):
        finish(paused)
    assert not (Path(job.sink) / SUCCESS).exists()
