"""`dueby run` at int8: the index step quantizes the network on the job's photos, and every worker runs this one.

It also tells how far this network is from fp32, of which the plan warns.
"""

import json
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from dueby_api.agreement import Agreement
from dueby_api.schema import validate
from support.run import MODEL, Job, profile_document, write_photos

pytestmark = pytest.mark.skipif(find_spec("nncf") is None, reason="needs NNCF: pip install 'dueby[int8]'")


@pytest.fixture
def make_job(tmp_path: Path) -> Iterator[Callable[..., Job]]:
    """Return what makes a job at int8; its workers are gone afterwards."""
    made: list[Job] = []

    def make(photos: int, model: dict[str, Any], **profiled: Any) -> Job:
        write_photos(tmp_path / "photos", photos)
        (tmp_path / "photos" / "00007.jpg").write_bytes(b"not a photo")
        profile = profile_document()
        profile["spec"] |= {
            "engine": "openvino",
            "model": {"name": model["name"], "imageSize": model["imageSize"], "precision": "int8"},
            **profiled,
        }
        spec = {"model": {**model, "engine": "auto", "precision": "int8"}, "maxFailedImages": 1}
        made.append(Job(folder=tmp_path, spec=spec, profile=profile, name="int8"))
        return made[-1]

    yield make
    for job in made:
        job.clean_up()


def test_a_job_at_int8_is_quantized_once_and_gone_on_with(make_job: Callable[..., Job]) -> None:
    job = make_job(40, {**MODEL, "imageSize": 64})
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


def test_a_job_is_told_once_how_far_its_network_is_from_fp32_and_profiles_are_not_asked(
    make_job: Callable[..., Job],
) -> None:
    model = {"name": "efficientnet_lite0", "weights": "DEFAULT", "imageSize": 64}
    of_others = {"photos": 900, "sameTop1": 0.125, "weightsDigest": "of others"}
    job = make_job(100, model, agreement=of_others)
    assert job.run() == 0, job.said()
    assert "quantizing to int8: 64 images" in job.said()
    (noted,) = (job.sink / "_dueby" / "int8").glob("*.json")
    measured = json.loads(noted.read_text())
    # All but the 64 that it was quantized on and the one that is no photo, as far as there was time.
    assert 0 < measured["photos"] <= 36
    assert warnings_of(job) == ([] if measured["sameTop1"] >= 0.95 else [sentence_of(measured)])

    # The job that is gone on with measures nothing: it is told what the sink says.
    measured["sameTop1"] = 0.8125
    noted.write_text(json.dumps(measured))
    job.parts()[0].unlink()
    (job.sink / "_SUCCESS").unlink()
    assert job.run() == 0, job.said()
    assert job.said().count("comparing int8 with fp32") == 1
    assert warnings_of(job) == [sentence_of(measured)]
    assert "".join(job.said().split()).count("Warning:atint8,81.2%of") == 1


def sentence_of(agreement: dict[str, Any]) -> str:
    sentence = validate(Agreement, agreement).sentence
    return f"at int8, {sentence} (weights {agreement['weightsDigest'][:12]})"


def warnings_of(job: Job) -> list[str]:
    """What the newest run's plan warned of, as far as it is about this."""
    return [warning for warning in job.record("summary.json")["warnings"] if "fp32's best class" in warning]
