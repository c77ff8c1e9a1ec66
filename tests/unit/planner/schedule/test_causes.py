"""Why a job's workers are stopped whatever others need, each cause alone."""

from typing import Any

import pytest

from dueby_api.inference_job import JobSpec
from dueby_planner.schedule.job import ScheduledJob, WorkerModel
from dueby_planner.schedule.watch import HANG_STEPS, HANG_US, find_hanging, find_over_limit
from support.operator import NOW, STEP_US, model, spec, worker

LONG_US = HANG_US + HANG_STEPS * STEP_US


def job_with(*workers: WorkerModel, **gpus: Any) -> ScheduledJob:
    whole: JobSpec = spec()
    return model(revision=1, workers=workers, spec=whole.replace(gpus=whole.gpus.replace(**gpus)))


@pytest.mark.parametrize(
    ("seen", "hangs"),
    [
        pytest.param({"last_step_us": NOW - LONG_US}, False, id="its last step may just take as long"),
        pytest.param({"last_step_us": NOW - LONG_US - 1}, True, id="no step for longer than that"),
        pytest.param({"last_step_us": NOW - LONG_US - 1, "answers_since_us": None}, False, id="it doesn't answer"),
        pytest.param({"last_step_us": NOW - LONG_US - 1, "state": "queued"}, False, id="it waits in its queue"),
        pytest.param({"last_step_us": NOW - LONG_US - 1, "state": "lost"}, False, id="it is gone"),
    ],
)
def test_a_worker_hangs_that_answers_and_does_nothing(seen: dict[str, Any], hangs: bool) -> None:
    assert find_hanging(job_with(worker("w0", **seen), worker("w1"))) == (("w0",) if hangs else ())


@pytest.mark.parametrize(
    ("gpus", "stopped"),
    [
        pytest.param({}, (), id="no limit"),
        pytest.param({"max": 3}, (), id="as many as are there"),
        pytest.param({"max": 1}, ("slow", "middle"), id="those that do least"),
        pytest.param({"classes": ("cpu-2",)}, ("slow", "middle", "fast"), id="of another class than is named now"),
        pytest.param({"classes": ("cpu-1",), "max": 2}, ("slow",), id="of a class that is named"),
    ],
)
def test_workers_beyond_what_is_allowed_are_stopped(gpus: dict[str, Any], stopped: tuple[str, ...]) -> None:
    workers = [worker(name, step_us=factor * STEP_US) for name, factor in (("slow", 4), ("middle", 2), ("fast", 1))]
    assert find_over_limit(job_with(*workers, **gpus)) == stopped
