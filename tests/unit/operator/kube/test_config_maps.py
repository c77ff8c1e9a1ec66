"""ConfigMaps that are gone, or that aren't the job's: nobody knows any more what the pods of their Jobs do."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from dueby_operator import paths
from dueby_operator.kube.config_maps import AT_ONCE, CHECK_US, MAX_CHECKS, SLOW_START_US, ConfigMaps
from dueby_operator.objects.jobs import BatchJob
from dueby_operator.objects.parse import parse
from dueby_operator.passes.reconciler import Reconciler
from support.api import served
from support.control_loop import Clock, Store, reconciler, synthetic
from support.decisions import NOW, infj

Document = dict[str, Any]
LISTED = infj(
    metadata={"name": "a", "uid": "uid-of-a"}, source={"uri": "s3://bucket/photos"}, sink={"uri": "s3://bucket/rows"}
)
Break = Callable[[Store], None]


def paths_of(store: Store, kind: str) -> list[str]:
    return [path for path in store.objects if f"/{kind}/" in path]


def delete_config_maps(store: Store) -> None:
    for path in paths_of(store, "configmaps"):
        del store.objects[path]


def plant_config_maps(store: Store) -> None:
    for path in paths_of(store, "configmaps"):
        store.objects[path]["metadata"]["ownerReferences"] = []


def run(store: Store, clock: Clock, look: Callable[[Reconciler], Awaitable[None]]) -> None:
    async def on_a_loop() -> None:
        async with reconciler(store, clock, {}) as loop:
            await look(loop)

    asyncio.run(on_a_loop())


def admitted(store: Store) -> Document:
    status = store.objects[paths.jobs_path("team", "a")]["status"]
    found: Document = next(each for each in status["conditions"] if each["type"] == "Admitted")
    return found


@pytest.mark.parametrize("damage", [delete_config_maps, plant_config_maps])
def test_an_operator_that_starts_again_replaces_workers_of_which_it_knows_nothing(damage: Break) -> None:
    store, clock = Store(), Clock()
    store.add(paths.jobs_path("team", "a"), synthetic("a"))

    async def once(loop: Reconciler) -> None:
        await loop.reconcile()

    run(store, clock, once)
    store.start_pods()
    damage(store)

    async def twice(loop: Reconciler) -> None:
        await loop.reconcile()
        assert paths_of(store, "jobs") == []
        assert admitted(store)["reason"] == "AssignmentsLost"
        await loop.reconcile()

    run(store, clock, twice)
    (job,) = paths_of(store, "jobs")
    assert "/a-r2-" in job
    assert admitted(store)["reason"] == "Admitted"


@pytest.mark.parametrize(
    ("document", "first", "then"),
    [
        pytest.param(synthetic("a"), "/a-r1-", "/a-r2-", id="workers"),
        pytest.param(LISTED, "/a-index-", "/a-index-", id="the index step"),
    ],
)
def test_a_pod_that_waits_for_its_config_map_is_noticed(document: Document, first: str, then: str) -> None:
    store, clock = Store(), Clock()
    store.add(paths.jobs_path("team", "a"), {**document, "spec": {**document["spec"], "deadline": "1h"}})

    async def once(loop: Reconciler) -> None:
        await loop.reconcile()

    run(store, clock, once)
    store.start_pods()
    for pod in paths_of(store, "pods"):
        store.objects[pod]["status"] = {"phase": "Pending"}

    async def until_it_is_replaced(loop: Reconciler) -> None:
        (job,) = paths_of(store, "jobs")
        assert first in job
        uid = store.objects[job]["metadata"]["uid"]
        clock.now_us += SLOW_START_US + 1
        await loop.reconcile()
        assert store.objects[job]["metadata"]["uid"] == uid, "it may be pulling an image"
        delete_config_maps(store)
        clock.now_us += CHECK_US
        await loop.reconcile()
        await loop.reconcile()
        (job,) = paths_of(store, "jobs")
        assert then in job
        assert store.objects[job]["metadata"]["uid"] != uid
        assert paths_of(store, "configmaps")

    run(store, clock, until_it_is_replaced)


def test_of_thousands_of_a_tenant_some_are_looked_for_in_a_pass_and_all_of_them_in_time() -> None:
    asked, at_once, most_at_once = [], 0, 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal at_once, most_at_once
        at_once += 1
        most_at_once = max(most_at_once, at_once)
        await asyncio.sleep(0.001)
        at_once -= 1
        asked.append(request.path)
        return web.json_response({"message": "not found"}, status=404)

    def jobs(namespace: str, count: int) -> list[BatchJob]:
        documents = ({"name": f"j-{n}", "namespace": namespace, "uid": f"{namespace}-{n}"} for n in range(count))
        return [parse(BatchJob, {"metadata": metadata}) for metadata in documents]

    async def look() -> list[tuple[int, ...]]:
        hostile, other = jobs("hostile", 10 * MAX_CHECKS), jobs("other", 3)
        uids = {job.metadata.uid for job in (*hostile, *other)}
        async with served(answer) as kube:
            config_maps, found = ConfigMaps(kube), list[tuple[int, ...]]()
            for number in range(10):
                config_maps.begin(uids)
                both = await asyncio.gather(
                    *(config_maps.missed(some, owner="u", now_us=NOW + number) for some in (hostile, other))
                )
                found.append(tuple(map(len, both)))
        return found

    assert asyncio.run(look()) == [(MAX_CHECKS, 3), *[(MAX_CHECKS, 0)] * 9]
    assert len(set(asked)) == len(asked) == 10 * MAX_CHECKS + 3
    assert most_at_once <= AT_ONCE
