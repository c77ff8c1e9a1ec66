"""Pools that stand at zero: a job asks for a node, says so while none comes, and runs once there is one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from dueby_operator.jobs import names
from support.kind.autoscaler import (
    BUFFERS,
    GROUP,
    REQUESTS,
    answer,
    asking,
    measured,
    node_of_pool,
    pooled_job,
    serve,
)
from support.kind.cluster import (
    BUFFERED_CLASS,
    BUFFERED_POOL,
    POOL,
    POOL_CLASS,
    REQUESTED_CLASS,
    REQUESTED_POOL,
    Cluster,
)
from support.kind.cluster_job import indices_of, share_folder, wait_for_end, wait_until_told

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900, func_only=True)]
IMAGES, DEVICES = 64, 2
# For 8 images: by the deadline of 10 minutes, a start and the time to provision less, one device does 64 and not 72.
STEP_US = 60_000_000


@pytest.fixture
def asked_by_pods(cluster: Cluster) -> Iterator[None]:
    """A profile of what the pool has that is asked by pods."""
    with measured(cluster, POOL_CLASS, STEP_US):
        yield


@contextmanager
def unserved(cluster: Cluster, resource: str, device_class: str) -> Iterator[None]:
    """A profile of what a pool has that is asked by requests of a kind which the cluster doesn't know yet."""
    # An earlier run may have left it. It stays afterwards: an operator asks again and again for what isn't served.
    cluster.kubectl("delete", "crd", f"{resource}.{GROUP}", "--ignore-not-found")
    with measured(cluster, device_class, STEP_US // 10):
        yield


@pytest.fixture
def asked_by_requests(cluster: Cluster) -> Iterator[None]:
    """A profile of what the pool has that is asked by ProvisioningRequests, which aren't served."""
    with unserved(cluster, REQUESTS, REQUESTED_CLASS):
        yield


@pytest.fixture
def asked_by_buffers(cluster: Cluster) -> Iterator[None]:
    """A profile of what the pool has that is asked by CapacityBuffers, which aren't served."""
    with unserved(cluster, BUFFERS, BUFFERED_CLASS):
        yield


@pytest.mark.usefixtures("asked_by_pods")
def test_a_pool_at_zero_is_asked_for_a_node_and_a_job_runs_when_one_has_come_late(cluster: Cluster) -> None:
    folder = share_folder(cluster, "pooled")
    cluster.apply(pooled_job(cluster, "pooled", images=IMAGES))
    told = wait_until_told(cluster, "pooled", "Feasible", f"of the pool {POOL}")
    assert told["status"] == "True", told
    pods = cluster.wait(lambda: asking(cluster, "pooled"), "its worker asks for a node")
    assert len(pods) == 1, "one device is enough"
    wait_until_told(cluster, "pooled", "OnTrack", f"of the pool {POOL}", reason="CapacityMissing")
    assert [pod["metadata"]["uid"] for pod in asking(cluster, "pooled")] == [pod["metadata"]["uid"] for pod in pods]
    with node_of_pool(cluster, cluster.nodes[0], POOL, POOL_CLASS, devices=DEVICES):
        done = wait_for_end(cluster, "pooled", folder / "rows")
    assert done["status"]["phase"] == "Succeeded", done["status"]
    assert indices_of(folder / "rows") == list(range(IMAGES))


@pytest.mark.usefixtures("asked_by_pods")
def test_a_best_effort_job_asks_for_no_node(cluster: Cluster) -> None:
    cluster.apply(pooled_job(cluster, "modest", images=IMAGES, deadlineClass="BestEffort"))
    cluster.wait_for_phase("modest", "Queued", "Pending")
    wait_until_told(cluster, "modest", "Feasible")
    assert not cluster.items("jobs", "dueby.dev/job=modest,dueby.dev/step=work")
    cluster.kubectl("delete", "infj", "modest")


def request_after(cluster: Cluster, job: str, refused: str = "") -> dict[str, Any] | None:
    """The job's ProvisioningRequest once the refused one is gone; None before there is one."""
    requests = cluster.items(REQUESTS, f"dueby.dev/job={job}")
    is_gone = all(request["metadata"]["name"] != refused for request in requests)
    return next(iter(requests), None) if is_gone else None


@pytest.mark.usefixtures("asked_by_requests")
def test_a_pool_is_asked_by_requests_once_they_are_served_and_again_after_a_refusal(cluster: Cluster) -> None:
    job, folder = "requested", share_folder(cluster, "requested")
    cluster.apply(pooled_job(cluster, job, images=IMAGES, device_class=REQUESTED_CLASS))
    wait_until_told(cluster, job, "OnTrack", "serves no autoscaling.x-k8s.io/v1", reason="CapacityMissing")
    serve(cluster, REQUESTS)
    first = cluster.wait(lambda: request_after(cluster, job), "it asks for a node")
    (pod,) = cluster.wait(lambda: asking(cluster, job, pool=REQUESTED_POOL), "its worker waits for the node")
    name, (pods,) = first["metadata"]["name"], first["spec"]["podSets"]
    assert pod["metadata"]["annotations"][names.CONSUMES] == name
    assert pod["metadata"]["annotations"][names.CONSUMED_CLASS] == first["spec"]["provisioningClassName"]
    template = cluster.get("podtemplates", pods["podTemplateRef"]["name"])["template"]
    assert pods["count"] == 1
    assert template["spec"]["nodeSelector"] == pod["spec"]["nodeSelector"]
    assert template["spec"]["containers"][0]["resources"] == pod["spec"]["containers"][0]["resources"]
    answer(cluster, name, "Accepted", reason="Accepted", message="It is looked at.")
    wait_until_told(cluster, job, "Admitted", f"ProvisioningRequest {name} is Accepted: It is looked at.")
    answer(cluster, name, "Failed", reason="CapacityIsNotFound", message="There is no quota.")
    wait_until_told(cluster, job, "OnTrack", f"{name} is Failed: There is no quota.", reason="CapacityMissing")
    second = cluster.wait(lambda: request_after(cluster, job, refused=name), "it asks again")
    message = "Capacity is found in the cluster."
    answer(cluster, second["metadata"]["name"], "Provisioned", reason="CapacityIsProvisioned", message=message)
    with node_of_pool(cluster, cluster.nodes[0], REQUESTED_POOL, REQUESTED_CLASS, devices=DEVICES):
        done = wait_for_end(cluster, job, folder / "rows")
    assert done["status"]["phase"] == "Succeeded", done["status"]
    assert indices_of(folder / "rows") == list(range(IMAGES))


@pytest.mark.usefixtures("asked_by_buffers")
def test_a_pool_is_asked_by_a_buffer_and_a_jobs_pods_are_made_once_a_node_has_come(cluster: Cluster) -> None:
    job, folder = "buffered", share_folder(cluster, "buffered")
    workers = f"dueby.dev/job={job},dueby.dev/step=work"
    cluster.apply(pooled_job(cluster, job, images=IMAGES, device_class=BUFFERED_CLASS))
    wait_until_told(cluster, job, "OnTrack", "serves no autoscaling.x-k8s.io/v1beta1", reason="CapacityMissing")
    serve(cluster, BUFFERS)
    (buffer,) = cluster.wait(lambda: cluster.items(BUFFERS, f"dueby.dev/job={job}"), "it asks for room")
    (suspended,) = cluster.items("jobs", workers)
    name = buffer["metadata"]["name"]
    template = cluster.get("podtemplates", buffer["spec"]["podTemplateRef"]["name"])["template"]
    assert suspended["spec"]["suspend"]
    assert buffer["spec"]["replicas"] == suspended["spec"]["completions"] == 1
    assert not cluster.items("pods", workers), "who makes room for a buffer would make it for its pods, too"
    message = "No node has come yet."
    answer(cluster, name, "Provisioning", reason="Scaling", message=message, resource=BUFFERS, status="False")
    wait_until_told(cluster, job, "Admitted", f"CapacityBuffer {name} is not Provisioning yet: {message}")
    with node_of_pool(cluster, cluster.nodes[0], BUFFERED_POOL, BUFFERED_CLASS, devices=DEVICES):
        (pod,) = cluster.wait(lambda: cluster.items("pods", workers), "its pods are made")
        assert not cluster.items(BUFFERS, f"dueby.dev/job={job}"), "it would be filled up again"
        assert pod["spec"]["nodeSelector"] == template["spec"]["nodeSelector"]
        assert pod["spec"]["containers"][0]["resources"] == template["spec"]["containers"][0]["resources"]
        done = wait_for_end(cluster, job, folder / "rows")
    assert done["status"]["phase"] == "Succeeded", done["status"]
    assert indices_of(folder / "rows") == list(range(IMAGES))
