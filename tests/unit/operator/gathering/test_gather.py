"""What is seen of a job: only what it owns, whatever labels others put on theirs."""

import asyncio
import copy
from typing import Any

import pytest
from aiohttp import web

from dueby_operator import paths
from dueby_operator.cluster.devices import ClusterDevices
from dueby_operator.cluster.nodes import pod_row
from dueby_operator.jobs import names
from dueby_operator.objects.parse import parse
from dueby_operator.objects.pods import MAX_CONTAINERS, Pod
from dueby_operator.passes.reconciler import BUSY_S, Reconciler
from support.control_loop import Clock, Store, reconciler, synthetic
from support.decisions import SECOND
from support.stored import raw

Document = dict[str, Any]


def planted(document: Document, *, name: str, owners: list[Document]) -> Document:
    """The same object under another name, with the same labels, and owned by others."""
    made = copy.deepcopy(document)
    made["metadata"] |= {"name": name, "uid": f"uid-of-{name}", "ownerReferences": owners}
    return made


def test_a_pod_is_a_worker_only_if_a_job_owns_its_job_whatever_its_labels_say() -> None:
    store, clock = Store(), Clock()
    store.add(paths.jobs_path("team", "a"), synthetic("a"))

    async def cores_of_workers() -> list[float]:
        """Of the pods of the job's, and with another one that says that it is a worker."""
        async with reconciler(store, clock, {}) as loop:
            await loop.reconcile()
        store.start_pods()
        pod = next(found for path, found in store.objects.items() if "/pods/" in path)
        found = []
        for forged in (False, True):
            if forged:
                made = planted(pod, name="forged", owners=[])
                made["spec"] = {**made["spec"], "containers": [{"resources": {"requests": {"cpu": "3"}}}]}
                store.add(paths.core_path("pods", "other", "forged"), made)
            async with reconciler(store, clock, {}) as loop:
                await loop.reconcile()
                node = loop.snapshot.nodes["n"]
                found += [node.workers.get("cpu", 0.0), node.free["cpu"]]
        return found

    workers, free, workers_still, free_then = asyncio.run(cores_of_workers())
    assert workers_still == workers
    assert free_then == free - 3


def test_of_a_pod_that_may_be_ours_no_more_is_kept_than_is_used() -> None:
    labels = {names.JOB: "a", names.INDEX_OF_POD: "0", "team": "x" * 63}
    notes = {names.CONFIG: "{}", f"{names.GROUP}/long": "x" * 100_000, "notes": "x" * 100_000}
    containers = [{"name": f"c{number}", "resources": {"requests": {"cpu": "1"}}} for number in range(1000)]
    states = [{"name": name, "state": {"terminated": {"message": "x" * 4096}}} for name in ("dueby", "mesh")]
    document = {
        "metadata": {"name": "p", "uid": "u", "labels": labels, "annotations": notes},
        "spec": {"containers": containers},
        "status": {"phase": "Pending", "containerStatuses": states},
    }
    row = pod_row(parse(Pod, raw(document)), label=names.JOB, worker=names.WORKER)
    assert row
    assert row.ours
    assert (row.ours.metadata.labels, row.ours.metadata.annotations) == (
        {names.JOB: "a", names.INDEX_OF_POD: "0"},
        {names.CONFIG: "{}"},
    )
    assert [found.name for found in row.ours.status.container_statuses] == ["dueby"]
    assert len(row.ours.spec.containers) == MAX_CONTAINERS
    assert row.requests == {}


