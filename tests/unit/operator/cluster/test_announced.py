"""Announced devices as device groups, beside the nodes that have come in their place."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_api.capacity import AnnouncedDevices
from dueby_api.schema import validate
from dueby_api.units import format_time
from dueby_operator.cluster.announced import find_missing, with_times
from dueby_operator.cluster.devices import ClusterDevices
from dueby_operator.cluster.nodes import Node
from dueby_planner.model.problem import NEVER_US
from dueby_planner.schedule.devices import DeviceGroups
from dueby_planner.schedule.spans import Span
from support.decisions import NOW, SECOND, SETTINGS, node
from support.device_groups import claimant
from support.operator import spec

NIGHT = {"pool": "night"}


def entry(
    from_s: int = 60, to_s: int = 120, *, count: int = 8, device_class: str = "cpu-1", **fields: Any
) -> AnnouncedDevices:
    times = {"from": format_time(NOW + from_s * SECOND), "to": format_time(NOW + to_s * SECOND)}
    return validate(AnnouncedDevices, {"class": device_class, "count": count, "nodeSelector": NIGHT, **times, **fields})


def night(name: str = "n", cores: int = 8, **changes: Any) -> Node:
    return replace(node(name, cores), labels=NIGHT, **changes)


def devices(*nodes: Node, capacity: tuple[AnnouncedDevices, ...]) -> ClusterDevices:
    timed = {node.name: node for node in with_times(nodes, capacity)}
    return ClusterDevices(settings=replace(SETTINGS, capacity=capacity), now_us=NOW, nodes=timed)


def groups(*nodes: Node, capacity: tuple[AnnouncedDevices, ...], **job: Any) -> DeviceGroups:
    return devices(*nodes, capacity=capacity).groups([claimant("job", **job)])


def sizes(found: DeviceGroups) -> dict[str, int]:
    """The devices on nodes, and those that are announced."""
    return {
        kind: sum(group.devices for group in found.all if group.is_announced == is_announced)
        for kind, is_announced in (("nodes", False), ("announced", True))
    }


def test_announced_devices_are_away_outside_of_their_time_and_on_no_node() -> None:
    (group,) = groups(capacity=(entry(60, 120),)).all
    assert group.away == (Span(0, 60 * SECOND), Span(120 * SECOND, NEVER_US))
    assert (group.devices, group.device_class, group.nodes, group.is_announced) == (8, "cpu-1", frozenset(), True)
    assert group.comes_us(70 * SECOND) == 60 * SECOND


@pytest.mark.parametrize(
    ("nodes", "found"),
    [
        pytest.param([], {"nodes": 0, "announced": 8}, id="none has come"),
        pytest.param([night(cores=3)], {"nodes": 3, "announced": 5}, id="some have come"),
        pytest.param([night("a"), night("b")], {"nodes": 16, "announced": 0}, id="more have come"),
        pytest.param([node("day")], {"nodes": 8, "announced": 8}, id="another pool's node"),
        pytest.param([night(is_ready=False)], {"nodes": 0, "announced": 8}, id="one that isn't ready"),
    ],
)
def test_nodes_that_have_come_count_in_the_place_of_announced_devices(nodes: list[Node], found: dict[str, int]) -> None:
    assert sizes(groups(*nodes, capacity=(entry(),))) == found


def test_without_a_selector_any_node_of_the_class_counts_and_none_goes_away() -> None:
    found = groups(node(cpus=6), capacity=(entry(nodeSelector={}),))
    assert sizes(found) == {"nodes": 6, "announced": 2}
    assert [group.away for group in found.all if not group.is_announced] == [()]


def test_what_should_be_there_by_now_and_is_not_is_missing() -> None:
    capacity = (entry(-10, 50),)
    assert sizes(groups(night(cores=6), capacity=capacity)) == {"nodes": 6, "announced": 0}
    told = devices(night(cores=6), capacity=capacity).missing("team", spec(), classes=["cpu-1"])
    assert told == "2 of the 8 cpu-1 that were announced from 22:13:10 UTC are not there."
    assert not devices(night(), capacity=capacity).missing("team", spec(), classes=["cpu-1"])
    assert not devices(capacity=capacity).missing("team", spec(), classes=["cpu-2"])
    assert not devices(capacity=(entry(),)).missing("team", spec(), classes=["cpu-1"])


def test_what_is_over_is_no_capacity_any_more() -> None:
    assert not groups(capacity=(entry(-60, -10),)).all
    assert not devices(capacity=(entry(-60, 0),)).coming_classes(spec())
    assert devices(capacity=(entry(-60, 1),)).coming_classes(spec()) == {"cpu-1"}


def test_nodes_that_have_come_are_away_outside_of_their_time() -> None:
    (early,) = groups(night(), capacity=(entry(60, 120), entry(300, 360))).all
    assert not early.is_announced
    spans = (Span(0, 60 * SECOND), Span(120 * SECOND, 300 * SECOND), Span(360 * SECOND, NEVER_US))
    assert early.away == spans
    drained = night(away=(Span(NOW + 90 * SECOND, NEVER_US),))
    (leaves,) = groups(drained, capacity=(entry(60, 120),)).all
    assert leaves.away == (Span(0, 60 * SECOND), Span(90 * SECOND, NEVER_US))


def test_of_more_nodes_than_are_announced_for_a_time_the_last_ones_are_not_there_then() -> None:
    capacity = (entry(-10, 60, count=16), entry(100, 160, count=8))
    found = {group.nodes: group.away for group in groups(night("a"), night("b"), capacity=capacity).all}
    assert found[frozenset("a")] == (Span(60 * SECOND, 100 * SECOND), Span(160 * SECOND, NEVER_US))
    assert found[frozenset("b")] == (Span(60 * SECOND, NEVER_US),)


def test_who_may_use_announced_devices() -> None:
    capacity = (entry(),)
    assert groups(capacity=capacity, worker={"nodeSelector": NIGHT}).all
    assert not groups(capacity=capacity, worker={"nodeSelector": {"zone": "a"}}).all
    of_gpus = (entry(device_class="NVIDIA-H100"),)
    assert not groups(capacity=of_gpus).all, "there is no profile of the class"


def test_what_is_announced_of_a_class_that_no_node_has_is_not_promised_where_a_queue_would_count_it() -> None:
    of_gpus = devices(capacity=(entry(device_class="NVIDIA-H100"),))
    job = replace(claimant("job"), classes=("NVIDIA-H100",))
    assert sizes(of_gpus.groups([job])) == {"nodes": 0, "announced": 8}
    queued = replace(job, spec=job.spec.replace(queue_name="queue"))
    assert not of_gpus.groups([queued]).all


def test_a_worker_on_a_node_has_no_announced_device() -> None:
    found = groups(node("day"), capacity=(entry(),))
    key = ("team", "job")
    here = found.at(key, "cpu-1", "day")
    assert here is not None
    assert not here.is_announced
    assert found.at(key, "cpu-1", "elsewhere") is None
    assert found.nodes_among(key, {here.name: 8}) == {}


LABELS = st.dictionaries(st.sampled_from(("pool", "zone")), st.sampled_from("ab"))


@given(nodes=st.lists(LABELS, max_size=6), selectors=st.lists(LABELS, max_size=6))
def test_nodes_count_for_each_entry_whose_labels_they_have(
    nodes: list[dict[str, str]], selectors: list[dict[str, str]]
) -> None:
    present = [replace(night(f"n{number}"), labels=labels) for number, labels in enumerate(nodes)]
    capacity = [entry(count=100, nodeSelector=selector) for selector in selectors]
    expected = [100 - 8 * sum(selector.items() <= labels.items() for labels in nodes) for selector in selectors]
    assert [count for _, count in find_missing(present, capacity)] == expected
    timed = [any(selector and selector.items() <= labels.items() for selector in selectors) for labels in nodes]
    assert [bool(node.present) for node in with_times(present, capacity)] == timed
