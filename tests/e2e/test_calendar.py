"""Jobs of several deadline classes on two GPUs of one node, which only the scheduler and the operator believe in.

Their profile says less of them than this machine usually does, so that jobs end earlier than planned.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from dueby_api.units import parse_time_us
from support.cluster import Cluster
from support.cluster_job import condition, indices_of, job, share_folder, wait_until_told, workers_of
from support.gpus import SMALL, add_gpus, gpu_profile, remove_gpus, wait_for_gpus

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900, func_only=True)]
GPU_CLASS = "NVIDIA-T4"
# Of 8 images: a GPU does 100 a second.
LATENCY_US = 80_000


@pytest.fixture
def gpus(cluster: Cluster) -> Iterator[None]:
    """Two of a class on a node."""
    node = cluster.nodes[0]
    add_gpus(cluster, node, GPU_CLASS, count=2)
    cluster.apply(gpu_profile(GPU_CLASS, LATENCY_US))
    wait_for_gpus(cluster, node)
    yield
    remove_gpus(cluster, node)
    cluster.kubectl("delete", "gprof", GPU_CLASS.lower())


def made_up(cluster: Cluster, name: str, **spec: Any) -> dict[str, Any]:
    """A job of made-up images, on these GPUs."""
    document = job(cluster, name, gpus={"classes": [GPU_CLASS]}, source={"synthetic": {}}, **spec)
    document["spec"]["worker"]["resources"] = SMALL
    return document


def windows_of(cluster: Cluster, name: str) -> list[dict[str, Any]]:
    """What is reserved for the job."""
    found: list[dict[str, Any]] = cluster.get("infj", name)["status"].get("plan", {}).get("windows", [])
    return found


@pytest.mark.usefixtures("gpus")
def test_a_relaxed_job_gives_its_devices_to_a_hard_one_and_takes_them_back(cluster: Cluster) -> None:
    long, short = share_folder(cluster, "relaxed"), share_folder(cluster, "hard")
    # Two GPUs would do it in five minutes.
    cluster.apply(made_up(cluster, "relaxed", images=60_000, deadline="6m", deadlineClass="Relaxed"))
    cluster.wait_for_phase("relaxed", "Running")
    assert len(workers_of(cluster, "relaxed")) == 2
    cluster.wait(lambda: list((long / "rows").glob("part-*.parquet")), "a part is there")

    # One GPU does it in a minute.
    cluster.apply(made_up(cluster, "hard", images=6000, deadline="2m", deadlineClass="Hard"))
    done = cluster.wait_for_phase("hard", "Succeeded", "Failed")
    assert done["status"]["phase"] == "Succeeded", done["status"]
    assert condition(done, "DeadlineMet")["status"] == "True"
    replans = [replan["reason"] for replan in cluster.get("infj", "relaxed")["status"]["replans"]]
    assert "GaveWay" in replans
    done = cluster.wait_for_phase("relaxed", "Succeeded", "Failed")
    assert done["status"]["phase"] == "Succeeded", done["status"]
    assert indices_of(short / "rows") == list(range(6000))
    assert indices_of(long / "rows") == list(range(60_000))


@pytest.mark.usefixtures("gpus")
def test_two_hard_jobs_that_only_fit_one_after_the_other_are_both_in_time(cluster: Cluster) -> None:
    """With an operator that is killed while the second one waits for its window."""
    folders = {name: share_folder(cluster, name) for name in ("first", "second")}
    # Both GPUs together take more than a minute for each of them.
    cluster.apply(made_up(cluster, "first", images=16_000, deadline="100s", deadlineClass="Hard"))
    cluster.wait_for_phase("first", "Starting", "Running")
    cluster.apply(made_up(cluster, "second", images=16_000, deadline="220s", deadlineClass="Hard"))
    cluster.wait_for_phase("second", "Scheduled")
    reserved = wait_until_told(cluster, "second", "Feasible", reason="Reserved")
    assert "Starts at" in reserved["message"]
    before = windows_of(cluster, "second")
    assert before
    cluster.kill_operator()
    columns = cluster.kubectl("get", "infj", "second").splitlines()
    assert columns[0].split()[:6] == ["NAME", "PHASE", "GPUS", "IMAGES", "STARTS", "ENDS"]

    done = {name: cluster.wait_for_phase(name, "Succeeded", "Failed") for name in folders}
    for name, document in done.items():
        assert document["status"]["phase"] == "Succeeded", document["status"]
        assert condition(document, "DeadlineMet")["status"] == "True"
        assert indices_of(folders[name] / "rows") == list(range(16_000))
    # The second began when the first had ended, or after that at the latest.
    assert parse_time_us(done["second"]["status"]["starts"]) >= parse_time_us(before[0]["from"]) - 60 * 10**6


@pytest.mark.usefixtures("gpus")
def test_what_fits_beside_no_promise_is_refused_with_the_jobs_and_numbers(cluster: Cluster) -> None:
    share_folder(cluster, "promised")
    cluster.apply(made_up(cluster, "promised", images=20_000, deadline="150s", deadlineClass="Hard"))
    cluster.wait_for_phase("promised", "Starting", "Running")
    cluster.apply(made_up(cluster, "refused", images=20_000, deadline="160s", deadlineClass="Hard"))
    refused = condition(cluster.wait_for_phase("refused", "Failed"), "Failed")
    assert refused["reason"] == "Infeasible"
    assert "promised" in refused["message"]
    assert re.search(r"need at least [0-9.]+ \S+ ?\S*-(seconds|minutes), and there are", refused["message"])
    cluster.kubectl("delete", "infj", "promised", "refused")
