"""How far a job is said to be, by what its workers have told this operator or the one before it."""

import asyncio
from typing import Any

import pytest

from dueby_operator import paths
from dueby_operator.passes.status_writer import PROGRESS_US
from support.control_loop import Clock, Store, reconciler, synthetic
from support.decisions import Look, a_batch, look, started

Document = dict[str, Any]


def test_an_operator_that_starts_again_does_not_take_back_images_that_were_done_while_no_worker_answers() -> None:
    store, clock = Store(), Clock()
    path, shown = paths.jobs_path("team", "a"), []
    store.add(path, synthetic("a"))

    async def look(answers: Document) -> None:
        async with reconciler(store, clock, answers) as loop:  # an operator that starts again
            clock.now_us += PROGRESS_US
            await loop.reconcile()
            store.start_pods()
            shown.append(store.objects[path]["status"].get("progress", {}).get("imagesDone"))

    for answers in ({}, {"batches": 30, "imagesDone": 240, "secondsSinceBatch": 0.0}, {}):
        asyncio.run(look(answers))
    assert shown == [None, 480, 480], "of two workers"


@pytest.mark.parametrize(("is_told", "left"), [(True, 10_000), (False, 6_000)])
def test_until_a_worker_tells_a_new_operator_which_parts_there_are_it_plans_by_what_was_done(
    is_told: bool, left: int
) -> None:
    begun = started(deadline="25s")
    status = begun.document["status"] | {"progress": {"images": "4k/10k", "imagesDone": 4_000}}
    seen = look(begun.job(document=begun.document | {"status": status}, is_told_parts=is_told))
    assert seen.decision.scheduled
    assert seen.decision.scheduled.images_left == left


def late(share: float | None) -> Look:
    """A job whose only worker is too slow and says that it waits for images in this share of its time."""
    begun = started(deadline="25s", gpus={"max": 1})
    report = a_batch(batches=11, stepMicros=9_000_000, stepMicrosMean=9_000_000, inputWait=share, worker="w0")
    names = [pod["metadata"]["name"] for pod in begun.pods]
    return look(begun.job(progress={name: report | {"worker": f"w{n}"} for n, name in enumerate(names)}))


def test_a_late_job_whose_workers_wait_for_images_says_so() -> None:
    assert late(0.5).said("OnTrack") == ("False", "WaitsForImages")
    assert "More devices would not help" in late(0.5).message("OnTrack")


@pytest.mark.parametrize("share", [None, 0.0, 0.19])
def test_a_late_job_whose_workers_hardly_wait_does_not(share: float | None) -> None:
    assert late(share).said("OnTrack") == ("False", "Late")
