"""`dueby run` at int8: the index step quantizes the network on the job's photos, and every worker runs this one."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from support.run import MODEL, Job, profile_document, write_photos

pytestmark = pytest.mark.skipif(find_spec("nncf") is None, reason="needs NNCF: pip install 'dueby[int8]'")


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    write_photos(tmp_path / "photos", 40)
    (tmp_path / "photos" / "00007.jpg").write_bytes(b"not a photo")
    profile = profile_document()
    profile["spec"] |= {"engine": "openvino", "model": {**profile["spec"]["model"], "precision": "int8"}}
    spec = {"model": {**MODEL, "engine": "auto", "precision": "int8"}, "maxFailedImages": 1}
    job = Job(folder=tmp_path, spec=spec, profile=profile, name="int8")
    yield job
    job.clean_up()


def test_a_job_at_int8_is_quantized_once_and_gone_on_with(job: Job) -> None:
    assert job.run() == 0, job.said()
    assert "quantizing to int8: 40 images" in job.said()
    (kept,) = (job.sink / "_dueby" / "int8").iterdir()
    rows = job.rows()
    assert [row["index"] for row in rows if row["error"]] == [7]

    # What is missing is done with the network that is there.
    before = kept.stat().st_mtime_ns
    job.parts()[0].unlink()
    (job.sink / "_SUCCESS").unlink()
    assert job.run() == 0, job.said()
    assert job.said().count("quantizing to int8") == 1
    assert kept.stat().st_mtime_ns == before
    assert job.rows() == rows

    # A sink that has lost it is given another one.
    kept.unlink()
    job.parts()[0].unlink()
    (job.sink / "_SUCCESS").unlink()
    assert job.run() == 0, job.said()
    assert job.said().count("quantizing to int8") == 2
    assert len(job.rows()) == len(rows)
