"""Pools that are asked by objects, through the whole loop: made, answered, refused, withdrawn, and not served."""

import asyncio
from dataclasses import replace

import pytest

from dueby_api.units import format_time
from dueby_operator import paths
from dueby_operator.jobs.pod_state import ABSENT_US
from dueby_operator.passes.status_writer import PROGRESS_US
from dueby_operator.settings import OperatorSettings
from support.control_loop import Clock, Document, Store, reconciler, synthetic
from support.decisions import NOW, SECOND, SETTINGS, node_document
from support.node_pools import POOL_LABELS, pool

ASKED, BUFFERED = (replace(SETTINGS, node_pools=(pool(ask=ask),)) for ask in ("ProvisioningRequest", "CapacityBuffer"))
JOB = paths.jobs_path("team", "a")


def only_on_the_pool() -> Document:
    """A job that may have no device of the node that is there."""
    document = synthetic("a")
    document["spec"] |= {"deadline": "2h", "worker": {"nodeSelector": POOL_LABELS}}
    document["status"] = {"images": 10_000, "fingerprint": "f"}
    return document


def have_pods_wait(store: Store) -> None:
    """What the scheduler says while no node has the pool's labels."""
    store.start_pods()
    for path, found in store.objects.items():
        if "/jobs/" in path:
            found["status"] = {"startTime": format_time(NOW)}
        elif "/pods/" in path:
            found["spec"] = {}
            said = {"type": "PodScheduled", "status": "False", "message": "no node has these labels"}
            found["status"] = {"phase": "Pending", "conditions": [said]}


def message_of(store: Store, kind: str) -> str:
    conditions = store.objects[JOB]["status"]["conditions"]
    return next((str(found["message"]) for found in conditions if found["type"] == kind), "")


def test_a_request_is_made_after_its_template_and_its_refusal_is_planned_around_and_told() -> None:
    store, clock = Store(), Clock()
    store.listed.add("provisioningrequests")
    store.add(JOB, only_on_the_pool())

    async def story() -> None:
        async with reconciler(store, clock, {}, settings=ASKED) as loop:
            await loop.reconcile()
            have_pods_wait(store)
            store.take_written()
            await loop.reconcile()
            made = [kind for kind in store.take_written() if kind in ("podtemplates", "provisioningrequests")]
            assert made == ["podtemplates", "provisioningrequests"]
            await loop.reconcile()
            assert "provisioningrequests" not in store.take_written(), "it is asked once"
            request = next(found for path, found in store.objects.items() if "/provisioningrequests/" in path)
            said = {"type": "Failed", "status": "True", "reason": "CapacityIsNotFound", "message": "No quota is left."}
            request["status"] = {"conditions": [{**said, "lastTransitionTime": format_time(NOW)}]}
            for _ in range(3):
                clock.now_us += ABSENT_US // 2 + SECOND
                await loop.reconcile()

    asyncio.run(story())
    assert "is Failed: No quota is left." in message_of(store, "OnTrack")
    jobs = [path for path in store.objects if "/jobs/" in path]
    assert len(jobs) == 1, "nobody asks again so early"


def test_a_buffer_is_made_before_its_pods_and_deleted_once_its_node_has_come() -> None:
    store, clock = Store(), Clock()
    store.listed.add("capacitybuffers")
    store.add(JOB, only_on_the_pool())

    async def story() -> None:
        async with reconciler(store, clock, {}, settings=BUFFERED) as loop:
            await loop.reconcile()
            (batch_job,) = (found for path, found in store.objects.items() if "/jobs/" in path)
            assert batch_job["spec"]["suspend"]
            store.take_written()
            await loop.reconcile()
            made = [kind for kind in store.take_written() if kind in ("podtemplates", "capacitybuffers")]
            assert made == ["podtemplates", "capacitybuffers"]
            clock.now_us += PROGRESS_US + SECOND
            await loop.reconcile()
            assert "Workers wait for nodes: no autoscaler has answered CapacityBuffer" in message_of(store, "Admitted")
        come = node_document("m")
        come["metadata"] |= {"labels": POOL_LABELS, "uid": "uid-of-m"}
        store.add(f"{paths.core_path('nodes')}/m", come)
        async with reconciler(store, clock, {}, settings=BUFFERED) as loop:  # an operator that has begun since
            await loop.reconcile()
            assert not batch_job["spec"]["suspend"]
            assert not [path for path in store.objects if "/capacitybuffers/" in path]
            store.take_written()
            await loop.reconcile()
            assert "capacitybuffers" not in store.take_written(), "its pods ask for the rest"

    asyncio.run(story())


@pytest.mark.parametrize(
    ("settings", "ask", "version"),
    [(ASKED, "ProvisioningRequest", "v1"), (BUFFERED, "CapacityBuffer", "v1beta1")],
    ids=["ProvisioningRequests", "CapacityBuffers"],
)
def test_where_requests_are_not_served_nothing_is_planned_on_such_a_pool_and_job_and_log_say_so(
    settings: OperatorSettings, ask: str, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    store, clock = Store(), Clock()
    store.add(JOB, only_on_the_pool())

    async def look() -> None:
        async with reconciler(store, clock, {}, settings=settings) as loop:
            await loop.reconcile()

    asyncio.run(look())
    assert not [path for path in store.objects if "/jobs/" in path]
    assert f"pools whose ask is {ask} are asked for no nodes: the cluster has no autoscaling.x-k8s.io/{version};" in (
        caplog.text
    )
    said = f"The pool burst can't be asked for nodes: it is to be asked by a {ask}, and the cluster serves"
    assert message_of(store, "OnTrack").startswith(said)
    assert message_of(store, "Feasible").startswith(said)
