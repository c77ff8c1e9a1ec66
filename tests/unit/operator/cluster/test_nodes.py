"""What is free on nodes: allocatable less every tenant's pods, by device class."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_api.errors import Invalid
from dueby_api.units import to_micros
from dueby_operator.cluster.nodes import Node, PodRow, free_devices, pod_row, read_node, read_slice_cpus
from dueby_operator.cluster.pods_on_nodes import take_pods
from dueby_operator.cluster.quantities import readable_quantities
from dueby_operator.objects.nodes import NodeObject, Toleration
from dueby_operator.objects.parse import parse
from dueby_operator.objects.pods import Pod

Document = dict[str, Any]
GPU = "nvidia.com/gpu"
A100 = "NVIDIA-A100-SXM4-40GB"
SMALL = {"cpu": 2.0, "memory": 2.0**30, "pods": 1.0}


def node(name: str = "n", *, gpus: int = 0, product: str = A100, cpu: str = "16", **spec: Any) -> Document:
    allocatable = {"cpu": cpu, "memory": "64Gi", "pods": "110", **({GPU: str(gpus)} if gpus else {})}
    return {
        "metadata": {"name": name, "labels": {"nvidia.com/gpu.product": product} if gpus else {}},
        "spec": spec,
        "status": {"allocatable": allocatable, "conditions": [{"type": "Ready", "status": "True"}]},
    }


def pod(node: str, *, phase: str = "Running", **requests: str) -> Document:
    asked = {name.replace("gpu", GPU): value for name, value in requests.items()}
    return {
        "metadata": {},
        "spec": {"nodeName": node, "containers": [{"resources": {"requests": asked}}]},
        "status": {"phase": phase},
    }


def read(document: Document) -> Node:
    return read_node(parse(NodeObject, document), slice_cpus=2)


def row(document: Document, *, yielding: str = "") -> PodRow | None:
    return pod_row(parse(Pod, document), label="ours", worker={"step": "work"}, yielding=yielding)


def free(
    nodes: list[Document],
    *pods: Document,
    classes: tuple[str, ...] = (A100,),
    tolerations: tuple[Document, ...] = (),
    **more: Any,
) -> dict[str, int]:
    """How many more small workers fit, by device class."""
    found = take_pods([read(document) for document in nodes], filter(None, map(row, pods)))
    borne = [parse(Toleration, toleration) for toleration in tolerations]
    return {name: free_devices(found.values(), name, requests=SMALL, tolerations=borne, **more) for name in classes}


def test_every_tenants_pods_are_taken_off_and_ended_ones_are_not() -> None:
    nodes = [node("a", gpus=4), node("b", gpus=2)]
    assert free(nodes) == {A100: 6}
    assert free(nodes, pod("a", gpu="3"), pod("b", gpu="1", phase="Succeeded")) == {A100: 3}


def test_a_pod_that_yields_to_workers_takes_nothing_and_is_kept() -> None:
    def profiler(priority: int) -> Document:
        found = pod("a", gpu="1", cpu="2")
        return found | {"metadata": {"labels": {"yields": ""}}, "spec": {**found["spec"], "priority": priority}}

    rows = [found for priority in (-1000, 0) if (found := row(profiler(priority), yielding="yields"))]
    assert [(bool(found.requests), found.ours is not None) for found in rows] == [(False, True), (True, False)]
    left = take_pods([read(node("a", gpus=4))], rows)
    assert free_devices(left.values(), A100, requests=SMALL) == 3


@pytest.mark.parametrize(
    ("phase", "leaves_in_s", "leaving", "overdue"),
    [
        pytest.param("Running", 20, 1.0, [], id="leaving while it has no more time than a worker"),
        pytest.param("Running", -20, 1.0, [], id="leaving while its node may clear it away"),
        pytest.param("Running", 600, 0.0, [], id="neither while it has more time than a worker"),
        pytest.param("Running", 10**9, 0.0, [], id="neither while it has for ever"),
        pytest.param("Running", -31, 0.0, ["stuck"], id="overdue after that, whatever holds it"),
        pytest.param("Failed", -3600, 0.0, [], id="neither if only a finalizer keeps what has ended"),
    ],
)
def test_a_deleted_pod_is(phase: str, leaves_in_s: int, leaving: float, overdue: list[str]) -> None:
    now = datetime(2026, 12, 1, tzinfo=UTC)
    made = pod("a", gpu="1", phase=phase)
    at = (now + timedelta(seconds=leaves_in_s)).isoformat()
    made["metadata"] = {"name": "stuck", "deletionTimestamp": at, "finalizers": ["batch.kubernetes.io/job-tracking"]}
    rows = filter(None, [row(made)])
    found = take_pods([read(node("a", gpus=4))], rows, now_us=to_micros(now))["a"]
    assert (found.leaving.get(GPU, 0.0), [each.name for each in found.overdue]) == (leaving, overdue)
    assert found.free[GPU] == (4.0 if phase == "Failed" else 3.0)


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
def test_a_node_that_takes_no_pods_counts_for_nothing(changed: Document) -> None:
    assert free([node(gpus=4) | changed]) == {A100: 0}


def test_a_tolerated_taint_is_none() -> None:
    tainted = node(gpus=4, taints=[{"key": "team", "value": "b", "effect": "NoSchedule"}])
    assert free([tainted], tolerations=({"key": "team", "value": "b"},)) == {A100: 4}
    assert free([tainted], tolerations=({"operator": "Exists"},)) == {A100: 4}
    assert free([tainted], tolerations=({"key": "team", "value": "c"},)) == {A100: 0}


def test_a_selector_leaves_only_its_nodes() -> None:
    assert free([node(gpus=4)], selector={"zone": "a"}) == {A100: 0}


def test_time_sliced_gpus_are_left_out() -> None:
    shared = f"{A100}-SHARED"
    assert free([node(gpus=4, product=shared)], classes=(shared,)) == {shared: 0}


def test_mig_slices_are_classes_of_their_own() -> None:
    sliced = node(gpus=1)
    sliced["status"]["allocatable"] |= {"nvidia.com/mig-1g.5gb": "7"}
    assert free([sliced], classes=(A100, f"{A100}-mig-1g.5gb")) == {A100: 1, f"{A100}-mig-1g.5gb": 7}


def test_cpu_slices_are_on_nodes_without_gpus() -> None:
    awaiting_its_driver = node("gpu-1", gpus=1)
    del awaiting_its_driver["status"]["allocatable"][GPU]
    nodes = [node("cpu", cpu="7500m"), node("gpu-0", gpus=1), awaiting_its_driver]
    assert free(nodes, pod("cpu", cpu="500m"), classes=("cpu-2",)) == {"cpu-2": 3}


def test_what_a_node_has_of_something_that_cant_be_read_is_nothing() -> None:
    odd = node(gpus=2)
    odd["status"]["allocatable"] |= {GPU: "two", "memory": "1e400", "example.org/a": "-4"}
    found = read(odd)
    assert not found.devices
    odd["metadata"]["labels"] = {}
    found = read(odd)
    assert free_devices([found], "cpu-2", requests=SMALL) == 8
    assert free_devices([found], "cpu-2", requests={**SMALL, "example.org/a": 1.0}) == 0
    assert free_devices([found], "cpu-2", requests={**SMALL, GPU: 1.0}) == 0


@pytest.mark.parametrize("text", ["0", "two", "10000", "-1", "1.5", ""])
def test_a_label_that_is_no_number_of_cores_is_an_error(text: str) -> None:
    assert read_slice_cpus({"dueby.dev/slice-cpus": "4"}, 1) == 4
    assert read_slice_cpus({}, 2) == 2
    with pytest.raises(Invalid, match="must be a number of cores from 1 to 9999"):
        read_slice_cpus({"dueby.dev/slice-cpus": text}, 1)


AMOUNTS = st.dictionaries(
    st.sampled_from(["cpu", "memory", "pods", GPU, "nvidia.com/mig-1g.5gb", "x"]),
    st.text(alphabet="0123456789.eEmkMGiEn-") | st.integers() | st.floats(),
)


@given(AMOUNTS, AMOUNTS)
def test_any_amounts_leave_a_number_of_devices(there: Document, asked: Document) -> None:
    odd = node()
    odd["status"]["allocatable"] = there
    odd["metadata"]["labels"] = {"nvidia.com/gpu.product": A100}
    wanted = {name: abs(value) for name, value in readable_quantities(asked).items()}
    try:
        rows = [found for found in [row(pod("n"))] if found]
        nodes = take_pods([read(odd)], [replace(found, requests=wanted) for found in rows])
    except Invalid:
        return
    for device_class in (A100, "cpu-2"):
        assert free_devices(nodes.values(), device_class, requests=wanted) >= 0
