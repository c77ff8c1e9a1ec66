"""A part that a power cut has damaged: the steps that read it name it, and the job goes on when it is deleted."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dueby_api.errors import Invalid
from dueby_worker.output.damaged_parts import read_part
from dueby_worker.output.rows import decode_rows, encode_rows
from dueby_worker.storage.stores import open_store
from support.processes import ProcessJob
from support.run import MODEL


@pytest.fixture
def job(tmp_path: Path) -> ProcessJob:
    """A job that is done, with a part that is empty now."""
    job = ProcessJob(
        folder=tmp_path,
        source={"synthetic": {}},
        sink=str(tmp_path / "sink"),
        images=8,
        part_size=4,
        model={**MODEL, "engine": "eager"},
        mini_batch_size=4,
    )
    job.work_here()
    part_of(job).write_bytes(b"")
    return job


ADVICE = "delete it and run the job again; in a cluster delete the InferenceJob, too, and apply it again"


def part_of(job: ProcessJob) -> Path:
    return Path(job.sink) / "part-000000000004-000000000007.parquet"


def test_the_finish_step_and_the_retry_of_failed_rows_name_it(job: ProcessJob) -> None:
    for step in (job.finish_here, lambda: job.work_here(retryFailed=True)):
        with pytest.raises(Invalid, match=rf"^spec\.sink\.uri: file://{part_of(job)} is damaged \(.*; {ADVICE}$"):
            step()


def as_texts(table: pa.Table) -> pa.Table:
    return table.set_column(0, "index", table["index"].cast(pa.string()))


@pytest.mark.parametrize(
    ("change", "statistics"),
    [
        pytest.param(lambda table: table, False, id="without statistics"),
        pytest.param(as_texts, True, id="with texts for an index"),
        pytest.param(lambda table: table.drop_columns(["index"]), True, id="without an index"),
        pytest.param(lambda table: table.drop_columns(["error"]), True, id="without errors"),
    ],
)
def test_a_part_that_something_else_has_written_is_damaged(
    job: ProcessJob, change: Callable[[pa.Table], pa.Table], statistics: bool
) -> None:
    own = part_of(job).with_name("part-000000000000-000000000003.parquet")
    part_of(job).unlink()
    job.work_here()
    pq.write_table(change(pq.read_table(own)), own, write_statistics=statistics)
    with pytest.raises(Invalid, match=rf"^spec\.sink\.uri: file://{own} is damaged \(.*; {ADVICE}$"):
        job.finish_here()


def test_rows_of_another_job_are_not_kept_by_the_retry_of_failed_rows(job: ProcessJob) -> None:
    """It would write them as its own."""
    own = part_of(job).with_name("part-000000000000-000000000003.parquet")
    rows, origin = decode_rows(own.read_bytes())
    foreign = replace(origin, fingerprint="another")
    failed = replace(rows, errors={1: "It is truncated."})
    own.write_bytes(encode_rows(failed, labels=["label"] * 1000, origin=foreign))
    with pytest.raises(Invalid, match=f"^spec.sink.uri: file://{own} was made by another job; delete that file"):
        job.work_here(retryFailed=True)


def test_without_it_the_same_job_classifies_its_images_again(job: ProcessJob) -> None:
    part_of(job).unlink()
    job.work_here()
    assert job.finish_here()["rows"] == 8


def test_a_part_for_which_there_is_no_memory_is_not_called_damaged(job: ProcessJob) -> None:
    def decode(data: bytes) -> None:
        raise pa.ArrowMemoryError("malloc of 512 failed")

    with pytest.raises(MemoryError):
        read_part(open_store(job.sink), part_of(job).name, decode)
