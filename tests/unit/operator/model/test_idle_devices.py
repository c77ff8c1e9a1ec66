"""Workers that are started in one pass: each has a place, whoever the scheduler places first, and wherever."""

from collections import Counter
from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st

from dueby_operator.cluster.nodes import Node
from dueby_operator.model.idle_devices import IdleDevices
from dueby_operator.model.stacks import Claimant, Quota, Stack, Stacks
from support.stacks import CLASSES, Worker, devices_of, some_claimants, some_nodes, workers_of

ONE, OTHER = ("team", "one"), ("team", "other")


def rivals(*, one: int = 4, other: int = 4, lost: tuple[int, int] = (1, 1)) -> Stacks:
    """Devices of two jobs that are made of the same cores: how many are idle, and how many of the others each takes."""
    stacks = (
        Stack(name="a", device_class="cpu-1", devices=9, idle=one, users=frozenset([ONE])),
        Stack(name="b", device_class="cpu-1", devices=9, idle=other, users=frozenset([OTHER])),
    )
    return Stacks(all=stacks, rivals={"a": {"b": lost[0]}, "b": {"a": lost[1]}})


def offered(idle: IdleDevices, stacks: Stacks, key: tuple[str, str], most: int = 99) -> dict[str, int]:
    return idle.offered(key, {"cpu-1": most}, [stack.name for stack in stacks.of(key)])


@given(some_nodes(), some_claimants(), st.data())
def test_each_worker_that_is_started_has_a_place_in_whatever_order_they_are_placed(
    nodes: dict[str, Node], claimants: list[Claimant], data: st.DataObject
) -> None:
    devices = devices_of(nodes)
    stacks = devices.stacks(claimants)
    idle, asked = IdleDevices(stacks), workers_of(stacks, claimants, devices)
    started: list[Worker] = []
    for each in data.draw(st.permutations(claimants)):
        names = data.draw(st.permutations([stack.name for stack in stacks.of(each.key)]))
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


def test_rivals_start_in_one_pass() -> None:
    stacks = rivals()
    idle = IdleDevices(stacks)
    idle.take(ONE, {"a": 2})
    assert offered(idle, stacks, OTHER) == {"b": 2}
    idle.take(OTHER, {"b": 2})
    assert offered(idle, stacks, ONE) == {"a": 0}
    assert (idle.left("a"), idle.left("b")) == (0, 0)


def test_who_comes_later_takes_nothing_that_could_be_somebodys_place() -> None:
    # Two nodes of four cores: one of the four that the other wants may be on each, and then there are no four together.
    stacks = rivals(one=2, other=8, lost=(4, 1))
    idle = IdleDevices(stacks)
    idle.take(ONE, {"a": 1})
    assert offered(idle, stacks, OTHER) == {"b": 1}


def test_what_is_being_given_up_is_kept_for_who_waits_for_it() -> None:
    stacks = rivals(one=1, other=3)
    (one, other) = stacks.all
    leaving = replace(stacks, all=(replace(one, leaving=2), other))
    idle = IdleDevices(leaving)
    assert offered(idle, leaving, OTHER) == {"b": 3}
    idle.keep_leaving()
    assert offered(idle, leaving, OTHER) == {"b": 1}


def test_a_job_is_offered_no_device_twice_that_two_of_its_stacks_are_made_of() -> None:
    stacks = rivals()
    both = Stacks(
        all=tuple(Stack(**{**vars(each), "users": frozenset([ONE])}) for each in stacks.all), rivals=stacks.rivals
    )
    idle = IdleDevices(both)
    assert idle.offered(ONE, {"cpu-1": 3}, ["b", "a"]) == {"b": 3, "a": 0}
    assert idle.offered(ONE, {"cpu-1": 9}, ["a"]) == {"a": 4}


def test_a_quota_bounds_what_is_offered_and_queued_workers_keep_what_they_would_have() -> None:
    stacks = rivals()
    quota = Quota(name="q", units=3, used=0, costs={ONE: {"cpu-1": 1}})
    idle = IdleDevices(replace(stacks, quotas=(quota,)))
    assert offered(idle, stacks, ONE) == {"a": 3}
    assert idle.could_leave_queue(ONE, "cpu-1") == "a"
    idle.take(ONE, {"a": 2})
    assert offered(idle, stacks, ONE) == {"a": 0}
    assert idle.could_leave_queue(ONE, "cpu-1") is None
    assert idle.has_started(OTHER, "cpu-1") == "b"
