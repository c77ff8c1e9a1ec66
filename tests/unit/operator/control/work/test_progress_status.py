"""How far a job is said to be, by what its workers have told this operator or the one before it."""

import asyncio
from typing import Any

import pytest

from dueby_operator import paths
from dueby_operator.passes.status_writer import PROGRESS_US
from support.control_loop import Clock, Store, reconciler, synthetic
from support.decisions import look, started

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
