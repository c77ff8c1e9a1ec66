"""Devices for whom they are and while they are there: a node that one job can't use, slices of two cores, a drain.

GPUs are such as only the scheduler and the operator believe in. By their profiles they take longer than this machine
does, so that jobs end earlier than planned.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from dueby_operator.cluster.nodes import SLICE_CPUS
from support.kind.cluster import Cluster
from support.kind.cluster_job import condition, indices_of, job, share_folder, wait_until_told
from support.kind.gpus import GPU, SMALL, gpus_of_a_class, job_on_gpus
from support.kind.model import MODEL, profile_document

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900, func_only=True)]
# Of 8 images: a device does 100 a second.
LATENCY_US = 80_000
DRAIN_AT = "dueby.dev/drain-at"


def on_node(document: dict[str, Any], node: str) -> dict[str, Any]:
    """The job, with workers that can be on this node only."""
    document["spec"]["worker"]["nodeSelector"] = {"kubernetes.io/hostname": node}
    return document


def nodes_used(cluster: Cluster, name: str) -> set[str]:
    """Where the pods of the job's workers are, once all of them are somewhere."""

    def there() -> set[str]:
        pods = cluster.items("pods", f"dueby.dev/job={name},dueby.dev/step=work")
        found = {pod["spec"].get("nodeName", "") for pod in pods}
        return set() if "" in found else found

    found: set[str] = cluster.wait(there, f"the workers of {name} are on nodes")
    return found


@contextmanager
def quota_of_gpus(cluster: Cluster, count: int) -> Iterator[None]:
    """Let the namespace's pods have so many GPUs at most."""
    cluster.kubectl("create", "quota", "gpus", f"--hard=requests.{GPU}={count}")
    try:
        counted = ("get", "quota", "gpus", "-o", "jsonpath={.status.hard}")
        cluster.wait(lambda: cluster.kubectl(*counted), "the quota is counted")
        yield
    finally:
        cluster.kubectl("delete", "quota", "gpus")


def times_of_workers(cluster: Cluster, name: str) -> list[tuple[str, str]]:
    """When the containers of the job's workers, which are done, began and ended."""
    pods = cluster.items("pods", f"dueby.dev/job={name},dueby.dev/step=work")
    ended = [container["state"]["terminated"] for pod in pods for container in pod["status"]["containerStatuses"]]
    return [(each["startedAt"], each["finishedAt"]) for each in ended]


def worker_of(cluster: Cluster, name: str) -> dict[str, Any]:
    """When the container of the job's only worker, which is done, began and ended."""
    (pod,) = cluster.items("pods", f"dueby.dev/job={name},dueby.dev/step=work")
    (container,) = pod["status"]["containerStatuses"]
    ended: dict[str, Any] = container["state"]["terminated"]
    return ended


def require_in_time(cluster: Cluster, images: dict[str, int]) -> dict[str, Any]:
    """Return the jobs, once they are done: each in time, with every row once."""
    done = {name: cluster.wait_for_phase(name, "Succeeded", "Failed") for name in images}
    for name, document in done.items():
        assert document["status"]["phase"] == "Succeeded", document["status"]
        assert condition(document, "DeadlineMet")["status"] == "True"
        rows = cluster.shared / cluster.namespace / name / "rows"
        assert indices_of(rows) == list(range(images[name]))
    return done


def test_a_job_that_could_be_anywhere_leaves_a_node_to_one_that_could_not(cluster: Cluster) -> None:
    on: dict[str, Any] = {"device_class": "NVIDIA-V100"}
    images = {"anywhere": 15_000, "picky": 15_000}
    first, second = cluster.nodes
    for name in images:
        share_folder(cluster, name)
    with gpus_of_a_class(cluster, on["device_class"], LATENCY_US, 1, 1):
        # A GPU does each of them in two and a half minutes, so that no GPU does both in time.
        spec = {"images": 15_000, "deadline": "4m", "deadlineClass": "Hard", **on}
        anywhere, picky = (job_on_gpus(cluster, name, **spec) for name in images)
        with quota_of_gpus(cluster, 0):
            cluster.apply(anywhere, on_node(picky, first))
            for name in images:
                wait_until_told(cluster, name, "Feasible", "ResourceQuota", reason="Waiting")
        # Now both of them can be planned, in the same pass.
        assert nodes_used(cluster, "anywhere") == {second}
        assert nodes_used(cluster, "picky") == {first}
        cluster.kill_operator()
        require_in_time(cluster, images)


