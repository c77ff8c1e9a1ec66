"""The loop against an API server: in which order it writes, and what it doesn't write."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from dueby_operator import paths
from dueby_operator.cluster.devices import ClusterDevices
from dueby_operator.control.clear import KEPT_COMPLETE_US
from dueby_operator.control.faults import MAX_FAULTS
from dueby_operator.jobs import names
from dueby_operator.jobs.withheld import WITHHELD_US
from dueby_operator.kube.client import Kube
from dueby_operator.passes.reconciler import Reconciler
from dueby_operator.passes.status_writer import PROGRESS_US
from support.control_loop import Clock, Store, reconciler, synthetic
from support.decisions import MADE, NOW, SECOND
from support.operator import profile

Document = dict[str, Any]


def test_workers_of_all_jobs_are_made_before_anybody_is_told_of_it() -> None:
    store = Store()

    async def look() -> None:
        for name in ("a", "b"):
            store.add(paths.jobs_path("team", name), synthetic(name))
        async with reconciler(store, Clock(), {}) as loop:
            await loop.reconcile()
            assert [job.status.phase for job in loop.snapshot.jobs] == ["Starting", "Starting"]

    asyncio.run(look())
    kinds = store.take_written()
    assert sorted(kinds[: kinds.index("events")]).count("jobs") == 2
    assert set(kinds[kinds.index("events") :]) == {"events"}


def test_that_workers_are_taken_away_is_told_before_they_are() -> None:
    """Killed between the two, the operator would not know later why there are fewer."""
    store, clock, path = Store(), Clock(), paths.jobs_path("team", "a")
    job, asked = synthetic("a"), list[tuple[str, str]]()
    store.add(path, {**job, "spec": {**job["spec"], "deadline": "50s"}})

    async def note(request: web.Request) -> web.StreamResponse:
        asked.append((request.method, request.path))
        return await Store.answer(store, request)

    async def look() -> None:
        async with reconciler(store, clock, {}) as loop:
            await loop.reconcile()
        store.start_pods()
        store.objects[path]["spec"]["gpus"] = {"max": 1}
        store.objects[path]["metadata"]["generation"] = 2
        store.answer = note  # type: ignore[method-assign]
        answer = {"batches": 50, "imagesDone": 800, "secondsSinceBatch": 0.0, "stepMicros": 100_000}
        async with reconciler(store, clock, answer) as loop:
            clock.now_us += 2 * SECOND
            await loop.reconcile()

    asyncio.run(look())
    (replan,) = store.objects[path]["status"]["replans"]
    assert (replan["reason"], replan["to"]) == ("Edited", 1)
    told, done, *_ = [request for request in asked if request[0] in ("PUT", "PATCH", "DELETE")]
    assert told == ("PUT", f"{path}/status")
    assert "/batch/" in done[1]


def test_progress_alone_is_written_once_in_a_while_and_news_at_once() -> None:
    store, clock = Store(), Clock()
    answers: Document = {"batches": 1}
    store.add(paths.jobs_path("team", "a"), synthetic("a"))
    found = []

    async def look() -> None:
        async with reconciler(store, clock, {}) as loop:
            await loop.reconcile()
        store.start_pods()
        store.take_written()
        async with reconciler(store, clock, answers) as loop:  # an operator that starts again
            for seconds in (2, 2, 2, PROGRESS_US // SECOND - 4, 2):
                clock.now_us += seconds * SECOND
                elapsed_s = (clock.now_us - NOW) // SECOND
                answers.update(secondsSinceBatch=0.0, imagesDone=150 * elapsed_s)
                await loop.reconcile()
                found.append(store.take_written())

    asyncio.run(look())
    assert store.objects[paths.jobs_path("team", "a")]["status"]["phase"] == "Running"
    assert found == [["inferencejobs"], [], [], ["inferencejobs"], []]


@pytest.mark.parametrize(
    ("failing", "replans"),
    [
        pytest.param("/a/status", [[], ["WorkerLost"]], id="the status, so nothing was done"),
        # Three lost workers in a row without a part would be the end of the job.
        pytest.param("/team/jobs", [["WorkerLost"], ["WorkerLost", "Lagging"]], id="the Job after the status"),
    ],
)
def test_a_lost_worker_counts_once_and_is_made_up_for_in_the_next_pass_though_a_write_fails(
    failing: str, replans: list[list[str]]
) -> None:
    store, clock, failures = Store(), Clock(), [failing]
    path = paths.jobs_path("team", "a")
    jobs_there, shown, stored = [], [], []
    store.add(path, {**synthetic("a"), "spec": {**synthetic("a")["spec"], "deadline": "80s"}})

    async def fail_once(request: web.Request) -> web.StreamResponse:
        if request.method in ("POST", "PUT") and failures and request.path.endswith(failures[0]):
            failures.clear()
            return web.json_response({"message": "not now"}, status=409 if request.method == "PUT" else 500)
        return await Store.answer(store, request)

    def jobs() -> list[str]:
        return [each for each in store.objects if "/batch/" in each]

    async def look() -> None:
        async with reconciler(store, clock, {}) as loop:
            await loop.reconcile()
        store.start_pods()
        store.objects[jobs()[0]]["status"] = {"startTime": MADE, "failedIndexes": "0"}
        store.answer = fail_once  # type: ignore[method-assign]
        answer = {"batches": 50, "imagesDone": 800, "secondsSinceBatch": 0.0, "stepMicros": 100_000}
        async with reconciler(store, clock, answer) as loop:
            for _ in range(2):
                clock.now_us += 2 * SECOND
                await loop.reconcile()
                jobs_there.append(len(jobs()))
                shown.append([replan.reason for replan in loop.snapshot.jobs[0].status.replans])
                stored.append([each["reason"] for each in store.objects[path]["status"].get("replans", ())])

    asyncio.run(look())
    assert not failures
    assert jobs_there == [1, 2]
    assert shown == stored == replans


def test_devices_are_withheld_for_jobs_own_workers_only_and_not_for_long() -> None:
    store, clock = Store(), Clock()
    store.add(paths.jobs_path("team", "a"), synthetic("a"))
    about = {"labels": names.labels("a", "work"), "annotations": {names.DEVICE_CLASS: "cpu-1"}}
    for name, labels in (("forged", {names.REVISION: "1"}), ("measures", {names.STEP: names.PROFILE})):
        metadata = {**about, "labels": {**about["labels"], **labels}, "name": name, "namespace": "team", "uid": name}
        store.add(paths.batch_path("team", name), {"metadata": metadata, "spec": {"completions": 100_000}})
    found = []

    async def look() -> None:
        async with reconciler(store, clock, {}) as loop:
            for seconds in (0, 1, WITHHELD_US // SECOND, 1):
                clock.now_us += seconds * SECOND
                await loop.reconcile()
                devices = loop.snapshot.devices
                assert isinstance(devices, ClusterDevices)
                found.append(sum(devices.unscheduled.values()))

    asyncio.run(look())
    (made,) = [document for path, document in store.objects.items() if "/jobs/a-r1-" in path]
    workers = made["spec"]["completions"]
    assert found == [0, workers, workers, 0]


def test_of_a_job_that_is_over_no_jobs_are_left_to_list() -> None:
    store, clock = Store(), Clock()
    store.add(paths.jobs_path("team", "a"), synthetic("a"))

    async def look() -> None:
        async with reconciler(store, clock, {}) as loop:
            await loop.reconcile()
            job = store.objects[paths.jobs_path("team", "a")]
            ended = {"type": "Complete", "status": "True", "reason": "EveryImageHasARow", "lastTransitionTime": MADE}
            job["status"]["conditions"].append(ended)
            for seconds in (0, KEPT_COMPLETE_US // SECOND + 1):
                found.append([path for path in store.objects if path.startswith(paths.batch_path("team"))])
                clock.now_us += seconds * SECOND
                await loop.reconcile()

    found: list[list[str]] = []
    asyncio.run(look())
    left = [path for path in store.objects if path.startswith(paths.batch_path("team"))]
    assert [len(jobs) for jobs in (*found, left)] == [1, 1, 0]
    assert paths.jobs_path("team", "a") in store.objects


def test_an_expired_job_is_deleted_once_though_it_is_remembered_for_a_minute() -> None:
    store, clock, path = Store(), Clock(), paths.jobs_path("team", "old")
    expired = synthetic("old")
    expired["metadata"]["resourceVersion"] = "1"
    expired["spec"]["ttlAfterFinished"] = "1h"
    said = {"type": "Complete", "status": "True", "reason": "Complete", "message": "", "lastTransitionTime": MADE}
    expired["status"] = {"phase": "Succeeded", "conditions": [said]}
    store.add(path, expired)
    failures = [path]

    async def fail_once(request: web.Request) -> web.StreamResponse:
        if request.method == "DELETE" and failures:
            failures.clear()
            return web.json_response({"message": "not now"}, status=500)
        return await Store.answer(store, request)

    async def look() -> None:
        store.answer = fail_once  # type: ignore[method-assign]
        async with reconciler(store, clock, {}) as loop:
            for _ in range(4):
                clock.now_us += 3601 * SECOND
                await loop.reconcile()

    asyncio.run(look())
    assert not failures
    assert path not in store.objects
    assert store.written == [("DELETE", path)]


def test_a_nodes_profile_makes_its_classs_once() -> None:
    store, found = Store(), []
    document = profile("cpu-2").document()
    document["metadata"]["name"] = "measured"
    document["spec"]["device"] = {"node": "n"}
    store.add(f"{paths.profiles_path()}/measured", document)

    async def look() -> None:
        async with reconciler(store, Clock(), {}) as loop:
            for _ in range(2):
                await loop.reconcile()
                found.append(store.take_written())

    asyncio.run(look())
    assert found == [["gpuprofiles"], []]
    made = store.objects[f"{paths.profiles_path()}/cpu-2-efficientnet-lite0-224-fp32-openvino"]
    assert made["metadata"]["labels"] == names.MANAGED
    # The node's cores are in slices of one.
    assert made["status"] == {"imagesPerSecond": 160, "devices": 0}


def with_two_jobs(*checks: Callable[[Store, Clock, Reconciler], Awaitable[None]], **answers: Any) -> Store:
    """Run each check on a loop of its own with the jobs `bad` and `good`; pods start in between."""
    store, clock = Store(), Clock()
    for name in ("bad", "good"):
        store.add(paths.jobs_path("team", name), synthetic(name))

    async def run() -> None:
        for check in checks:
            async with reconciler(store, clock, answers) as loop:
                await check(store, clock, loop)
            store.start_pods()

    asyncio.run(run())
    return store


def failed_condition(store: Store, name: str) -> Document:
    conditions = store.objects[paths.jobs_path("team", name)]["status"]["conditions"]
    return next((found for found in conditions if found["type"] == "Failed"), {})


def is_bad_status(path: str, body: Document) -> bool:
    """Whether it is what the API server refuses of the job `bad`: whatever says more than that it has failed."""
    return path.endswith("bad/status") and len(body["status"]["conditions"]) > 1


def test_a_status_that_is_refused_concerns_this_job_alone_and_says_so() -> None:
    async def look(store: Store, clock: Clock, loop: Reconciler) -> None:
        store.refuses = is_bad_status
        for _ in range(MAX_FAULTS):
            await loop.reconcile()
            clock.now_us += 100 * SECOND

    store = with_two_jobs(look)
    told = failed_condition(store, "bad")
    assert (told["status"], told["reason"]) == ("True", "OperatorError")
    assert "Refused: status: Invalid value (applying, client.py:" in told["message"]
    jobs = [path for path in store.objects if path.startswith(paths.batch_path("team"))]
    assert jobs
    assert all(job.startswith(f"{paths.batch_path('team')}/good-r") for job in jobs)
    assert store.objects[paths.jobs_path("team", "good")]["status"]["phase"] == "Starting"


def test_a_fault_while_a_fault_is_told_of_concerns_this_job_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def look(store: Store, clock: Clock, loop: Reconciler) -> None:
        replace = Kube.replace

        async def replace_or_raise(client: Kube, path: str, document: Document) -> str:
            if path.endswith("bad/status"):
                raise RuntimeError("an answer without a version")
            return await replace(client, path, document)

        monkeypatch.setattr(Kube, "replace", replace_or_raise)
        await loop.reconcile()
        monkeypatch.undo()
        clock.now_us += 100 * SECOND
        await loop.reconcile()

    store = with_two_jobs(look)
    for name in ("bad", "good"):
        assert store.objects[paths.jobs_path("team", name)]["status"]["phase"] == "Starting"
    assert not failed_condition(store, "bad")


def test_a_job_that_cant_be_observed_concerns_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    async def start(store: Store, clock: Clock, loop: Reconciler) -> None:
        await loop.reconcile()

    async def look(store: Store, clock: Clock, loop: Reconciler) -> None:
        for _ in range(3):
            await loop.reconcile()
            clock.now_us += 100 * SECOND

    worker = f"{names.workers_name('bad', 'uid-of-bad', revision=1, device_class='cpu-1')}-0"
    store = with_two_jobs(start, look, batches=1, **{worker: RecursionError("too deep")})
    assert failed_condition(store, "bad")["reason"] == "OperatorRetrying"
    assert store.objects[paths.jobs_path("team", "good")]["status"]["phase"] == "Running"
    told = [record for record in caplog.records if "team/bad: " in record.getMessage()]
    assert [bool(record.exc_info) for record in told] == [True, False, False]
