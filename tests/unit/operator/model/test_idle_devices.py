"""Workers that are started in one pass: each has a place, whoever the scheduler places first, and wherever."""

from collections import Counter
from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st

from dueby_operator.cluster.nodes import Node
from dueby_planner.schedule.devices import DeviceGroup, DeviceGroups, IdleDevices, Limit
from dueby_planner.schedule.job import Claimant
from support.device_groups import CLASSES, Worker, devices_of, some_claimants, some_nodes, workers_of

ONE, OTHER = ("team", "one"), ("team", "other")


def two_groups() -> DeviceGroups:
    """Four devices of a class that one job may use, and four that both may."""
    groups = (
        DeviceGroup(name="a", device_class="cpu-1", devices=9, idle=4, users=frozenset([ONE])),
        DeviceGroup(name="b", device_class="cpu-1", devices=9, idle=4, users=frozenset([ONE, OTHER])),
    )
    return DeviceGroups(all=groups)


def offered(idle: IdleDevices, groups: DeviceGroups, key: tuple[str, str], most: int = 99) -> dict[str, int]:
    return idle.offered(key, {"cpu-1": most}, [group.name for group in groups.of(key)])


@given(some_nodes(), some_claimants(), st.data())
def test_each_worker_that_is_started_has_a_place_in_whatever_order_they_are_placed(
    nodes: dict[str, Node], claimants: list[Claimant], data: st.DataObject
) -> None:
    devices = devices_of(nodes)
    groups = devices.groups(claimants)
    idle, asked = IdleDevices(groups), workers_of(groups, claimants, devices)
    started: list[Worker] = []
    for each in data.draw(st.permutations(claimants)):
        names = data.draw(st.permutations([group.name for group in groups.of(each.key)]))
        found = idle.offered(each.key, dict.fromkeys(CLASSES, 3), names)
        taken = {name: data.draw(st.integers(0, count)) for name, count in found.items()}
        idle.take(each.key, taken)
        started += [asked[name][each.key] for name, count in taken.items() for _ in range(count)]
    assume(started)
    free = {name: Counter(found.free) for name, found in nodes.items()}
    for worker in data.draw(st.permutations(started)):
        there = [name for name in sorted(worker.nodes) if all(free[name][k] >= v for k, v in worker.asked.items())]
        assert there, f"nobody has room for {worker}"
        free[data.draw(st.sampled_from(there))].subtract(worker.asked)


def test_of_a_class_a_job_is_offered_no_more_than_it_wants_and_each_device_once() -> None:
    groups = two_groups()
    idle = IdleDevices(groups)
    assert offered(idle, groups, ONE, most=6) == {"a": 4, "b": 2}
    idle.take(ONE, {"a": 4, "b": 2})
    assert (idle.left("a"), idle.left("b")) == (0, 2)
    assert offered(idle, groups, OTHER) == {"b": 2}


def test_a_quota_bounds_what_is_offered_and_queued_workers_keep_what_they_would_have() -> None:
    groups = two_groups()
    quota = Limit(name="q", units=3, used=0, costs={ONE: {"cpu-1": 1}})
    idle = IdleDevices(replace(groups, limits=(quota,)))
    assert offered(idle, groups, ONE) == {"a": 3, "b": 0}
    assert idle.could_leave_queue(ONE, "cpu-1") == "a"
    idle.take(ONE, {"a": 2})
    assert offered(idle, groups, ONE) == {"a": 0, "b": 0}
    assert idle.could_leave_queue(ONE, "cpu-1") is None
    assert idle.has_started(OTHER, "cpu-1") == "b"
