"""What is free on nodes: allocatable less every tenant's pods, by device class."""

from collections.abc import Mapping
from typing import Any

import pytest

from dueby_operator.cluster.nodes import Need, free_devices, pod_row, quantity, read_node, requests_of, take_pods

GPU = "nvidia.com/gpu"
A100 = "NVIDIA-A100-SXM4-40GB"
SMALL = Need(cpu=2, memory=2**30)


def node(name: str = "n", *, gpus: int = 0, product: str = A100, cpu: str = "16", **spec: Any) -> dict[str, Any]:
    allocatable = {"cpu": cpu, "memory": "64Gi", "pods": "110", **({GPU: str(gpus)} if gpus else {})}
    return {
        "metadata": {"name": name, "labels": {"nvidia.com/gpu.product": product} if gpus else {}},
        "spec": spec,
        "status": {"allocatable": allocatable, "conditions": [{"type": "Ready", "status": "True"}]},
    }


def pod(node: str, *, phase: str = "Running", **requests: str) -> dict[str, Any]:
    asked = {name.replace("gpu", GPU): value for name, value in requests.items()}
    return {
        "metadata": {},
        "spec": {"nodeName": node, "containers": [{"resources": {"requests": asked}}]},
        "status": {"phase": phase},
    }


def free(nodes: list[dict[str, Any]], *pods: Mapping[str, Any], need: Need = SMALL, **more: Any) -> dict[str, int]:
    rows = [row for document in pods if (row := pod_row(document, label="ours"))]
    found = take_pods([read_node(document) for document in nodes], rows)
    return {name: free_devices(found.values(), name, need=need, **more) for name in more.pop("classes", [A100])}


@pytest.mark.parametrize(
    ("text", "number"), [("250m", 0.25), ("4", 4), ("2Gi", 2**31), ("1e3", 1000), ("1.5k", 1500), (3, 3)]
)
def test_a_quantity_is_read(text: str | int, number: float) -> None:
    assert quantity(text) == pytest.approx(number)


@pytest.mark.parametrize("text", ["", "4 Gi", "many", "4GiB"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        quantity(text)


def test_every_tenants_pods_are_taken_off_and_ended_ones_are_not() -> None:
    nodes = [node("a", gpus=4), node("b", gpus=2)]
    assert free(nodes) == {A100: 6}
    assert free(nodes, pod("a", gpu="3"), pod("b", gpu="1", phase="Succeeded")) == {A100: 3}


def test_a_pod_that_yields_to_workers_takes_nothing_and_is_kept() -> None:
    def profiler(priority: int) -> dict[str, Any]:
        found = pod("a", gpu="1", cpu="2")
        return found | {"metadata": {"labels": {"yields": ""}}, "spec": {**found["spec"], "priority": priority}}

    rows = [pod_row(profiler(priority), label="ours", yielding="yields") for priority in (-1000, 0)]
    assert [(bool(row.requests), row.ours is not None) for row in rows if row] == [(False, True), (True, False)]
    found = take_pods([read_node(node("a", gpus=4))], [row for row in rows if row])
    assert free_devices(found.values(), A100, need=SMALL) == 3


def test_cpu_memory_and_pods_bound_the_workers_of_a_node() -> None:
    nodes = [node(gpus=8, cpu="16")]
    assert free(nodes, pod("n", cpu="11")) == {A100: 2}
    assert free(nodes, pod("n", memory="62Gi")) == {A100: 2}
    assert free(nodes, *[pod("n") for _ in range(109)]) == {A100: 1}


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"spec": {"unschedulable": True}}, id="cordoned"),
        pytest.param({"spec": {"taints": [{"key": "team", "value": "b", "effect": "NoSchedule"}]}}, id="tainted"),
        pytest.param({"status": {"allocatable": {GPU: "4"}, "conditions": []}}, id="not ready"),
    ],
)
def test_a_node_that_takes_no_pods_counts_for_nothing(changed: dict[str, Any]) -> None:
    assert free([node(gpus=4) | changed]) == {A100: 0}


def test_a_tolerated_taint_is_none() -> None:
    tainted = node(gpus=4, taints=[{"key": "team", "value": "b", "effect": "NoSchedule"}])
    assert free([tainted], tolerations=[{"key": "team", "value": "b"}]) == {A100: 4}
    assert free([tainted], tolerations=[{"operator": "Exists"}]) == {A100: 4}
    assert free([tainted], tolerations=[{"key": "team", "value": "c"}]) == {A100: 0}


def test_a_selector_leaves_only_its_nodes() -> None:
    assert free([node(gpus=4)], selector={"zone": "a"}) == {A100: 0}


def test_time_sliced_gpus_are_left_out() -> None:
    shared = f"{A100}-SHARED"
    assert free([node(gpus=4, product=shared)], classes=[shared]) == {shared: 0}


def test_mig_slices_are_classes_of_their_own() -> None:
    sliced = node(gpus=1)
    sliced["status"]["allocatable"] |= {"nvidia.com/mig-1g.5gb": "7"}
    assert free([sliced], classes=[A100, f"{A100}-mig-1g.5gb"]) == {A100: 1, f"{A100}-mig-1g.5gb": 7}


def test_cpu_slices_are_on_nodes_without_gpus() -> None:
    nodes = [node("cpu", cpu="7500m"), node("gpu", gpus=1)]
    assert free(nodes, pod("cpu", cpu="500m"), classes=["cpu-2"]) == {"cpu-2": 3}


def test_a_pod_asks_for_its_containers_or_its_largest_initial_one() -> None:
    def container(cpu: str, **more: Any) -> dict[str, Any]:
        return {"resources": {"requests": {"cpu": cpu}}, **more}

    spec = {
        "containers": [container("1"), container("500m")],
        "initContainers": [container("250m", restartPolicy="Always"), container("4"), container("1")],
        "overhead": {"cpu": "100m"},
    }
    assert requests_of({"spec": spec})["cpu"] == pytest.approx(4.35)
