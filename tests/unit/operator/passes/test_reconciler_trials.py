"""What the API server says of a job's pods before anything is made or reserved for it."""

import asyncio
from typing import Any

import pytest

from dueby_operator import paths
from support.control_loop import Clock, Store, reconciler, synthetic
from support.decisions import SECOND

Document = dict[str, Any]
JOB, PODS = paths.jobs_path("team", "a"), paths.core_path("pods", "team")
LIMIT_RANGE = 'pods "a-" is forbidden: maximum cpu usage per Container is 500m, but limit is 1'


def refusing(code: int, message: str) -> Store:
    store = Store()
    store.add(JOB, synthetic("a"))
    store.refuses, store.refusal = (lambda path, body: path == PODS), (code, message)
    return store


def said(store: Store, kind: str) -> tuple[str, str, str]:
    conditions = store.objects[JOB]["status"]["conditions"]
    found = next(each for each in conditions if each["type"] == kind)
    return found["status"], found["reason"], found["message"]


def look(store: Store, *pauses_s: int) -> None:
    async def run() -> None:
        clock = Clock()
        async with reconciler(store, clock, {}) as loop:
            await loop.reconcile()
            for pause_s in pauses_s:
                clock.now_us += pause_s * SECOND
                await loop.reconcile()

    asyncio.run(run())


def made(store: Store) -> list[str]:
    return [kind for kind in store.take_written() if kind in ("jobs", "configmaps")]


def test_a_job_whose_pods_can_never_be_has_failed_in_the_first_pass_and_holds_nothing() -> None:
    message = 'Pod "a-" is invalid: spec.containers[0].volumeMounts[2].name: Not found: "data"'
    store = refusing(422, message)
    look(store)
    assert said(store, "Failed") == ("True", "InvalidTemplate", message)
    assert not store.objects[JOB]["status"].get("plan")
    assert [each["type"] for each in store.objects[JOB]["status"]["conditions"]] == ["Failed"]
    assert not made(store)


def test_a_job_whose_sink_goes_with_its_pods_has_failed_in_the_first_pass() -> None:
    store = Store()
    store.add(JOB, {**synthetic("a"), "spec": {**synthetic("a")["spec"], "sink": {"uri": "/rows"}}})
    look(store)
    assert said(store, "Failed")[:2] == ("True", "InvalidJob")
    assert "spec.sink.uri: /rows is on no volume" in said(store, "Failed")[2]
    assert not made(store)


def test_what_forbids_a_jobs_pods_is_in_its_condition_and_it_goes_on_once_nothing_does() -> None:
    store = refusing(403, LIMIT_RANGE)
    look(store, 2, 2)
    assert said(store, "Admitted") == ("False", "Forbidden", LIMIT_RANGE)
    assert len(store.refused) == 1, "it is tried again in each pass"
    assert not store.objects[JOB]["status"].get("plan")
    assert not made(store)
    store.refuses = lambda path, body: False
    look(store)
    assert said(store, "Admitted")[:2] == ("True", "Admitted")
    assert made(store) == ["configmaps", "jobs"]


@pytest.mark.parametrize("code", [403, 429])
def test_a_full_quota_and_an_api_server_in_trouble_fail_no_job(code: int) -> None:
    store = refusing(code, "exceeded quota: gpus")
    look(store)
    assert made(store) == (["configmaps", "jobs"] if code == 403 else [])
    assert "Failed" not in [each["type"] for each in store.objects[JOB].get("status", {}).get("conditions", [])]