@pytest.mark.deep
def test_a_node_of_two_cores_is_one_slice_of_two_if_its_label_says_so(cluster: Cluster) -> None:
    (node, _), model = cluster.nodes, {**MODEL, "imageSize": 88}
    images = {"first": 20_000, "second": 800}
    profile = profile_document(latency_us=LATENCY_US)
    profile["metadata"]["name"] = "cpu-2-88"
    profile["spec"] |= {"deviceClass": "cpu-2", "model": {**profile["spec"]["model"], "imageSize": 88}}
    profile["spec"]["device"] |= {"threads": 2}
    cluster.apply(profile)
    cluster.kubectl("label", "node", node, f"{SLICE_CPUS}=2")
    try:
        jobs = []
        for name, count in images.items():
            share_folder(cluster, name)
            spec = {"deadline": "8m", "deadlineClass": "Hard", "source": {"synthetic": {}}, "images": count}
            document = job(cluster, name, model=model, gpus={"classes": ["cpu-2"]}, **spec)
            # The node has room for both of them, and one slice.
            document["spec"]["worker"]["resources"] = SMALL
            jobs.append(document)
        cluster.apply(jobs[0])
        cluster.wait_for_phase("first", "Running")
        assert nodes_used(cluster, "first") == {node}
        # It has minutes to spare, so it may hand its slice over meanwhile.
        cluster.apply(jobs[1])
        cluster.kill_operator()
        require_in_time(cluster, images)
        used = sorted(times for name in images for times in times_of_workers(cluster, name))
        assert len(used) >= len(images)
        assert all(before[1] <= after[0] for before, after in pairwise(used))
    finally:
        cluster.kubectl("label", "node", node, f"{SLICE_CPUS}-")
        cluster.kubectl("delete", "gprof", profile["metadata"]["name"])


def test_jobs_of_a_namespace_with_a_quota_of_one_gpu_run_one_after_the_other(cluster: Cluster) -> None:
    on: dict[str, Any] = {"device_class": "NVIDIA-M60", "deadlineClass": "Hard"}
    images = {"within": 20_000, "after": 3000}
    for name in images:
        share_folder(cluster, name)
    with gpus_of_a_class(cluster, on["device_class"], LATENCY_US, 1, 1), quota_of_gpus(cluster, 1):
        cluster.apply(job_on_gpus(cluster, "within", images=images["within"], deadline="6m", **on))
        cluster.wait_for_phase("within", "Running")
        cluster.apply(job_on_gpus(cluster, "after", images=images["after"], deadline="6m", **on))
        told = wait_until_told(cluster, "after", "Feasible", reason="Reserved")
        assert told["message"].startswith("Starts at ")
        require_in_time(cluster, images)
    one, two = (worker_of(cluster, name) for name in images)
    assert two["startedAt"] >= one["finishedAt"]
    # No pod was tried that the quota has no room for.
    assert "exceeded quota" not in cluster.kubectl("get", "events")


def test_nothing_is_planned_on_a_node_for_after_its_drain(cluster: Cluster) -> None:
    on: dict[str, Any] = {"device_class": "NVIDIA-P100", "deadlineClass": "Hard"}
    leaving, staying = cluster.nodes
    images = {"long": 15_000, "short": 1000}
    for name in images:
        share_folder(cluster, name)
    with gpus_of_a_class(cluster, on["device_class"], LATENCY_US, 1, 1):
        goes_at = datetime.now(UTC) + timedelta(minutes=2)
        cluster.kubectl("annotate", "node", leaving, f"{DRAIN_AT}={goes_at.isoformat(timespec='seconds')}")
        try:
            # Two and a half minutes, which the first node hasn't any more.
            cluster.apply(job_on_gpus(cluster, "long", images=images["long"], deadline="5m", **on))
            assert nodes_used(cluster, "long") == {staying}
            # Ten seconds, for which it is there.
            cluster.apply(job_on_gpus(cluster, "short", images=images["short"], deadline="2m", **on))
            assert nodes_used(cluster, "short") == {leaving}
            require_in_time(cluster, images)
        finally:
            cluster.kubectl("annotate", "node", leaving, f"{DRAIN_AT}-")
