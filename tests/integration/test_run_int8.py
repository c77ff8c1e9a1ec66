"""`dueby run` at int8: the index step quantizes the network on the job's photos, and every worker runs this one.

It also tells how far this network is from fp32, of which the plan warns.
"""

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from dueby_api.agreement import Agreement
from dueby_api.schema import validate
from support.run import Job, profile_document, write_photos

pytestmark = pytest.mark.skipif(find_spec("nncf") is None, reason="needs NNCF: pip install 'dueby[int8]'")
MODEL = {
    "name": "efficientnet_lite0",
    "weights": "DEFAULT",
    "imageSize": 64,
    "engine": "auto",
    "precision": "int8",
}


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    """A job at int8 with weights, of photos and one other file, and a profile with an agreement of other weights."""
    write_photos(tmp_path / "photos", 100)
    (tmp_path / "photos" / "00007.jpg").write_bytes(b"not a photo")
    profile = profile_document()
    profile["spec"] |= {
        "engine": "openvino",
        "model": {"name": MODEL["name"], "imageSize": MODEL["imageSize"], "precision": "int8"},
        "agreement": {"photos": 900, "sameTop1": 0.125, "weightsDigest": "of others"},
    }
    made = Job(folder=tmp_path, spec={"model": MODEL, "maxFailedImages": 1}, profile=profile, name="int8")
    yield made
    made.clean_up()


def test_a_job_is_quantized_once_gone_on_with_and_told_how_far_its_network_is_from_fp32(job: Job) -> None:
    assert job.run() == 0, job.said()
    assert "quantizing to int8: 64 images" in job.said()
    (kept,) = (job.sink / "_dueby" / "int8").glob("*.zip")
    noted = kept.with_suffix(".json")
    rows = job.rows()
    assert [row["index"] for row in rows if row["error"]] == [7]
    measured = json.loads(noted.read_text())
    # All but the 64 that it was quantized on and the one that is no photo, as far as there was time. The profile's
    # agreement, which is of other weights, is not asked.
    assert 0 < measured["photos"] <= 36
    assert warnings_of(job) == ([] if measured["sameTop1"] >= 0.95 else [sentence_of(measured)])

    # What is missing is done with the network that is there, and nothing is measured: what the sink says is told.
    before = kept.stat().st_mtime_ns
    measured["sameTop1"] = 0.8125
    noted.write_text(json.dumps(measured))
    job.parts()[0].unlink()
    (job.sink / "_SUCCESS").unlink()
    assert job.run() == 0, job.said()
    assert job.said().count("quantizing to int8") == 1
    assert job.said().count("comparing int8 with fp32") == 1
    assert kept.stat().st_mtime_ns == before
    assert job.rows() == rows
    assert warnings_of(job) == [sentence_of(measured)]
    assert "".join(job.said().split()).count("Warning:atint8,81.2%of") == 1


def sentence_of(agreement: dict[str, Any]) -> str:
    sentence = validate(Agreement, agreement).sentence
    return f"at int8, {sentence} (weights {agreement['weightsDigest'][:12]})"


def warnings_of(job: Job) -> list[str]:
    """What the newest run's plan warned of, as far as it is about this."""
    return [warning for warning in job.record("summary.json")["warnings"] if "fp32's best class" in warning]
