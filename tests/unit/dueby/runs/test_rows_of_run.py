"""What a run says about its profiles: steps of devices that were all busy, beside the input that the plan knows."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from dueby.local.process import Process
from dueby.local.record import Record
from dueby.local.this_machine import LocalPool, Slot
from dueby.runs.observations import rows_of_run
from dueby_api.gpu_profile import ObservedJob, parse_profile
from dueby_api.grid import Share
from dueby_api.inference_job import InferenceJob
from dueby_api.input_cost import InputCost
from dueby_api.step_messages import WorkerProgress
from dueby_planner.schedule.job import Assignment
from support.planner import choice, job, profile_document, step_document

SECOND = 1_000_000
NOW = 1_795_572_005 * SECOND
SLOTS = tuple(Slot(name=f"cpu-1/{place}", device_class="cpu-1", threads=1) for place in (0, 1))
PROFILE = parse_profile(
    profile_document(
        name="mine",
        device_class="cpu-1",
        engine="eager",
        device={"threads": 1, "slices": 2},
        steps=[step_document(8, 80_000, 90_000)],
    )
)
POOL = LocalPool(profiles=(PROFILE,), counts={"cpu-1": 2}, slots=SLOTS)
# 8 images take 20 ms of a core, so that a step is planned with 100 ms, 80 % of which are the model's.
COST = InputCost(decode_us=2_500)
FINE = WorkerProgress(batches=101, mean_step_us=110_000, mean_model_us=80_000)


def process(place: int, progress: WorkerProgress = FINE, *, folder: Path, **changes: Any) -> Process:
    """A worker on the slot, which has ended an hour after its creation."""
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    assignment = Assignment(
        worker=f"w{place}",
        revision=changes.pop("revision", 1),
        device_class="cpu-1",
        choice=choice(8, 100_000, engine="eager", profile="mine", step_ratio=changes.pop("step_ratio", 1.0)),
        iterations=100,
        share=Share(first=0, end=1),
    )
    fields: dict[str, Any] = {"created_us": NOW - 3600 * SECOND, "ended_us": NOW, "state": "done"} | changes
    return Process(
        assignment=assignment,
        slot=SLOTS[place % 2],
        process=ended,
        folder=folder,
        part_size=8,
        progress=progress,
        **fields,
    )


def row(*processes: Process, of: InferenceJob | None = None, replan: str = "") -> ObservedJob | None:
    record = Record(start_us=NOW, deadline_us=NOW, images=1, cost=COST)
    if replan:
        record.replanned(replan, now_us=NOW, before=2, after=1)  # type: ignore[arg-type]
    rows = rows_of_run("run-1", of or job(), POOL, processes, record=record, now_us=NOW)
    assert rows.keys() <= {"mine"}
    return rows.get("mine")


def test_a_run_leaves_a_row_with_what_its_steps_took_and_without_start_ups(tmp_path: Path) -> None:
    slower = WorkerProgress(batches=101, mean_step_us=130_000, mean_model_us=100_000, startup_us=SECOND)
    found = row(process(0, folder=tmp_path), process(1, slower, folder=tmp_path))
    assert found is not None
    assert (found.job, found.namespace, found.workers, found.steps) == ("run-1", "", 2, 200)
    assert found.step_ratio == pytest.approx(1.2)
    assert found.startup_micros == ()


def test_a_ratio_is_at_most_what_a_profile_can_hold(tmp_path: Path) -> None:
    stuck = WorkerProgress(batches=101, mean_step_us=20 * SECOND, mean_model_us=20 * SECOND)
    found = row(*(process(place, stuck, folder=tmp_path) for place in (0, 1)))
    assert found is not None
    assert found.step_ratio == 100


def test_the_ratio_is_to_what_was_measured_not_to_what_was_planned(tmp_path: Path) -> None:
    found = row(*(process(place, folder=tmp_path, step_ratio=1.5) for place in (0, 1)))
    assert found is not None
    assert found.step_ratio == pytest.approx(1.1 * 1.5)


@pytest.mark.parametrize(
    ("model_us", "counts"),
    [
        pytest.param(80_000, True, id="as much for the input as was planned"),
        pytest.param(71_000, True, id="a little more"),
        pytest.param(69_000, False, id="so much more that the worker has waited"),
    ],
)
def test_a_slice_that_decodes_is_not_waiting_for_input(tmp_path: Path, model_us: int, counts: bool) -> None:
    progress = WorkerProgress(batches=101, mean_step_us=110_000, mean_model_us=model_us)
    assert (row(*(process(place, progress, folder=tmp_path) for place in (0, 1))) is not None) is counts


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(None, id="one slice had no worker"),
        pytest.param({"revision": 2}, id="its worker was added later"),
        pytest.param({"progress": WorkerProgress(batches=20, mean_step_us=1, mean_model_us=1)}, id="it did few steps"),
        pytest.param({"losses": 2}, id="its worker was careful"),
        pytest.param({"created_us": NOW - 10 * SECOND}, id="it has existed for less time than it says"),
    ],
)
def test_a_run_that_did_not_keep_all_devices_busy_says_nothing(tmp_path: Path, second: dict[str, Any] | None) -> None:
    first = process(0, folder=tmp_path)
    others = [] if second is None else [process(1, folder=tmp_path, **second)]
    assert row(first, *others) is None
    assert row(first, process(1, folder=tmp_path)) is not None


def test_nor_does_one_that_gave_a_device_back(tmp_path: Path) -> None:
    both = [process(place, folder=tmp_path) for place in (0, 1)]
    assert row(*both, replan="Ahead") is None
    assert row(*both, replan="Lagging") is not None


def test_nor_does_one_whose_workers_had_variables_of_their_own(tmp_path: Path) -> None:
    both = [process(place, folder=tmp_path) for place in (0, 1)]
    assert row(*both, of=job(worker={"env": [{"name": "OMP_NUM_THREADS", "value": "1"}]})) is None


def test_nor_does_one_whose_network_ended_at_some_layer(tmp_path: Path) -> None:
    both = [process(place, folder=tmp_path) for place in (0, 1)]
    assert row(*both, of=job(output={"kind": "Embedding", "layer": "blocks.3"})) is None
    assert row(*both, of=job(output={"kind": "Embedding"})) is not None


def test_a_lost_worker_and_the_one_in_its_place_both_count(tmp_path: Path) -> None:
    lost = process(0, folder=tmp_path, state="lost")
    found = row(lost, process(1, folder=tmp_path), process(2, folder=tmp_path, revision=2))
    assert found is not None
    assert (found.workers, found.steps) == (3, 300)
