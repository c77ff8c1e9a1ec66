"""Stacks: what a job may use is counted for it exactly, and what rivals leave fits on the nodes."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_api.schema import validate
from dueby_operator.cluster.merged_requests import MAX_REQUESTS
from dueby_operator.cluster.nodes import Node, PodRow
from dueby_operator.cluster.pods_on_nodes import take_pods
from dueby_operator.model.stacks import Absence, Claimant, Stacks
from dueby_operator.settings import WeeklyWindow
from dueby_planner.model.problem import NEVER_US
from support.decisions import NOW, SECOND, node
from support.operator import spec
from support.stacks import Worker, claimant, devices_of, some_claimants, some_nodes, workers_of


@given(some_nodes(), some_claimants())
def test_each_job_finds_exactly_what_it_is_offered_now(nodes: dict[str, Node], claimants: list[Claimant]) -> None:
    devices = devices_of(nodes)
    stacks = devices.stacks(claimants)
    assert all(0 <= stack.idle <= stack.devices for stack in stacks.all)
    assert all(stack.devices > 0 and stack.users for stack in stacks.all)
    for each in claimants:
        offer = devices.offer("team", each.spec, classes=each.classes)
        there = {name: sum(stack.idle for stack in stacks.of(each.key, name)) for name in each.classes}
        assert there == offer.counts
        assert {stack.device_class for stack in stacks.of(each.key)} <= set(each.classes)


@given(some_nodes(), some_claimants())
def test_who_may_use_a_node_follows_from_its_labels_and_taints(
    nodes: dict[str, Node], claimants: list[Claimant]
) -> None:
    stacks = devices_of(nodes).stacks(claimants)
    for each, found in product(claimants, nodes.values()):
        worker = each.spec.worker
        may = (
            found.is_ready
            and (not worker.node_selector or found.labels["pool"] == "a")
            and (not found.taints or bool(worker.tolerations))
        )
        uses = any(found.name in stack.nodes for stack in stacks.of(each.key))
        assert may or not uses
        empty = {found.name: replace(found, free=found.allocatable)}
        offer = devices_of(empty).offer("team", each.spec, classes=each.classes)
        assert uses == any(offer.counts.values())
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


def allowed(stacks: Stacks, order: Sequence[str], wanted: Mapping[str, int]) -> Counter[str]:
    """What is taken of each stack if so many are wanted in this order, and each takes of its rivals."""
    left = Counter({stack.name: stack.idle for stack in stacks.all})
    taken: Counter[str] = Counter()
    for name in order:
        taken[name] = min(wanted[name], max(0, left[name]))
        for rival, lost in stacks.rivals.get(name, {}).items():
            left[rival] -= lost * taken[name]
    return taken


@given(some_nodes(), some_claimants(), st.data())
def test_what_rivals_leave_fits_on_the_nodes(
    nodes: dict[str, Node], claimants: list[Claimant], data: st.DataObject
) -> None:
    devices = devices_of(nodes)
    stacks = devices.stacks(claimants)
    names = [stack.name for stack in stacks.all]
    wanted = {name: data.draw(st.integers(0, 3), label=name) for name in names}
    taken = allowed(stacks, data.draw(st.permutations(names)), wanted)
    users = workers_of(stacks, claimants, devices)
    workers = [data.draw(st.sampled_from(list(users[name].values()))) for name in names for _ in range(taken[name])]
    free = {name: found.free for name, found in nodes.items()}
    assert fits(sorted(workers, key=lambda worker: -worker.asked["cpu"])[:7], free)


def pairs(stacks: Stacks) -> Iterator[tuple[str, str, int]]:
    for one, lost in stacks.rivals.items():
        for other, count in lost.items():
            yield one, other, count


def test_slices_of_two_sizes_are_rivals() -> None:
    claimants = [Claimant(key=("team", name), spec=spec(), classes=(name,)) for name in ("cpu-1", "cpu-2")]
    stacks = devices_of({"n": node(cpus=8)}).stacks(claimants)
    assert [(stack.name, stack.devices) for stack in stacks.all] == [("cpu-1", 8), ("cpu-2", 4)]
    assert sorted(pairs(stacks)) == [("cpu-1", "cpu-2", 1), ("cpu-2", "cpu-1", 2)]


def test_jobs_of_which_different_numbers_fit_are_rivals_on_the_same_devices() -> None:
    large = spec(worker={"resources": {"requests": {"memory": "32Gi"}}})
    claimants = [
        Claimant(key=("team", "small"), spec=spec(), classes=("cpu-1",)),
        Claimant(key=("team", "large"), spec=large, classes=("cpu-1",)),
    ]
    stacks = devices_of({"n": node(cpus=8)}).stacks(claimants)
    assert {next(iter(stack.users))[1]: stack.devices for stack in stacks.all} == {"small": 8, "large": 2}
    (small,), (large_stack,) = stacks.of(("team", "small")), stacks.of(("team", "large"))
    assert stacks.rivals[large_stack.name][small.name] == 16


def test_jobs_of_very_many_sizes_share_few_stacks_and_none_counts_more_than_it_could_have() -> None:
    nodes = take_pods(
        [node("a", cpus=8), node("b", cpus=6)],
        [PodRow(node="a", requests={"cpu": 3.5, "pods": 1.0}, is_worker=True)],
    )
    asked = [f"{1000 + 17 * number}m" for number in range(200)]
    jobs = [claimant(f"j{cpu}", worker={"resources": {"requests": {"cpu": cpu}}}) for cpu in asked]
    devices = devices_of(nodes)
    stacks = devices.stacks(jobs)
    assert 2 <= len(stacks.all) <= MAX_REQUESTS
    alone = {job.key: sum(stack.devices for stack in devices.stacks([job]).all) for job in jobs}
    for job in jobs:
        (stack,) = stacks.of(job.key)
        assert stack.idle <= devices.offer("team", job.spec, classes=("cpu-1",)).counts["cpu-1"]
        assert 0 < stack.devices <= alone[job.key]
    assert any(stack.is_merged and stack.held for stack in stacks.all)


def test_jobs_that_fit_no_node_take_no_part_in_what_is_told_apart() -> None:
    def made(namespace: str, name: str, **requests: str) -> Claimant:
        return replace(claimant(name, worker={"resources": {"requests": requests}}), key=(namespace, name))

    nodes = {name: node(name, cpus=60) for name in "abcd"}
    teams = [made(f"team-{k}", "job", cpu=f"{1000 + 20 * k}m") for k in range(MAX_REQUESTS)]
    crowd = [made("crowd", f"job-{k}", cpu=f"{2**k}", memory="2Ti") for k in range(42)]
    assert devices_of(nodes).stacks([*teams, *crowd]) == devices_of(nodes).stacks(teams)


def test_what_workers_of_another_size_have_comes_back_and_where_one_more_takes_nothing_of_it() -> None:
    # Three cores of four are a worker's. On the other node one of three cores has room only if nobody is there.
    nodes = take_pods(
        [node("a", cpus=4), node("b", cpus=3)],
        [PodRow(node="a", requests={"cpu": 3.0, "pods": 1.0}, is_worker=True)],
    )
    narrow, wide = claimant("narrow"), claimant("wide", worker={"resources": {"requests": {"cpu": "3"}}})
    stacks = devices_of(nodes).stacks([narrow, wide])
    found = {next(iter(stack.users)): stack for stack in stacks.all}
    of_narrow, of_wide = found[narrow.key], found[wide.key]
    assert (of_narrow.devices, of_narrow.idle, of_narrow.held) == (7, 4, {"a": 3})
    assert (of_wide.devices, of_wide.idle, of_wide.held) == (2, 1, {"a": 1})
    assert (sorted(of_narrow.harmless), sorted(of_wide.harmless)) == (["a"], [])


def test_nodes_with_the_same_future_are_one_stack() -> None:
    goes = (Absence(NOW + 60 * SECOND, NEVER_US),)
    was = (Absence(NOW - 60 * SECOND, NOW),)
    nodes = {
        "a": node("a"),
        "b": replace(node("b"), away=was),
        "c": replace(node("c"), away=goes),
        "d": replace(node("d"), away=goes),
    }
    stacks = devices_of(nodes).stacks([Claimant(key=("team", "job"), spec=spec(), classes=("cpu-1",))])
    found = {stack.nodes: (stack.name, stack.devices, stack.away) for stack in stacks.all}
    assert found == {
        frozenset("ab"): ("cpu-1", 16, ()),
        frozenset("cd"): ("cpu-1#2", 16, (Absence(60 * SECOND, NEVER_US),)),
    }
    assert not any(stacks.rivals.values())


def test_devices_are_away_in_each_week() -> None:
    window = validate(WeeklyWindow, {"days": "*", "start": "00:00", "hours": 1})
    (stack,) = (
        devices_of({"a": replace(node("a"), away_weekly=(window,))})
        .stacks([Claimant(key=("team", "job"), spec=spec(), classes=("cpu-1",))])
        .all
    )
    hour_us = 3600 * SECOND
    assert {each.to_us - each.from_us for each in stack.away if each.from_us} == {hour_us}
    assert {other.from_us - each.from_us for each, other in pairwise(stack.away) if each.from_us} == {24 * hour_us}


def test_a_node_that_is_away_offers_nothing_now_and_is_kept_off() -> None:
    away = (Absence(NOW - SECOND, NOW + SECOND),)
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
    stacks = devices_of(nodes).stacks(claimants)
    assert [(stack.name, *stack.nodes) for stack in stacks.all] == [("cpu-1", "a"), ("cpu-1#2", "b")]
