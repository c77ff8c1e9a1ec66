"""What is free over time beside running workers, by deadline class."""

from dataclasses import replace

import pytest

from dueby_api.inference_job import DeadlineClass
from dueby_planner.model.problem import NEVER_US
from dueby_planner.schedule.devices import DeviceGroup, DeviceGroups, Limit
from dueby_planner.schedule.free_devices import CLASSES, CalendarPool, Step, Taken
from dueby_planner.schedule.held_devices import FreeNow, HeldDevice, pool_beside, without_others
from support.calendar import held_device

KEY = ("team", "job")


def group(name: str = "a", *, devices: int = 4, idle: int = 4) -> DeviceGroup:
    return DeviceGroup(name=name, device_class=name, devices=devices, idle=idle, users=frozenset({KEY}))


def hold(deadline_class: DeadlineClass = "Soft", *, gives_way: int = 10) -> HeldDevice:
    return held_device(deadline_class=deadline_class, surely_ends_us=103, gives_way_us=gives_way)


def idle(groups: DeviceGroups, pool: CalendarPool, name: str, within_us: int) -> int:
    """How many devices are free from now on."""
    return FreeNow(groups, pool).devices(KEY, {name: 9}, within_us)[name]


def steps(pool: CalendarPool, kind: DeadlineClass) -> list[tuple[int, int]]:
    """From when how many are free."""
    return [(step.from_us, step.free) for step in pool.free[kind]["a"]]


@pytest.mark.parametrize("deadline_class", CLASSES)
def test_a_worker_is_there_until_it_ends_and_gives_way_to_the_classes_above_its_own(
    deadline_class: DeadlineClass,
) -> None:
    pool = pool_beside(DeviceGroups(all=(group(idle=3),)), [hold(deadline_class)])
    for kind in CLASSES:
        gives_way = CLASSES.index(kind) < CLASSES.index(deadline_class)
        assert steps(pool, kind) == [(0, 3), (10 if gives_way else 103, 4)]
        # What was reserved before counts on it as it is expected, and waits for who gives way.
        assert pool.expected[kind]["a"] == (
            Step(0, 1 if gives_way else 100, 3),
            Step(1 if gives_way else 100, NEVER_US, 4),
        )


def test_devices_of_workers_that_nobody_sees_are_kept_for_whom_they_were_promised_and_given_to_nobody_else() -> None:
    unseen = replace(group(idle=1), worked_on=3)
    pool = pool_beside(DeviceGroups(all=(unseen,)), [hold()])
    for kind in CLASSES:
        assert max(step.free for step in pool.free[kind]["a"]) == 2
        assert pool.expected[kind]["a"][-1].free == 4
        assert pool.expected[kind]["a"][0] == Step(0, 1, 1)


def test_a_worker_on_its_way_has_a_device_that_counts_as_idle_yet() -> None:
    pool = pool_beside(DeviceGroups(all=(group(idle=4),)), [replace(hold(), is_on_its_way=True)])
    assert steps(pool, "BestEffort") == [(0, 3), (103, 4)]


def test_what_is_taken_is_gone_of_its_own_stack_alone() -> None:
    groups = DeviceGroups(all=(group(), group("b", devices=3, idle=3)))
    left = pool_beside(groups, []).less([("a", Taken(0, 50, 2))])
    assert (idle(groups, left, "a", 50), idle(groups, left, "b", 50)) == (2, 3)
    assert left.free["Hard"]["a"][-1].free == 4
    assert idle(groups, pool_beside(groups, []).less([("a", Taken(60, 70, 3))]), "a", 60) == 4


def test_idle_means_all_the_time() -> None:
    groups = DeviceGroups(all=(group(),))
    pool = pool_beside(groups, []).less([("a", Taken(20, 30, 3))])
    assert [idle(groups, pool, "a", within) for within in (1, 20, 21, 100)] == [4, 4, 1, 1]
    assert idle(groups, pool, "elsewhere", 1) == 0


def with_quota(*, units: int, used: int, cost: int = 2) -> DeviceGroups:
    quota = Limit(name="q", units=units, used=used, costs={KEY: {"a": cost}})
    return DeviceGroups(all=(group(idle=3), group("b")), limits=(quota,))


def test_of_a_quota_workers_give_back_what_they_have_and_others_never_do() -> None:
    pool = pool_beside(with_quota(units=9, used=5), [hold("Hard")])
    assert pool.free["Hard"]["q"] == (Step(0, 103, 4), Step(103, NEVER_US, 6))


def test_a_worker_that_its_queue_has_not_admitted_is_none_of_those_who_use_the_quota() -> None:
    soon = replace(hold("Hard"), is_queued=True, is_on_its_way=True)
    pool = pool_beside(with_quota(units=9, used=5), [soon])
    assert pool.free["Hard"]["q"] == (Step(0, 103, 2), Step(103, NEVER_US, 4))
    waiting = replace(soon, group="", ends_us=NEVER_US, surely_ends_us=NEVER_US)
    pool = pool_beside(with_quota(units=9, used=5), [waiting])
    assert pool.free["Hard"]["q"] == (Step(0, NEVER_US, 2),)
    assert steps(pool, "Hard") == [(0, 3)]


def test_who_cannot_be_stopped_gives_way_to_nobody() -> None:
    pool = pool_beside(with_quota(units=9, used=2), [hold("BestEffort", gives_way=NEVER_US)])
    assert pool.free["Hard"]["q"] == pool.free["BestEffort"]["q"]
    assert pool.expected["Hard"]["q"] == (Step(0, 100, 7), Step(100, NEVER_US, 9))


def test_a_quota_bounds_what_is_idle_for_its_jobs() -> None:
    groups = with_quota(units=9, used=4)
    pool = pool_beside(groups, [])
    now = FreeNow(groups, pool)
    assert now.devices(KEY, {"a": 4, "b": 1}, 50) == {"a": 2, "b": 1}
    assert now.devices(("team", "other"), {"a": 4}, 50) == {"a": 3}
    less = FreeNow(groups, pool.less([("q", Taken(10, 20, 3))]))
    assert less.devices(KEY, {"a": 4}, 50) == {"a": 1}


def test_without_others_there_is_all_that_these_workers_leave() -> None:
    holds = [hold("Hard")]
    pool = pool_beside(without_others(with_quota(units=9, used=5), holds), holds)
    assert pool.free["Hard"]["q"] == (Step(0, 103, 7), Step(103, NEVER_US, 9))
    assert pool.free["Hard"]["a"] == (Step(0, 103, 3), Step(103, NEVER_US, 4))
