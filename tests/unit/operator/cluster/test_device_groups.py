"""DeviceGroups: whose devices are whose, and how many of them are free whoever uses them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_api.capacity import WeeklyWindow
from dueby_api.schema import validate
from dueby_operator.cluster.nodes import Node, PodRow, read_node
from dueby_operator.cluster.pods_on_nodes import take_pods
from dueby_operator.objects.nodes import NodeObject
from dueby_operator.objects.parse import parse
from dueby_planner.model.problem import NEVER_US
from dueby_planner.schedule.devices import DeviceGroups
from dueby_planner.schedule.job import Claimant
from dueby_planner.schedule.spans import Span
from support.decisions import NOW, SECOND, node, node_document
from support.device_groups import A100, GPU, Worker, claimant, devices_of, some_claimants, some_nodes, workers_of
from support.operator import spec


@given(some_nodes(), some_claimants())
def test_each_job_finds_no_more_than_it_is_offered_now_and_all_of_it_if_it_is_alone(
    nodes: dict[str, Node], claimants: list[Claimant]
) -> None:
    devices = devices_of(nodes)
    groups = devices.groups(claimants)
    assert all(0 <= group.idle <= group.devices for group in groups.all)
    assert all(group.devices > 0 and group.users for group in groups.all)
    assert all(len({group.name for group in groups.all if node in group.nodes}) <= 2 for node in nodes)
    for each in claimants:
        counts = devices.offer("team", each.spec, classes=each.classes).counts
        for name in each.classes:
            assert sum(group.idle for group in groups.of(each.key, name)) <= counts[name]
            assert sum(group.idle for group in devices.groups([replace(each, classes=(name,))]).all) == counts[name]
        assert {group.device_class for group in groups.of(each.key)} <= set(each.classes)


@given(some_nodes(), some_claimants())
def test_who_may_use_a_node_follows_from_its_labels_and_taints(
    nodes: dict[str, Node], claimants: list[Claimant]
) -> None:
    groups = devices_of(nodes).groups(claimants)
    for each, found in product(claimants, nodes.values()):
        worker = each.spec.worker
        may = (
            found.is_ready
            and (not worker.node_selector or found.labels["pool"] == "a")
            and (not found.taints or bool(worker.tolerations))
        )
        uses = any(found.name in group.nodes for group in groups.of(each.key))
        assert may or not uses
        empty = {found.name: replace(found, free=found.allocatable)}
        offer = devices_of(empty).offer("team", each.spec, classes=each.classes)
        assert any(offer.counts.values()) or not uses
        assert not any(offer.counts.values()) or may


def fits(workers: Sequence[Worker], free: Mapping[str, Mapping[str, float]]) -> bool:
    """Whether there is a node for each worker, by trying all."""
    if not workers:
        return True
    first, *others = workers
    for name in first.nodes:
        left = {resource: free[name].get(resource, 0.0) - value for resource, value in first.asked.items()}
        if min(left.values()) >= 0 and fits(others, {**free, name: {**free[name], **left}}):
            return True
    return False


@given(some_nodes(), some_claimants(), st.data())
def test_idle_devices_are_free_together_whoever_uses_them(
    nodes: dict[str, Node], claimants: list[Claimant], data: st.DataObject
) -> None:
    devices = devices_of(nodes)
    groups = devices.groups(claimants)
    users = workers_of(groups, claimants, devices)
    workers = [
        data.draw(st.sampled_from(list(users[group.name].values())))
        for group in groups.all
        for _ in range(data.draw(st.integers(0, group.idle), label=group.name))
    ]
    free = {name: found.free for name, found in nodes.items()}
    assert fits(sorted(workers, key=lambda worker: -worker.asked["cpu"])[:7], free)


def sizes(groups: DeviceGroups) -> dict[str, tuple[int, int, int, int]]:
    """By group: all devices, idle ones, those that are being given up, and those that workers have."""
    return {group.name: (group.devices, group.idle, group.leaving, group.worked_on) for group in groups.all}


def asking(name: str, *classes: str, **requests: str) -> Claimant:
    return replace(claimant(name, worker={"resources": {"requests": requests}}), classes=classes or ("cpu-1",))


def gpu_node(name: str = "n", *, cpu: str, gpus: int) -> Node:
    document = node_document(name)
    document["metadata"]["labels"] = {"nvidia.com/gpu.product": A100}
    document["status"]["allocatable"] |= {"cpu": cpu, GPU: str(gpus)}
    return read_node(parse(NodeObject, document))


def test_the_cores_of_a_node_are_slices_of_one_size() -> None:
    claimants = [Claimant(key=("team", name), spec=spec(), classes=(name,)) for name in ("cpu-1", "cpu-2")]
    groups = devices_of({"a": node("a", cpus=8), "b": node("b", cpus=9, slice_cpus=2)}).groups(claimants)
    assert [(group.name, group.devices, *group.nodes) for group in groups.all] == [("cpu-1", 8, "a"), ("cpu-2", 4, "b")]


def test_a_worker_has_one_device_however_little_it_asks_for() -> None:
    small, usual = asking("small", cpu="250m"), asking("usual")
    worker = PodRow(node="n", requests={"cpu": 0.25, "memory": 1.0, "pods": 1.0}, is_worker=True)
    stranger = PodRow(node="n", requests={"cpu": 0.5, "pods": 1.0})
    nodes = take_pods([node("n", cpus=4)], [worker, worker, worker, stranger])
    assert sizes(devices_of(nodes).groups([small])) == {"cpu-1": (4, 1, 0, 3)}
    # Beside the stranger there are three slices for who asks for a whole core.
    assert sizes(devices_of(nodes).groups([small, usual])) == {"cpu-1": (4, 0, 0, 3)}


@pytest.mark.parametrize(
    ("cpu", "devices"),
    [
        pytest.param("2", 8, id="what is usual"),
        pytest.param("10", 8, id="its allotment"),
        pytest.param("11", 0, id="more than its allotment"),
    ],
)
def test_a_worker_may_ask_for_its_devices_allotment_and_takes_no_device_from_others(cpu: str, devices: int) -> None:
    nodes = take_pods([gpu_node(cpu="96", gpus=8)], [PodRow(node="n", requests={"cpu": 4.0, "pods": 9.0})])
    groups = devices_of(nodes).groups([asking("job", A100, cpu=cpu), asking("other", A100, cpu="1")])
    (other,) = groups.of(("team", "other"))
    assert (other.devices, other.idle) == (8, 8)
    assert sum(group.devices for group in groups.of(("team", "job"))) == devices


def test_a_device_whose_allotment_others_have_is_not_there() -> None:
    stranger = PodRow(node="n", requests={"cpu": 50.0, "pods": 1.0})
    nodes = take_pods([gpu_node(cpu="96", gpus=8)], [stranger])
    assert sizes(devices_of(nodes).groups([asking("job", A100, cpu="10")])) == {A100: (8, 4, 0, 0)}
    worker = PodRow(node="n", requests={"cpu": 10.0, "pods": 1.0, GPU: 1.0}, is_worker=True)
    nodes = take_pods([gpu_node(cpu="96", gpus=8)], [stranger, worker, replace(worker, leaves_at_us=1)], grace_us=NOW)
    assert sizes(devices_of(nodes).groups([asking("job", A100, cpu="10")])) == {A100: (8, 2, 1, 1)}


def test_nodes_with_the_same_future_are_one_stack() -> None:
    goes = (Span(NOW + 60 * SECOND, NEVER_US),)
    was = (Span(NOW - 60 * SECOND, NOW),)
    nodes = {
        "a": node("a"),
        "b": replace(node("b"), away=was),
        "c": replace(node("c"), away=goes),
        "d": replace(node("d"), away=goes),
    }
    groups = devices_of(nodes).groups([Claimant(key=("team", "job"), spec=spec(), classes=("cpu-1",))])
    found = {group.nodes: (group.name, group.devices, group.away) for group in groups.all}
    assert found == {
        frozenset("ab"): ("cpu-1", 16, ()),
        frozenset("cd"): ("cpu-1#2", 16, (Span(60 * SECOND, NEVER_US),)),
    }


def test_devices_are_away_in_each_week() -> None:
    window = validate(WeeklyWindow, {"days": "*", "start": "00:00", "hours": 1})
    (group,) = (
        devices_of({"a": replace(node("a"), away_weekly=(window,))})
        .groups([Claimant(key=("team", "job"), spec=spec(), classes=("cpu-1",))])
        .all
    )
    hour_us = 3600 * SECOND
    assert {each.to_us - each.from_us for each in group.away if each.from_us} == {hour_us}
    assert {other.from_us - each.from_us for each, other in pairwise(group.away) if each.from_us} == {24 * hour_us}


def test_a_node_that_is_away_offers_nothing_now_and_is_kept_off() -> None:
    away = (Span(NOW - SECOND, NOW + SECOND),)
    devices = devices_of({"a": node("a"), "b": replace(node("b"), away=away)})
    assert devices.offer("team", spec(), classes=("cpu-1",)).counts == {"cpu-1": 8}
    assert devices.avoided_nodes("cpu-1") == {"b"}
    later = replace(devices, now_us=NOW + SECOND, _counted={})
    assert later.offer("team", spec(), classes=("cpu-1",)).counts == {"cpu-1": 16}
    assert later.avoided_nodes("cpu-1") == frozenset()


@pytest.mark.parametrize("order", [("one", "two"), ("two", "one")])
def test_a_name_does_not_depend_on_the_order_of_jobs(order: tuple[str, str]) -> None:
    pools = {"one": "a", "two": "b"}
    claimants = [
        Claimant(key=("team", name), spec=spec(worker={"nodeSelector": {"pool": pools[name]}}), classes=("cpu-1",))
        for name in order
    ]
    nodes = {pool: replace(node(pool), labels={"pool": pool}) for pool in "ab"}
    groups = devices_of(nodes).groups(claimants)
    assert [(group.name, *group.nodes) for group in groups.all] == [("cpu-1", "a"), ("cpu-1#2", "b")]
