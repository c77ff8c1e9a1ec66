"""A pool that stands at zero: a job asks it for a node, says so while none comes, and runs once there is one."""

from collections.abc import Iterator
from typing import Any

import pytest

from support.kind.autoscaler import asking, node_of_pool
from support.kind.cluster import POOL, POOL_CLASS, Cluster
from support.kind.cluster_job import indices_of, share_folder, wait_for_end, wait_until_told
from support.kind.gpus import gpu_profile, job_on_gpus

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900, func_only=True)]
IMAGES, DEVICES = 64, 2
# For 8 images: by the deadline of 10 minutes, a start and the time to provision less, one device does 64 and not 72.
STEP_US = 60_000_000


@pytest.fixture(autouse=True)
def measured(cluster: Cluster) -> Iterator[None]:
    """A profile that the class has from an earlier node."""
    cluster.apply(gpu_profile(POOL_CLASS, STEP_US))
    yield
    cluster.kubectl("delete", "gprof", POOL_CLASS.lower())


def pooled_job(cluster: Cluster, name: str, **spec: Any) -> dict[str, Any]:
    """A job for devices of the pool, whose nodes have no label but their own."""
    document = job_on_gpus(cluster, name, device_class=POOL_CLASS, images=IMAGES, **spec)
    del document["spec"]["worker"]["nodeSelector"]
    return document


def test_a_pool_at_zero_is_asked_for_a_node_and_a_job_runs_when_one_has_come_late(cluster: Cluster) -> None:
    folder = share_folder(cluster, "pooled")
    cluster.apply(pooled_job(cluster, "pooled"))
    told = wait_until_told(cluster, "pooled", "Feasible", f"of the pool {POOL}")
    assert told["status"] == "True", told
    pods = cluster.wait(lambda: asking(cluster, "pooled"), "its worker asks for a node")
    assert len(pods) == 1, "one device is enough"
    wait_until_told(cluster, "pooled", "OnTrack", f"of the pool {POOL}", reason="CapacityMissing")
    assert [pod["metadata"]["uid"] for pod in asking(cluster, "pooled")] == [pod["metadata"]["uid"] for pod in pods]
    with node_of_pool(cluster, cluster.nodes[0], devices=DEVICES):
        done = wait_for_end(cluster, "pooled", folder / "rows")
    assert done["status"]["phase"] == "Succeeded", done["status"]
    assert indices_of(folder / "rows") == list(range(IMAGES))


def test_a_best_effort_job_asks_for_no_node(cluster: Cluster) -> None:
    cluster.apply(pooled_job(cluster, "modest", deadlineClass="BestEffort"))
    cluster.wait_for_phase("modest", "Queued", "Pending")
    wait_until_told(cluster, "modest", "Feasible")
    assert not cluster.items("jobs", "dueby.dev/job=modest,dueby.dev/step=work")
    cluster.kubectl("delete", "infj", "modest")
