"""ConfigMaps that are gone, or that aren't the job's: nobody knows any more what the pods of their Jobs do."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dueby_operator import paths
from dueby_operator.kube.config_maps import CHECK_US, SLOW_START_US
from dueby_operator.reconciler import Reconciler
from support.control_loop import Clock, Store, reconciler, synthetic
from support.decisions import infj

Document = dict[str, Any]
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
        pytest.param(infj(metadata={"name": "a", "uid": "uid-of-a"}), "/a-index-", "/a-index-", id="the index step"),
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
