"""Workers that nobody asks: when one counts as running, and how fast it is."""

from dataclasses import replace
from typing import Any

import pytest

from dueby_api.status import JobStatus, ProgressStatus
from dueby_operator.preview.running import as_told
from support.decisions import infj, job
from support.operator import NOW, SECOND, STEP_US, worker


@pytest.mark.parametrize(
    ("seen", "state", "step_us"),
    [
        pytest.param({}, "running", 2 * STEP_US, id="it has had the time to start"),
        pytest.param({"created_us": NOW - SECOND}, "starting", None, id="its start takes 1.2 s"),
        pytest.param({"node": ""}, "starting", None, id="it is on no node"),
        pytest.param({"state": "queued"}, "queued", None, id="it waits in a queue"),
    ],
)
def test_a_worker_is_as_its_pod_and_the_jobs_rate_tell(seen: dict[str, Any], state: str, step_us: int | None) -> None:
    """Two workers are planned to do 320 images a second, and do 160."""
    unasked: dict[str, Any] = {"state": "starting", "node": "n", "step_us": None, "last_step_us": None}
    workers = (worker("w0", **(unasked | seen)), worker("w1", **unasked))
    progress = ProgressStatus(images="1k/10k", images_done=1_000, images_per_second=160)
    status = JobStatus(observed_generation=1, progress=progress)
    told = as_told(replace(job(infj()), status=status, workers=workers), now_us=NOW).workers[0]
    assert (told.state, told.step_us, told.last_step_us) == (state, step_us, NOW if step_us else None)
