"""Real workers of this machine that are told to go: they finish their open parts, unless the command is interrupted."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dueby.local import processes
from dueby.local.loop import Loop, Seams
from dueby.local.process import Process, now_us
from dueby.local.processes import Processes
from dueby.local.record import Record
from dueby.local.running_job import JobSeams, LocalJob, first_snapshot
from dueby.local.steps import Indexed
from dueby.local.this_machine import LocalPool, Slot
from dueby_api.gpu_profile import parse_profile
from dueby_api.grid import Grid, Share
from dueby_api.inference_job import InferenceJob
from dueby_api.input_cost import FREE
from dueby_api.parts import NONE, Parts
from dueby_planner.schedule.job import Assignment
from dueby_worker.engines.host import process_environment
from dueby_worker.output.part_names import parts_among
from dueby_worker.storage.stores import open_store
from support.planner import choice, job, profile_document, step_document
from support.processes import MODEL, wait_for
from support.worker import rows_in

IMAGES, PART_SIZE = 1200, 400
SLOTS = tuple(Slot(name=f"cpu-1/{place}", device_class="cpu-1", threads=1) for place in (0, 1))
# By it, one worker takes 75 s for all images.
PROFILE = parse_profile(
    profile_document(
        name="mine",
        device_class="cpu-1",
        model={"name": MODEL["name"], "imageSize": MODEL["imageSize"], "precision": MODEL["precision"]},
        engine="eager",
        device={"threads": 1, "slices": 2},
        steps=[step_document(8, 500_000, 500_000)],
    )
)


@pytest.fixture
def workers(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Processes]:
    """The workers of `dueby run` on two slots, before there is one, for as many images as the test says."""
    images = getattr(request, "param", IMAGES)
    # A part takes a few seconds, and longer on a busy machine.
    monkeypatch.setattr(processes, "GRACE_S", 300)
    made = Processes(
        job(
            deadline="60s",
            images=images,
            model=MODEL | {"weights": "none", "engine": "eager"},
            source={"synthetic": {}},
            sink={"uri": str(tmp_path / "rows")},
        ),
        SLOTS,
        folder=tmp_path / "workers",
        cache_folder=tmp_path / "cache",
        images=images,
        fingerprint=None,
        retry_failed=False,
        environment_of=process_environment,
    )
    yield made
    made.stop_all()


def start(workers: Processes, *names: str) -> list[Process]:
    """Start workers whose shares are all parts, and wait until they are in the middle of the first one."""
    size = choice(8, 10_000, engine="eager")
    share = Share(first=0, end=workers.images // PART_SIZE)
    workers.start(
        [
            Assignment(worker=name, revision=1, device_class="cpu-1", choice=size, iterations=0, share=share)
            for name in names
        ],
        part_size=PART_SIZE,
    )
    started = [process for process in workers.started if process.assignment.worker in names]

    def is_busy(process: Process) -> bool:
        seen = process.progress
        return seen.batches > 3 and seen.images_done - PART_SIZE * seen.parts_committed < PART_SIZE // 2

    def are_busy() -> bool:
        workers.observe()
        return all(map(is_busy, started))

    wait_for(are_busy, "workers in the middle of a part")
    return started


def test_one_that_is_dismissed_finishes_its_part_and_keeps_its_slot_until_then(workers: Processes) -> None:
    (worker,) = start(workers, "w0")
    workers.dismiss(["w0"])
    (model,) = workers.observe()
    assert (model.state, worker.has_slot) == ("stopped", True)
    (other,) = start(workers, "w1")
    assert other.slot != worker.slot
    workers.stop(["w1"])

    def is_gone() -> bool:
        workers.observe()
        return not worker.has_slot

    wait_for(is_gone, "it is gone")
    assert (worker.state, worker.process.returncode) == ("stopped", 143)
    assert rows_in(open_store(workers.job.spec.sink.uri))


# So many that the first one has something to do however long the second one takes to start.
@pytest.mark.parametrize("workers", [50 * IMAGES], indirect=True)
def test_interrupted_no_worker_is_waited_for(workers: Processes) -> None:
    both = start(workers, "w0", "w1")
    there = len(rows_in(open_store(workers.job.spec.sink.uri)))
    workers.dismiss(["w0"])
    workers.stop_all()
    assert [(each.has_slot, each.state, each.process.returncode) for each in both] == [(False, "stopped", 130)] * 2
    assert len(rows_in(open_store(workers.job.spec.sink.uri))) == there


def test_the_loop_dismisses_the_worker_that_an_edit_takes_away(workers: Processes) -> None:
    store, started_us = open_store(workers.job.spec.sink.uri), now_us()
    edits = [workers.job.replace(spec=workers.job.spec.replace(gpus=workers.job.spec.gpus.replace(max=1)))]

    def parts_there(images: int, part_size: int) -> Parts:
        return parts_among(store.list_names(), Grid(images=images, part_size=part_size))

    def edited_job() -> InferenceJob | None:
        are_busy = len(workers.started) == 2 and all(process.progress.batches for process in workers.started)
        return edits.pop() if edits and are_busy else None

    indexed = Indexed(images=IMAGES, fingerprint=None, part_size=None, cost=FREE)
    pool = LocalPool(profiles=(PROFILE,), counts={"cpu-1": 2}, slots=SLOTS)
    running = LocalJob(
        first_snapshot(workers.job, indexed, parts_there=NONE, accepted_us=started_us),
        pool,
        processes=workers,
        record=Record(start_us=started_us, deadline_us=started_us + 60_000_000, images=IMAGES, cost=FREE),
        seams=JobSeams(
            parts_there=parts_there,
            keep=lambda name, document: None,
            edited_job=edited_job,
            say=lambda sentence: None,
            show_plan=lambda verdict: None,
        ),
    )
    coming, ends = [running], []
    seams = Seams(
        arrived=lambda may_wait: [coming.pop()] if coming else None,
        ended=lambda job, end: ends.append(end.ended),
        show=lambda statuses: None,
        now_us=now_us,
        sleep_s=time.sleep,
    )
    Loop(pool, seams).run()
    assert ends == ["Complete"]
    assert sorted(str(process.process.returncode) for process in workers.started) == ["0", "143"]
    assert sum(len(part.uris) for part in rows_in(store)) == IMAGES
