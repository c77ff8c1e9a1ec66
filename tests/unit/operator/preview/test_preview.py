"""A preview is the operator's own answer: what it shows is what the operator does once the job is there."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from dueby_api.inference_job import parse_job
from dueby_api.units import parse_time_us, seconds
from dueby_operator import paths
from dueby_operator.preview.answer import cluster_answer
from dueby_operator.preview.preview import preview_jobs
from support.control_loop import Clock, Store, reconciler, synthetic
from support.decisions import SECOND


def reading(store: Store) -> Any:
    """What asks for the objects that are there."""

    def fetch(path: str, query: Mapping[str, str], accept: str) -> tuple[int, bytes]:
        kind = path.rpartition("/")[2]
        if path in store.objects:
            return 200, json.dumps(store.objects[path]).encode()
        if kind not in (*store.listed, "deployments"):
            return 404, b'{"message": "not found"}'
        items = [document for place, document in store.objects.items() if f"/{kind}/" in place]
        return 200, json.dumps({"metadata": {"resourceVersion": "1"}, "items": items}).encode()

    return fetch


def test_the_operator_does_what_was_previewed() -> None:
    """Beside a job whose workers are under way, which nobody but the operator asks how far they are."""
    store, clock = Store(), Clock()
    first, second = synthetic("first"), synthetic("second")
    first["spec"] |= {"images": 70_000, "deadlineClass": "Hard"}
    second["spec"] |= {"deadline": "3m", "deadlineClass": "Hard"}
    store.add(paths.jobs_path("team", "first"), first)

    async def run(answers: dict[str, Any]) -> None:
        async with reconciler(store, clock, answers) as loop:
            await loop.reconcile()

    asyncio.run(run({}))
    store.start_pods()
    clock.now_us += 20 * SECOND
    answers = {"batches": 180, "imagesDone": 2_880, "secondsSinceBatch": 0.0, "stepMicros": 100_000}
    asyncio.run(run(answers))

    written = list(store.written)
    preview = preview_jobs(reading(store), [parse_job(second)], namespace="team", now_us=clock.now_us)
    (job,) = cluster_answer(preview).jobs
    assert store.written == written
    store.add(paths.jobs_path("team", "second"), second)
    asyncio.run(run(answers))
    status = store.objects[paths.jobs_path("team", "second")]["status"]
    (window,), (planned,) = job.windows, status["plan"]["windows"]
    assert (job.action, job.message) == ("Reserve", status["message"])
    assert [window.from_seconds, window.to_seconds] == [
        seconds(parse_time_us(planned[end]) - clock.now_us) for end in ("from", "to")
    ]
    assert (window.count, window.mini_batch_size, window.images) == (
        planned["count"],
        planned["miniBatchSize"],
        planned["images"],
    )
