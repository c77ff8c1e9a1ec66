"""An API server that takes no Job, since a webhook that has a say in them doesn't answer."""

import asyncio
from typing import Any

from dueby_operator import paths
from dueby_operator.passes.reconciler import AT_ONCE
from support.control_loop import Clock, Store, reconciler, synthetic
from support.decisions import SECOND, infj

Document = dict[str, Any]
AWAY = 'Internal error occurred: failed calling webhook "mjob.kb.io": connect: connection refused'
JOBS = paths.batch_path("team")


def is_job(path: str, body: Document) -> bool:
    return path == JOBS


def admitted(store: Store, name: str = "a") -> tuple[str, str, str]:
    status = store.objects[paths.jobs_path("team", name)]["status"]
    found = next(each for each in status["conditions"] if each["type"] == "Admitted")
    return found["status"], found["reason"], found["message"]


def refusing(message: str) -> Store:
    store = Store()
    store.add(paths.jobs_path("team", "a"), synthetic("a"))
    store.refuses, store.refusal = is_job, (500, message)
    return store


def test_a_job_says_that_a_webhook_is_away_and_is_tried_again_some_seconds_later() -> None:
    store, clock = refusing(AWAY), Clock()

    async def run() -> None:
        async with reconciler(store, clock, {}) as loop:
            await loop.reconcile()
            assert admitted(store) == ("False", "WebhookAway", AWAY)
            clock.now_us += 2 * SECOND
            await loop.reconcile()
            assert len(store.refused) == 1, "it is tried again in each pass"
            clock.now_us += 4 * SECOND
            await loop.reconcile()
            assert len(store.refused) == 2
            assert admitted(store) == ("False", "WebhookAway", AWAY)
            store.refuses = lambda path, body: False
            clock.now_us += 6 * SECOND
            await loop.reconcile()

    asyncio.run(run())
    assert admitted(store)[:2] == ("True", "Admitted")
    assert [path for path in store.objects if path.startswith(f"{JOBS}/")]


def test_of_very_many_jobs_few_wait_for_a_webhook_that_hangs() -> None:
    store, clock = Store(), Clock()
    store.refuses, store.refusal = is_job, (500, AWAY)
    names = [f"a{number}" for number in range(3 * AT_ONCE)]
    for name in names:
        document = infj(metadata={"name": name, "uid": f"uid-of-{name}"}, sink={"uri": f"s3://rows/{name}"})
        store.add(paths.jobs_path("team", name), document)

    async def run() -> None:
        async with reconciler(store, clock, {}) as loop:
            await loop.reconcile()
            assert len(store.refused) <= AT_ONCE
            assert {admitted(store, name)[1] for name in names} == {"WebhookAway"}
            store.refuses = lambda path, body: False
            clock.now_us += 6 * SECOND
            await loop.reconcile()

    asyncio.run(run())
    assert len([path for path in store.objects if path.startswith(f"{JOBS}/")]) == len(names)


def test_an_api_server_in_trouble_is_tried_again_at_once() -> None:
    store, clock = refusing("etcdserver: no leader"), Clock()

    async def run() -> None:
        async with reconciler(store, clock, {}) as loop:
            await loop.reconcile()
            store.refuses = lambda path, body: False
            clock.now_us += 2 * SECOND
            await loop.reconcile()

    asyncio.run(run())
    assert [path for path in store.objects if path.startswith(f"{JOBS}/")]
