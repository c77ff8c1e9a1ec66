"""Nodes that are too slow are classes of their own: which they are, and what plans make of their devices."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from dueby_operator.cluster.nodes import Node, free_devices, read_node, set_apart
from dueby_operator.model.job_snapshot import JobMemory
from dueby_operator.model.writes import Create, Delete
from dueby_operator.objects.nodes import NodeObject, Toleration
from dueby_operator.objects.parse import parse
from dueby_operator.profiling.class_profiles import keep_profiles
from dueby_operator.profiling.slow_nodes import slow_nodes
from support.decisions import Look, indexed, infj, job, look, pod_of, worker_job_of
from support.profiling import L4, gpu_node, nodes, on

FIELDS = "requiredDuringSchedulingIgnoredDuringExecution"


@pytest.mark.parametrize(
    ("measured", "slow"),
    [
        pytest.param([100], "", id="one alone"),
        pytest.param([100, 120], "", id="20 % more is not too slow"),
        pytest.param([100, 121], "b", id="of two the one that is more than 20 % slower"),
        pytest.param([100, 105, 140, 95], "c", id="of several the one that stands out"),
        pytest.param([100, 140, 140], "bc", id="all that are slower than the faster half"),
        pytest.param([140, 140, 100], "ab", id="in any order"),
        pytest.param([100, 140, 140, 140], "", id="none where most are like that"),
        pytest.param([{8: 50, 16: 100}, {16: 130}], "b", id="by the sizes that both have"),
        pytest.param([{8: 50, 16: 100}, {8: 50, 16: 130}], "", id="by the mean over the sizes"),
        pytest.param([{8: 50}, {16: 200}], "", id="not without a size in common"),
    ],
)
def test_a_node_is_slow_if_its_mean_step_is_more_than_a_fifth_over_its_class(
    measured: Sequence[int | Mapping[int, int]], slow: str
) -> None:
    assert slow_nodes([on(node, ms) for node, ms in zip("abcd", measured, strict=False)]) == set(slow)


def slices(name: str) -> Node:
    """A node of four cores without GPUs."""
    document = {
        "metadata": {"name": name, "labels": {}},
        "status": {
            "allocatable": {"cpu": "4", "memory": "64Gi", "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }
    return read_node(parse(NodeObject, document), slice_cpus=2)


@pytest.mark.parametrize(
    ("device_class", "count"),
    [
        pytest.param(L4, 4, id="of the class only the others count"),
        pytest.param(f"{L4}@b", 4, id="of its own those of the node"),
        pytest.param(f"{L4}@a", 0, id="a node that is not slow has no class of its own"),
        pytest.param("cpu-2", 2, id="slices of the other nodes"),
        pytest.param("cpu-2@d", 2, id="slices of a slow node"),
        pytest.param("cpu-2@c", 0, id="no slices of a node that is not slow"),
    ],
)
def test_a_slow_nodes_devices_count_for_its_own_class_alone(device_class: str, count: int) -> None:
    there = nodes(gpu_node("a", L4), gpu_node("b", L4), slices("c"), slices("d"))
    asked = {"cpu": 2.0, "memory": 1.0, "pods": 1.0}
    apart = set_apart(there, {"b", "d"}).values()
    assert free_devices(apart, device_class, requests=asked, tolerations=[Toleration(operator="Exists")]) == count


def two_nodes(gpus: int = 1) -> dict[str, Node]:
    """Two nodes of one GPU each."""
    return nodes(gpu_node("a", L4, gpus=gpus), gpu_node("b", L4, gpus=gpus))


def with_slow_node() -> dict[str, Any]:
    """A cluster of two nodes of one GPU each, of which b is 40 % slower."""
    kept = keep_profiles([on("a", 100), on("b", 140)])
    return {"profiles": kept.profiles, "nodes": set_apart(two_nodes(), kept.slow)}


def recovered(gpus: int) -> dict[str, Any]:
    """The same cluster after b was measured again and is no slower."""
    return {"profiles": keep_profiles([on("a", 100), on("b", 101)]).profiles, "nodes": two_nodes(gpus)}


def groups(found: Look) -> list[str]:
    """The device classes of the plan."""
    assert found.status.plan is not None
    return [group.device_class for group in found.status.plan.groups]


def fields(create: Create) -> list[tuple[str, str]]:
    """Which nodes the pods are kept on and off."""
    affinity = create.job["spec"]["template"]["spec"]["affinity"]["nodeAffinity"][FIELDS]
    (term,) = affinity["nodeSelectorTerms"]
    return [(field["operator"], field["values"][0]) for field in term["matchFields"]]


@pytest.mark.parametrize(
    ("deadline", "named", "planned"),
    [
        pytest.param("100s", [], [L4], id="the fast one alone where it is enough"),
        pytest.param("55s", [], [L4, f"{L4}@b"], id="both where it is not"),
        pytest.param("55s", [L4], [L4, f"{L4}@b"], id="who names the class means both"),
        pytest.param("200s", [f"{L4}@b"], [f"{L4}@b"], id="who names the slow node's own class means that"),
    ],
)
def test_a_plan_takes_the_fast_devices_first_and_the_slow_ones_as_what_they_are(
    deadline: str, named: list[str], planned: list[str]
) -> None:
    spec: dict[str, Any] = {"deadline": deadline, **({"gpus": {"classes": named}} if named else {})}
    found = look(infj(status=indexed(), **spec), **with_slow_node())
    assert groups(found) == planned
    made = {create.job["metadata"]["annotations"]["dueby.dev/device-class"]: create for create in found.created}
    expected = {L4: [("NotIn", "b")], f"{L4}@b": [("In", "b")]}
    assert {name: fields(create) for name, create in made.items()} == {name: expected[name] for name in planned}


def test_a_pass_that_keeps_profiles_sets_slow_nodes_apart_by_itself() -> None:
    measured = on("a", 100), on("b", 140)
    document = infj(status=indexed(), deadline="55s")
    found = look(document, profiles=measured, nodes=two_nodes(), keeps_profiles=True)
    assert groups(found) == [L4, f"{L4}@b"]
    assert found.decisions.new_profiles == keep_profiles(measured).new
    assert found.decisions.gone_profiles == ()


def test_a_worker_on_a_node_that_has_recovered_goes_on() -> None:
    spec: dict[str, Any] = {"deadline": "55s", "gpus": {"classes": [L4]}}
    first = look(infj(status=indexed(), **spec), **with_slow_node())
    pods = [pod_of(create) for create in first.created]
    seen = job(
        infj(status=first.status.document(), **spec),
        worker_jobs=[worker_job_of(create) for create in first.created],
        pods=pods,
        progress={
            pod["metadata"]["name"]: {"batches": 2, "secondsSinceBatch": 0.0, "stepMicros": 90_000} for pod in pods
        },
        memory=JobMemory(generation=1),
    )
    found = look(seen, **recovered(gpus=0))
    assert not found.writes
    assert not found.status.replans
    assert found.status.phase == "Running"
    assert found.status.progress is not None
    assert found.status.progress.expected_finish is not None


def test_a_worker_on_a_node_that_has_recovered_can_be_taken_away() -> None:
    first = look(infj(status=indexed(), deadline="55s", gpus={"classes": [L4]}), **with_slow_node())
    seen = job(
        infj(status=first.status.document(), deadline="55s", gpus={"classes": [L4], "max": 1}),
        worker_jobs=[worker_job_of(create) for create in first.created],
        pods=[pod_of(create) for create in first.created],
        memory=JobMemory(generation=1),
    )
    found = look(seen, **recovered(gpus=0))
    (stopped,) = (write.path.rpartition("/")[2] for write in found.writes if isinstance(write, Delete))
    assert stopped in set(first.started_names)


@pytest.mark.parametrize("named", [[], [L4]], ids=["not named", "named"])
def test_a_job_whose_model_was_never_measured_on_the_slow_node_does_without_it(named: list[str]) -> None:
    spec: dict[str, Any] = {"deadline": "55s", **({"gpus": {"classes": named}} if named else {})}
    cuda = {"engine": "cuda"}
    kept = keep_profiles([on("a", 100), on("a", 100, **cuda), on("b", 140, **cuda)])
    there = set_apart(two_nodes(), kept.slow)
    model = {"name": "efficientnet_lite0", "engine": "openvino"}
    assert groups(look(infj(status=indexed(), model=model, **spec), profiles=kept.profiles, nodes=there)) == [L4]


def test_who_names_a_slow_nodes_own_class_gets_its_class_once_it_has_recovered() -> None:
    document = infj(status=indexed(), deadline="200s", gpus={"classes": [f"{L4}@b"]})
    assert groups(look(document, **recovered(gpus=1))) == [L4]