def test_a_job_of_a_plan_that_there_never_was_is_not_read() -> None:
    store, clock = Store(), Clock()
    store.add(paths.jobs_path("team", "a"), synthetic("a"))

    async def look() -> list[str]:
        async with reconciler(store, clock, {}) as loop:
            await loop.reconcile()
        (path,) = (path for path in store.objects if "/jobs/" in path)
        work = store.objects[path]
        forged = planted(work, name="forged", owners=work["metadata"]["ownerReferences"])
        forged["metadata"]["labels"] = {**forged["metadata"]["labels"], names.REVISION: "7"}
        store.add(paths.batch_path("team", "forged"), forged)
        config_map = store.objects[path.replace("apis/batch", "api").replace("/jobs/", "/configmaps/")]
        owners = config_map["metadata"]["ownerReferences"]
        store.add(paths.core_path("configmaps", "team", "forged"), planted(config_map, name="forged", owners=owners))
        async with reconciler(store, clock, {}) as loop:
            await loop.reconcile()
            (job,) = loop.snapshot.jobs
            return [found.name for found in (*(one.job for one in job.worker_jobs), *job.without_config)]

    assert "forged" not in asyncio.run(look())


def test_jobs_and_pods_with_the_operators_labels_count_only_if_the_job_owns_them() -> None:
    store, clock = Store(), Clock()
    store.add(paths.jobs_path("team", "a"), synthetic("a"))

    async def look() -> None:
        async with reconciler(store, clock, {}) as loop:
            await loop.reconcile()
        store.start_pods()
        (work,) = (found for path, found in store.objects.items() if "/jobs/" in path)
        pod = next(found for path, found in store.objects.items() if "/pods/" in path)
        store.add(paths.batch_path("team", "planted"), planted(work, name="planted", owners=[]))
        ended = {"state": {"terminated": {"exitCode": 2, "message": '{"error": "planted words"}'}}, "name": "dueby"}
        for name, owners in (("nobodys", []), ("of-another", [{"kind": "Job", "name": "planted", "uid": "planted"}])):
            made = planted(pod, name=name, owners=owners)
            made["status"] = {"phase": "Failed", "containerStatuses": [ended]}
            store.add(paths.core_path("pods", "team", name), made)
        clock.now_us += 2 * SECOND
        async with reconciler(store, clock, {}) as loop:
            await loop.reconcile()
            (job,) = loop.snapshot.jobs
            assert {found.name for found in job.pods} & {"nobodys", "of-another"} == set()
            assert [found.name for found in job.worker_jobs] == [work["metadata"]["name"]]
            assert job.status.phase == "Starting"
            # A job that is over frees what it has, and not what has its label.
            status = store.objects[paths.jobs_path("team", "a")]["status"]
            failed = {
                "type": "Failed",
                "status": "True",
                "reason": "Stopped",
                "lastTransitionTime": "2023-11-14T22:13:20Z",
            }
            status["conditions"] = [failed]
            await loop.reconcile()
        assert [path for path in store.objects if "/jobs/" in path] == [paths.batch_path("team", "planted")]

    asyncio.run(look())
    assert names.JOB in store.objects[paths.batch_path("team", "planted")]["metadata"]["labels"]


