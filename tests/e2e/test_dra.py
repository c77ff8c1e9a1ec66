"""GPUs that a node publishes in ResourceSlices: the scheduler gives them to workers; no kubelet has their driver."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from support.kind.cluster import Cluster
from support.kind.cluster_job import job, share_photos, wait_until_told
from support.kind.gpus import LABEL, SMALL, gpu_profile
from support.resource_slices import DRIVER, FOR_POD, claim, device_class, gpu, resource_slice

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900, func_only=True)]
CLASS, PRODUCT, COUNT = "NVIDIA-L40S", "NVIDIA L40S", 3
# For 8 images. By the deadline of 10 minutes a GPU does 80 of them, so that all three are needed.
LATENCY_US, IMAGES = 60_000_000, 200


@pytest.fixture
def published(cluster: Cluster) -> Iterator[str]:
    """Three GPUs on a node, in its ResourceSlice alone, and their profile."""
    (node,) = cluster.nodes
    found = resource_slice(node, [gpu(number, product=PRODUCT) for number in range(COUNT)])
    found["metadata"] = {"name": "dueby-test"}
    cluster.kubectl("label", "node", node, f"{LABEL}={CLASS}")
    cluster.apply(found, gpu_profile(CLASS, LATENCY_US))
    yield node
    cluster.kubectl("delete", "infj", "--all")
    made = ("resourceslice/dueby-test", f"deviceclass/{DRIVER}", f"gprof/{CLASS.lower()}")
    cluster.kubectl("delete", "--ignore-not-found", *made)
    cluster.kubectl("label", "node", node, f"{LABEL}-")


def on_gpus(cluster: Cluster, name: str) -> dict[str, Any]:
    """A job that needs all of them."""
    share_photos(cluster, name, IMAGES)
    found = job(cluster, name, gpus={"classes": [CLASS]})
    found["spec"]["worker"]["resources"] = SMALL
    return found


def planned(cluster: Cluster, name: str) -> list[tuple[str, int]]:
    """Class and count of each group of the job's plan, once it has one."""

    def plan() -> Any:
        return cluster.get("infj", name).get("status", {}).get("plan")

    return [(group["deviceClass"], group["count"]) for group in cluster.wait(plan, f"{name} has a plan")["groups"]]


def claims_for_pods(cluster: Cluster) -> list[str]:
    """The devices of claims that the scheduler has made for pods that ask for an extended resource."""
    there = [found for found in cluster.items("resourceclaims", "") if FOR_POD.items() <= _annotations(found).items()]
    allocated = [found["status"]["allocation"]["devices"]["results"] for found in there if found.get("status")]
    return sorted(result["device"] for results in allocated for result in results)


def _annotations(found: dict[str, Any]) -> dict[str, str]:
    annotations: dict[str, str] = found["metadata"].get("annotations", {})
    return annotations


def test_gpus_in_resource_slices_are_planned_with_as_far_as_nobody_has_claimed_them(
    cluster: Cluster, published: str
) -> None:
    cluster.apply(on_gpus(cluster, "unmapped"))
    wait_until_told(
        cluster, "unmapped", "Feasible", "GPUs of 1 node are not counted, since no DeviceClass", reason="Waiting"
    )
    cluster.kubectl("delete", "infj", "unmapped")

    mapped = device_class()
    del mapped["metadata"]["uid"]
    taken = claim("taken", published, ["gpu-1"])
    del taken["metadata"]["uid"]
    cluster.apply(mapped, {key: value for key, value in taken.items() if key != "status"})
    status = {"status": taken["status"]}
    cluster.kubectl("patch", "resourceclaim", "taken", "--subresource=status", "--type=merge", "-p", json.dumps(status))
    cluster.apply(on_gpus(cluster, "beside-a-claim"))
    assert planned(cluster, "beside-a-claim") == [(CLASS, COUNT - 1)]
    cluster.kubectl("delete", "infj", "beside-a-claim")
    cluster.kubectl("delete", "resourceclaim", "taken")

    cluster.wait(lambda: not cluster.items("resourceclaims", ""), "all claims are gone")
    cluster.apply(on_gpus(cluster, "alone"))
    assert planned(cluster, "alone") == [(CLASS, COUNT)]
    # The scheduler gives each worker one of them, and claims it.
    cluster.wait(lambda: claims_for_pods(cluster) == ["gpu-0", "gpu-1", "gpu-2"], "each worker has a GPU")
    cluster.apply(on_gpus(cluster, "waits"))
    # There is nothing for it before the other one ends.
    wait_until_told(cluster, "waits", "Feasible", "Starts at ")
