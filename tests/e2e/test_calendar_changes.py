"""What changes a calendar that is there already: an edit that makes room, and a node that is lost.

The operator is killed in the middle of each. GPUs of two nodes, which only the scheduler and the operator believe in.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.kind.cluster import Cluster, call
from support.kind.cluster_job import SLOW, condition, indices_of, parts_in, share_folder, wait_until_told, workers_of
from support.kind.gpus import gpus_of_a_class, job_on_gpus
from support.kind.lost_nodes import bring_back
from support.kind.model import MODEL

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900, func_only=True)]
# Of 8 images. With the first, no core keeps up, so that nobody is done sooner than planned; with the second, all do.
HASTY_US, SLOW_US = 500, 75_000


def test_an_edit_that_makes_room_is_a_waiting_jobs_chance(cluster: Cluster) -> None:
    on: dict[str, Any] = {"device_class": "NVIDIA-L4", "model": {**MODEL, "imageSize": 80}}
    rows = share_folder(cluster, "waiting") / "rows"
    share_folder(cluster, "large")
    with gpus_of_a_class(cluster, on["device_class"], HASTY_US, 1, 1):
        # Two GPUs do it in a little less than ten minutes by the profile, and here in more than an hour.
        large = job_on_gpus(cluster, "large", images=15_000_000, deadline="10m", **on)
        large["spec"]["worker"]["resources"] = SLOW
        cluster.apply(large)
        cluster.wait_for_phase("large", "Running")
        assert len(workers_of(cluster, "large")) == 2
        cluster.apply(job_on_gpus(cluster, "waiting", images=4000, deadline="24h", **on))
        told = wait_until_told(cluster, "waiting", "Feasible", reason="Reserved")
        assert told["message"].startswith("Starts at ")
        assert not workers_of(cluster, "waiting")

        large["spec"]["gpus"]["max"] = 1
        cluster.apply(large)
        cluster.kill_operator()
        done = cluster.wait_for_phase("waiting", "Succeeded", "Failed")
        assert done["status"]["phase"] == "Succeeded", done["status"]
        assert indices_of(rows) == list(range(4000))
        running = cluster.get("infj", "large")["status"]
        assert running["phase"] == "Running"
        # Killed after it has written a decision down, and before it has carried it out, the operator decides once more.
        assert {(each["reason"], each["from"], each["to"]) for each in running["replans"]} == {("Edited", 2, 1)}
        cluster.kubectl("delete", "infj", "large", "waiting")


@pytest.fixture
def lost(cluster: Cluster) -> Iterator[list[str]]:
    """Nodes that a test has killed: they come back."""
    nodes: list[str] = []
    yield nodes
    for node in nodes:
        bring_back(cluster, node)


def wait_for_a_part(cluster: Cluster, folder: Path) -> None:
    """Until a part of the job's rows is there."""
    cluster.wait(lambda: parts_in(folder / "rows"), f"a part is in {folder}")


@pytest.mark.deep
def test_two_promises_are_kept_by_the_node_that_is_left(cluster: Cluster, lost: list[str]) -> None:
    device_class = "NVIDIA-A30"
    folders = {name: share_folder(cluster, name) for name in ("first", "second")}
    with gpus_of_a_class(cluster, device_class, SLOW_US, 1, 1):
        # One GPU does each in two and a half minutes, and both of them in five.
        spec = {"images": 16_000, "deadline": "8m", "deadlineClass": "Hard"}
        jobs = [job_on_gpus(cluster, name, device_class=device_class, **spec) for name in folders]
        for job in jobs:
            job["spec"]["worker"]["resources"] = SLOW
        cluster.apply(*jobs)
        for name, folder in folders.items():
            cluster.wait_for_phase(name, "Running")
            assert len(workers_of(cluster, name)) == 1
            wait_for_a_part(cluster, folder)
        (pod,) = cluster.items("pods", "dueby.dev/job=first,dueby.dev/step=work")
        lost.append(pod["spec"]["nodeName"])
        call("docker", "kill", pod["spec"]["nodeName"])
        cluster.kill_operator()
        # The other job keeps the GPU that is left, and this one is told when it has it.
        told = wait_until_told(cluster, "first", "Feasible", reason="Reserved")
        assert told["message"].startswith("Its last worker was lost. Starts at ")
        done = {name: cluster.wait_for_phase(name, "Succeeded", "Failed") for name in folders}
    for name, document in done.items():
        assert document["status"]["phase"] == "Succeeded", document["status"]
        assert condition(document, "DeadlineMet")["status"] == "True"
        assert indices_of(folders[name] / "rows") == list(range(16_000))
    # Once the lost pod is evicted, Kubernetes may be quicker to make another than the operator to start another worker.
    pods = cluster.items("pods", "dueby.dev/job=first,dueby.dev/step=work")
    ended_on = {pod["spec"]["nodeName"] for pod in pods if pod["status"]["phase"] == "Succeeded"}
    assert ended_on == {*cluster.nodes} - {*lost}
