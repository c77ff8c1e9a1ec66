"""Passes of the loop in a cluster whose node publishes its GPUs in ResourceSlices."""

import asyncio
from typing import Any

from dueby_api.inference_job import parse_job
from dueby_operator import paths
from support.control_loop import Clock, Store, reconciler, synthetic
from support.resource_slices import GPU, claim, device_class, gpu, resource_slice

Document = dict[str, Any]
L4 = "NVIDIA-L4"


def passed(*objects: Document) -> tuple[dict[str, int], str]:
    """How many GPUs are free by class, and what the condition Profiled says of a job for them, after a pass."""
    store = Store()
    store.listed |= {"resourceslices", "deviceclasses", "resourceclaims"}
    for found in (resource_slice("gpu", [gpu(number, product="NVIDIA L4") for number in range(4)]), *objects):
        kind = f"{found['kind'].lower()}s".replace("classs", "classes")
        store.add(f"{paths.resource_path(kind)}/{found['metadata']['name']}", found)
    node = {
        "metadata": {"name": "gpu", "uid": "uid-of-gpu", "labels": {"nvidia.com/gpu.product": L4}},
        "status": {
            "allocatable": {"cpu": "32", "memory": "64Gi", "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }
    store.add(paths.core_path("nodes", name="gpu"), node)
    job = synthetic("a")
    job["spec"]["gpus"] = {"classes": [L4]}
    store.add(paths.jobs_path("team", "a"), job)

    async def go() -> dict[str, int]:
        async with reconciler(store, Clock(), {}) as loop:
            await loop.reconcile()
            return dict(loop.snapshot.devices.free_for_one("team", parse_job(job).spec, classes=[L4]))

    free = asyncio.run(go())
    conditions = store.objects[paths.jobs_path("team", "a")]["status"]["conditions"]
    return free, next(each["message"] for each in conditions if each["type"] == "Profiled")


def test_a_pass_counts_what_is_published_and_not_claimed() -> None:
    assert passed(device_class())[0] == {L4: 4}
    assert passed(device_class(), claim("c", "gpu", ["gpu-0"]))[0] == {L4: 3}


def test_a_job_is_told_why_what_is_published_does_not_count() -> None:
    free, message = passed(device_class(resource=""))
    assert free == {L4: 0}
    assert "GPUs of 1 node are not counted, since no DeviceClass" in message
    assert GPU in message
