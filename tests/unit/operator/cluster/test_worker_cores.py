"""The cores of a GPU's worker: as many as its images ask for, of the GPU's share of what its nodes have."""

import json
from dataclasses import replace
from typing import Any

import pytest

from dueby_operator.cluster.allotments import share_of_cores
from dueby_operator.cluster.devices import ClusterDevices
from dueby_operator.cluster.nodes import Node
from dueby_operator.cluster.quotas import Bound
from support.decisions import NOW, SETTINGS, Look, indexed, infj, look, node
from support.operator import profile, spec
from support.profiling import A100, L4, gpu_node, nodes

# 16 cores and four GPUs: of 14.4 cores each has 3.6.
FOUR = gpu_node("four", L4)


def taken(node: Node, *, by: str, cpu: float, gpus: int = 0) -> Node:
    """Return the node once pods have so much of it: workers, or others."""
    amounts = {"cpu": cpu, "nvidia.com/gpu": float(gpus)}
    free = {name: value - amounts.get(name, 0.0) for name, value in node.free.items()}
    return replace(node, free=free, workers=amounts if by == "workers" else {})


@pytest.mark.parametrize(
    ("there", "cores"),
    [
        pytest.param(FOUR, 3, id="a fair share, rounded down"),
        pytest.param(gpu_node("one", L4, gpus=1), 14, id="a tenth of the node is left to others"),
        pytest.param(gpu_node("many", L4, gpus=16), 2, id="no less than workers are counted by"),
        pytest.param(taken(FOUR, by="workers", cpu=9, gpus=3), 3, id="what workers have is theirs"),
        pytest.param(taken(FOUR, by="others", cpu=6), 2, id="others have left less to all"),
        pytest.param(taken(FOUR, by="others", cpu=2, gpus=2), 3, id="others have GPUs, too"),
        pytest.param(taken(FOUR, by="others", cpu=14), 2, id="hardly anything is left"),
        pytest.param(gpu_node("other", A100), 0, id="no such GPU"),
        pytest.param(node(), 0, id="no GPU"),
    ],
)
def test_a_gpus_share_is_what_all_workers_on_the_node_can_have(there: Node, cores: int) -> None:
    assert share_of_cores(there, L4, SETTINGS) == cores


@pytest.mark.parametrize(
    ("job", "cluster", "cores"),
    [
        pytest.param({}, {}, 3, id="the smallest share of the class's nodes"),
        pytest.param({"worker": {"resources": {"requests": {"cpu": "5500m"}}}}, {}, 5, id="its own"),
        pytest.param({"worker": {"resources": {"limits": {"cpu": "4"}}}}, {}, 4, id="within its own limit"),
        pytest.param({"worker": {"resources": {"requests": {"cpu": "100m"}}}}, {}, 1, id="at least one"),
        pytest.param({"worker": {"resources": {"requests": {"memory": "3Gi"}}}}, {}, 3, id="it asks for memory alone"),
        pytest.param({"queueName": "night"}, {}, 2, id="in a queue, which counts cores"),
        pytest.param({}, {"room": {"team": {"requests.cpu": Bound(9.0, 9.0)}}}, 2, id="under a quota"),
    ],
)
def test_who_says_how_many_cores_a_worker_may_have(job: dict[str, Any], cluster: dict[str, Any], cores: int) -> None:
    there = nodes(FOUR, gpu_node("three", L4, gpus=3))
    devices = ClusterDevices(settings=SETTINGS, now_us=NOW, nodes=there, **cluster)
    assert devices.worker_cores("team", spec(**job), L4) == cores


def look_at(decode_us: float, **job: Any) -> Look:
    """Decide on a job whose images take a core so long, with a profile of 16 images in 100 ms."""
    found = profile(L4)
    found = found.replace(spec=found.spec.replace(engine="cudagraph"))
    cost = {"decodeMicros": decode_us, "sampled": 9}
    return look(infj(status=indexed(inputCost=cost), **job), profiles=(found,), nodes=nodes(FOUR))


@pytest.mark.parametrize(
    ("decode_us", "job", "cores"),
    [
        pytest.param(100, {}, 2, id="no fewer than workers are counted by"),
        pytest.param(15_000, {}, 3, id="as many as it takes"),
        pytest.param(100, {"worker": {"resources": {"requests": {"cpu": "3"}}}}, 3, id="as the job says"),
    ],
)
def test_pods_ask_for_the_cores_that_are_planned_and_decode_with_as_many(
    decode_us: float, job: dict[str, Any], cores: int
) -> None:
    (create,) = look_at(decode_us, **job).created
    (container,) = create.job["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["requests"]["cpu"] == str(cores)
    config = json.loads(create.config_map["data"]["config.json"])
    assert (config["threads"], config["decodeThreads"]) == (cores, cores)
