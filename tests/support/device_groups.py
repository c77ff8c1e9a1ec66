"""Nodes and jobs of all kinds, and what the jobs' workers ask for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from dueby_operator.cluster.devices import ClusterDevices
from dueby_operator.cluster.nodes import Node, PodRow, read_node
from dueby_operator.cluster.pods_on_nodes import take_pods
from dueby_operator.cluster.requests import worker_requests
from dueby_operator.objects.nodes import NodeObject
from dueby_operator.objects.parse import parse
from dueby_planner.model.problem import NEVER_US
from dueby_planner.schedule.devices import DeviceGroups
from dueby_planner.schedule.job import Claimant, JobKey
from dueby_planner.schedule.spans import Span
from support.decisions import NOW, SECOND, SETTINGS
from support.operator import spec

GPU, MIG, A100 = "nvidia.com/gpu", "nvidia.com/mig-1g.5gb", "NVIDIA-A100"
CLASSES = ("cpu-1", "cpu-2", A100, f"{A100}-mig-1g.5gb")
TAINT = {"key": "dedicated", "value": "x", "effect": "NoSchedule"}


def one_of(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


@st.composite
def some_nodes(draw: st.DrawFn) -> dict[str, Node]:
    """A few nodes of which no two need be alike, and what strangers have of them."""
    found, rows = [], []
    for number in range(draw(st.integers(1, 3))):
        name, has_gpus = f"n{number}", draw(st.booleans())
        gpus = {GPU: str(draw(st.integers(0, 3))), MIG: str(draw(st.integers(0, 2)))} if has_gpus else {}
        allocatable = {"cpu": draw(one_of("3", "4", "6")), "memory": draw(one_of("6Gi", "12Gi")), "pods": "5", **gpus}
        labels = {"pool": draw(one_of("a", "b")), **({"nvidia.com/gpu.product": A100} if has_gpus else {})}
        document = {
            "metadata": {"name": name, "labels": labels},
            "spec": {"unschedulable": draw(one_of(False, False, True)), "taints": draw(one_of([], [], [TAINT]))},
            "status": {"allocatable": allocatable, "conditions": [{"type": "Ready", "status": "True"}]},
        }
        away = draw(one_of((), (), (Span(NOW + SECOND, NEVER_US),)))
        found.append(replace(read_node(parse(NodeObject, document), slice_cpus=draw(one_of(1, 2))), away=away))
        taken = {GPU: 1.0} if draw(st.booleans()) and gpus.get(GPU, "0") != "0" else {}
        rows += [PodRow(node=name, requests={"cpu": 1.5, "memory": 2.0**30, "pods": 1.0, **taken})] * draw(one_of(0, 1))
    return take_pods(found, rows)


def some_spec(draw: st.DrawFn) -> Any:
    worker: dict[str, Any] = {}
    if draw(st.booleans()):
        requests = {"memory": draw(one_of("1Gi", "3Gi")), "cpu": draw(one_of("500m", "1", "2", "3"))}
        worker["resources"] = {"requests": requests}
    if draw(st.booleans()):
        worker["nodeSelector"] = {"pool": "a"}
    if draw(st.booleans()):
        worker["tolerations"] = [TAINT]
    return spec(worker=worker)


@st.composite
def some_claimants(draw: st.DrawFn) -> list[Claimant]:
    classes = st.lists(st.sampled_from(CLASSES), min_size=1, max_size=3, unique=True).map(tuple)
    return [
        Claimant(key=("team", f"job-{number}"), spec=some_spec(draw), classes=draw(classes))
        for number in range(draw(st.integers(1, 3)))
    ]


def claimant(name: str, **fields: Any) -> Claimant:
    return Claimant(key=("team", name), spec=spec(**fields), classes=("cpu-1",))


def devices_of(nodes: Mapping[str, Node]) -> ClusterDevices:
    return ClusterDevices(settings=SETTINGS, now_us=NOW, nodes=nodes)


@dataclass(frozen=True)
class Worker:
    """What one worker asks for, and where it may be."""

    asked: Mapping[str, float]
    nodes: frozenset[str]


def workers_of(
    groups: DeviceGroups, claimants: Sequence[Claimant], devices: ClusterDevices
) -> dict[str, dict[JobKey, Worker]]:
    """By group and user of it, what its workers ask for there."""
    found: dict[str, dict[JobKey, Worker]] = {}
    for group in groups.all:
        kind = devices.kinds.get(group.device_class)
        found[group.name] = {
            each.key: Worker({**needed(each, group.device_class), **(kind.request if kind else {})}, group.nodes)
            for each in claimants
            if each.key in group.users
        }
    return found


def needed(claimant: Claimant, device_class: str) -> dict[str, float]:
    """What a worker asks for, beside its device."""
    asked = worker_requests(claimant.spec, SETTINGS, device_class)
    return {name: asked[name] for name in ("cpu", "memory", "pods")}