class WithoutKueue(Store):
    """An API server that Kueue's webhook doesn't answer."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if "kueue" in request.path:
            return web.json_response({"message": "conversion webhook failed"}, status=500)
        return await super().answer(request)


def test_while_kueue_is_away_a_job_that_waits_in_a_queue_is_left_alone_and_the_others_are_served(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = WithoutKueue()
    queued = synthetic("queued")
    queued["spec"]["queueName"] = "night"
    for job in (synthetic("a"), queued):
        store.add(paths.jobs_path("team", job["metadata"]["name"]), job)

    async def look() -> None:
        async with reconciler(store, Clock(), {}) as loop:
            for _ in range(2):
                await loop.reconcile()

    asyncio.run(look())
    told = {path for path, found in store.objects.items() if "/inferencejobs/" in path and "status" in found}
    assert told == {paths.jobs_path("team", "a")}
    (line,) = [text for text in caplog.messages if "queue" in text]
    assert line.startswith("jobs that wait in queues are left alone: the LocalQueue night can't be read")


def test_a_job_that_is_left_alone_is_looked_at_again_soon_where_there_is_no_other() -> None:
    store, queued = WithoutKueue(), synthetic("queued")
    queued["spec"]["queueName"] = "night"
    store.add(paths.jobs_path("team", "queued"), queued)

    async def look() -> float:
        async with reconciler(store, Clock(), {}) as loop:
            await loop.reconcile()
            return await loop.reconcile()

    assert asyncio.run(look()) == BUSY_S


@pytest.mark.parametrize(
    ("workers", "after_s", "made", "told"),
    [
        pytest.param({}, 1, [], "Starting", id="nothing happens"),
        pytest.param({}, 3600, [], "Failed", id="its deadline passes"),
        pytest.param({"failedIndexes": "0"}, 1, ["work"], "Queued", id="it loses a worker"),
        pytest.param({"failedIndexes": "0-9"}, 1, [], "Starting", id="it loses all, and waits for quota again"),
        pytest.param({"completedIndexes": "0-9"}, 1, ["finish"], "Finishing", id="every part is there"),
    ],
)
def test_a_job_with_workers_goes_on_if_the_operator_starts_while_kueue_is_away(
    workers: Document, after_s: int, made: list[str], told: str
) -> None:
    store, clock, path = WithoutKueue(), Clock(), paths.jobs_path("team", "a")
    document = synthetic("a")
    document["spec"] |= {"deadline": "40s", "onDeadline": "Stop"}
    store.add(path, document)
    store.add(paths.node_lease_path("n"), {"spec": {"renewTime": "now"}})

    async def start_operator() -> None:
        async with reconciler(store, clock, {}) as loop:
            for _ in range(2):
                await loop.reconcile()
                clock.now_us += SECOND

    asyncio.run(start_operator())
    store.start_pods()
    asyncio.run(start_operator())
    (work,) = (found for place, found in store.objects.items() if "/jobs/" in place)
    assert work["spec"]["completions"] > 1
    work["status"] = workers
    store.objects[path]["spec"]["queueName"] = "night"
    clock.now_us += after_s * SECOND
    asyncio.run(start_operator())
    jobs = [found for place, found in store.objects.items() if "/jobs/" in place]
    assert [found["metadata"]["labels"][names.STEP] for found in jobs if found is not work] == made
    assert store.objects[path]["status"]["phase"] == told


class WithoutConfigMaps(Store):
    """An API server that shows no ConfigMap."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.method == "GET" and "/configmaps" in request.path:
            return web.json_response({"message": "etcd has no leader"}, status=503)
        return await super().answer(request)


def test_devices_that_a_jobs_workers_are_about_to_have_are_nobody_elses_while_it_cant_be_looked_at() -> None:
    store, clock = WithoutConfigMaps(), Clock()
    store.add(paths.jobs_path("team", "a"), synthetic("a"))

    async def start_operator() -> Reconciler:
        async with reconciler(store, clock, {}) as loop:
            await loop.reconcile()
            return loop

    asyncio.run(start_operator())
    (work,) = (found for path, found in store.objects.items() if "/jobs/" in path)
    devices = asyncio.run(start_operator()).snapshot.devices
    assert isinstance(devices, ClusterDevices)
    assert sum(devices.unscheduled.values()) == work["spec"]["completions"]


def test_a_job_with_a_field_of_a_newer_definition_is_left_alone_until_the_field_is_known(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, clock = Store(), Clock()
    path = paths.jobs_path("team", "a")
    store.add(path, synthetic("a"))

    async def look() -> None:
        async with reconciler(store, clock, {}) as loop:
            await loop.reconcile()
            before = copy.deepcopy(store.objects)
            # As the API server shows a job that was stored before the field had a default.
            store.objects[path]["spec"]["source"]["lens"] = "wide"
            for _ in range(3):
                clock.now_us += 20 * SECOND
                await loop.reconcile()
            del store.objects[path]["spec"]["source"]["lens"]
            assert store.objects == before
            store.start_pods()
            await loop.reconcile()
            (job,) = loop.snapshot.jobs
            assert (job.status.phase, bool(job.workers)) == ("Starting", True)

    asyncio.run(look())
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        "team/a is left alone: this operator doesn't know spec.source.lens, so the resource definition is newer than "
        "it; upgrade the operator"
    ]
