"""Why no node has room for a worker: which resource is missing, on which nodes."""

from dataclasses import replace

import pytest

from dueby_operator.cluster.nodes import DeviceKind, Node, PodRow
from dueby_operator.cluster.pods_on_nodes import take_pods
from dueby_operator.cluster.shortage import describe_shortage, describe_uncounted
from support.decisions import SETTINGS, node

GIB = 2**30
ASKED = {"cpu": 8.0, "memory": 2.0 * GIB, "pods": 1.0}
L4 = {"L4": DeviceKind(resource="nvidia.com/gpu", count=1)}


def gpu_node(name: str, *, cpu: float = 16, memory: float = 64 * GIB, gpus: float = 1, is_ready: bool = True) -> Node:
    free = {"cpu": cpu, "memory": memory, "pods": 100.0, "nvidia.com/gpu": gpus}
    whole = {"cpu": 16.0, "memory": 64.0 * GIB, "pods": 110.0, "nvidia.com/gpu": 1.0}
    return Node(name=name, labels={}, is_ready=is_ready, devices=L4, allocatable=whole, free=free)


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        pytest.param(
            [gpu_node("a", cpu=3.5)],
            ["1 node; the most that one has is 3.5 of 8 cpu", "a has 3.5 of 8 cpu"],
            id="cores beside a free GPU",
        ),
        pytest.param(
            [gpu_node("a", cpu=3.5, memory=GIB), gpu_node("b", gpus=0)],
            [
                "2 nodes; the most that one has is 0 of 1 nvidia.com/gpu",
                "a has 3.5 of 8 cpu and 1,024 MiB of 2,048 MiB memory, b has 0 of 1 nvidia.com/gpu",
            ],
            id="something else on each node",
        ),
        pytest.param(
            [gpu_node(name, cpu=cpu) for name, cpu in zip("abcd", (1, 2, 1, 1), strict=True)],
            [
                "4 nodes; the most that one has is 2 of 8 cpu",
                "a has 1 of 8 cpu, b has 2 of 8 cpu, c has 1 of 8 cpu, and 1 more node too little",
            ],
            id="many nodes",
        ),
    ],
)
def test_it_names_the_resource_and_the_nodes_where_tenants_may_know_them(nodes: list[Node], words: list[str]) -> None:
    told, named = (
        describe_shortage(nodes, "L4", replace(SETTINGS, names_nodes=named), requests=ASKED) for named in (False, True)
    )
    assert told == f"a worker on L4 finds too little on {words[0]}"
    assert named == f"a worker on L4 finds too little: {words[1]}"


@pytest.mark.parametrize(
    ("nodes", "device_class", "words"),
    [
        pytest.param([gpu_node("a")], "L4", "", id="nothing is missing"),
        pytest.param([gpu_node("a", cpu=3.5), gpu_node("b")], "L4", "", id="one node is enough"),
        pytest.param([gpu_node("a")], "T4", "no node has T4", id="no such device"),
        pytest.param(
            [gpu_node("a", is_ready=False)],
            "L4",
            "of 1 node with L4 none is ready, selected by the job and without taints that it doesn't tolerate",
            id="no node that takes pods",
        ),
    ],
)
def test_it_says_if_nothing_is_missing_or_no_node_is_usable(nodes: list[Node], device_class: str, words: str) -> None:
    assert describe_shortage(nodes, device_class, SETTINGS, requests=ASKED) == words


def test_it_says_what_belongs_to_a_device_and_what_to_do_where_more_is_asked_for() -> None:
    told = describe_shortage([gpu_node("a")], "L4", SETTINGS, requests={**ASKED, "cpu": 15.0, "memory": 60.0 * GIB})
    assert told == (
        "a worker on L4 asks for more than belongs to a device of any node, which is 14.4 of 15 cpu and 58,982 MiB of "
        "61,440 MiB memory at most; lower spec.worker.resources or the chart's worker.gpuCpus and worker.memory, or "
        "use a larger device class"
    )


def test_where_all_slices_have_workers_that_ask_for_little_slices_are_what_is_missing() -> None:
    small = {"cpu": 0.25, "memory": 1.0, "pods": 1.0}
    worker = PodRow(node="n", requests=small, is_worker=True)
    full = take_pods([node("n", cpus=2)], [worker] * 2)
    told = describe_shortage(full.values(), "cpu-1", SETTINGS, requests=small)
    assert told == "a worker on cpu-1 finds too little on 1 node; the most that one has is 0 of 1 CPU slices"


def test_gpus_that_do_not_count_are_told_of_once_for_each_reason() -> None:
    nodes = [replace(gpu_node(name), uncounted="of this") for name in "edcba"]
    assert describe_uncounted([]) == describe_uncounted([gpu_node("a")]) == ""
    nodes.append(replace(gpu_node("f"), uncounted="of that"))
    assert describe_uncounted(nodes) == (
        "GPUs of 1 node are not counted, since of that; GPUs of 5 nodes are not counted, since of this"
    )
    assert describe_uncounted(nodes, names_nodes=True) == (
        "GPUs of f are not counted, since of that; GPUs of a, b, c and 2 more nodes are not counted, since of this"
    )
