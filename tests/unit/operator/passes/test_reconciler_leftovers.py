"""What a plan has left behind that was taken back before its workers were made, and what earlier operators have."""

import asyncio
import json
from typing import Any

import pytest

from dueby_operator import paths
from dueby_operator.jobs import names
from dueby_operator.passes.pace import PassTime
from dueby_planner.profiles.size_prediction import predict
from support.control_loop import Clock, Store, reconciler, synthetic
from support.decisions import SECOND
from support.operator import profile

Document = dict[str, Any]


def run_twice(store: Store) -> None:
    clock = Clock()

    async def run() -> None:
        async with reconciler(store, clock, {}) as loop:
            await loop.reconcile()
            clock.now_us += 2 * SECOND
            await loop.reconcile()

    asyncio.run(run())


def made(store: Store, kind: str) -> dict[str, Document]:
    return {path.rpartition("/")[2]: found for path, found in store.objects.items() if f"/{kind}/" in path}


def test_workers_are_not_told_what_those_of_a_plan_were_that_was_taken_back() -> None:
    first = Store()
    first.add(paths.jobs_path("team", "a"), synthetic("a"))
    run_twice(first)
    ((name, config_map),) = made(first, "configmaps").items()
    assert name == names.workers_name("a", "uid-of-a", revision=1, device_class="cpu-1")

    plan = json.loads(config_map["data"]["plan.json"])
    taken_back = {**plan, "assignments": plan["assignments"][:1]}
    assert taken_back != plan
    store = Store()
    store.add(paths.jobs_path("team", "a"), synthetic("a"))
    data = {**config_map["data"], "plan.json": json.dumps(taken_back)}
    store.add(paths.core_path("configmaps", "team", name), {**config_map, "data": data})
    run_twice(store)
    ((job_name, job),) = made(store, "jobs").items()
    assert job_name == names.workers_name("a", "uid-of-a", revision=2, device_class="cpu-1")
    told = json.loads(made(store, "configmaps")[job_name]["data"]["plan.json"])
    assert len(told["assignments"]) == job["spec"]["completions"]


def test_each_profile_that_is_deleted_is_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    store, noted = Store(), list[int]()
    predicted = predict(profile(), 192)
    assert predicted
    for number in range(50):
        metadata = {"name": f"p-{number}", "uid": f"u-{number}", "labels": names.MANAGED}
        store.add(paths.profiles_path(f"p-{number}"), predicted.document() | {"metadata": metadata})
    monkeypatch.setattr(PassTime, "note_progress", lambda _: noted.append(len(made(store, "gpuprofiles"))))
    run_twice(store)
    assert list(made(store, "gpuprofiles")) == ["cpu-1"]
    assert len(set(noted)) > 3, "profiles that were there when progress was noted"
