"""A run that is refused leaves nothing behind, in a folder of its own as in one that was there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.run import Job


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"not a photo")
    made = Job(folder=tmp_path)
    yield made
    made.clean_up()


@pytest.mark.parametrize("is_there", [False, True], ids=["a new sink", "a folder that was there"])
@pytest.mark.parametrize(
    ("spec", "said"),
    [
        pytest.param({"source": {"uri": "nowhere"}}, "there is no such folder", id="no source"),
        pytest.param({}, "none of 1 sampled image can be read", id="no image that can be read"),
    ],
)
def test_a_run_that_is_refused_leaves_nothing(job: Job, is_there: bool, spec: dict[str, Any], said: str) -> None:
    if is_there:
        job.sink.mkdir()
    job.write(**spec)
    assert job.run() == 2, job.said()
    assert said in job.said()
    # Workers that had begun to load the model say nothing when they are stopped.
    ours = ("freezing: ", "sampling: ", "writing: ", "Warning: spec.model.weights", "dueby run: ")
    assert [line for line in job.said().splitlines() if not line.startswith(ours)] == []
    assert job.sink.exists() == is_there
    assert not is_there or not list(job.sink.iterdir())
