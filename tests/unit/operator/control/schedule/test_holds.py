"""What running workers hold, and until when."""

from dataclasses import replace
from typing import Any

import pytest

from dueby_api.units import clock_time, parse_time_us
from dueby_planner.schedule import schedule
from dueby_planner.schedule.held_devices import HeldDevice, pool_beside
from support.operator import SECOND
from support.shared_cluster import SharedCluster


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[HeldDevice]:
    """What all workers held in the last pass."""
    found: list[HeldDevice] = []

    def recorded(groups: Any, holds: list[HeldDevice], **options: Any) -> Any:
        found[:] = holds
        return pool_beside(groups, holds, **options)

    monkeypatch.setattr(schedule, "pool_beside", recorded)
    return found


def handed_over() -> SharedCluster:
    """Two workers whose job goes on in later windows, and whose time is up in ten seconds."""
    cluster = SharedCluster({"a": 4})
    cluster.add("long", images=150_000, deadline_s=300)
    cluster.run(20)
    cluster.add("short", images=20_000, deadline_s=80)
    cluster.run(5)
    staying = cluster.jobs["long"].alive
    assert len(staying) == 2
    assert cluster.status("long").plan.windows
    for worker in staying:
        worker.assignment = replace(worker.assignment, until_us=cluster.now_us + 10 * SECOND)
    cluster.run(9)
    return cluster


def ends_s(held: list[HeldDevice]) -> list[float]:
    """When the devices of the long job are expected to be free, in seconds from now."""
    return [hold.ends_us / SECOND for hold in held if hold.key == ("team", "long")]


def test_a_device_is_still_meant_for_others_when_the_operator_comes_late(held: list[HeldDevice]) -> None:
    cluster = handed_over()
    assert max(ends_s(held)) <= 10
    cluster.run(1)
    for away_s in (60, 180):
        cluster.run(away_s, every_s=away_s)
        cluster.decide()
        # It is asked for now, and has a part to end.
        assert ends_s(held)
        assert all(0 < end <= 10 for end in ends_s(held))


def test_it_is_given_up_for_a_job_that_comes_then_however_far_passes_are_apart() -> None:
    cluster = handed_over()
    cluster.run(1)
    cluster.add("next", images=4000, deadline_s=75)
    cluster.run(44, every_s=11)
    # Its window was to begin before the pass after the one that placed it.
    assert cluster.jobs["next"].alive


def in_time_with_one() -> SharedCluster:
    """Two workers; the time of one is up in sixteen seconds, and the other one does the rest in time."""
    cluster = SharedCluster({"a": 2})
    cluster.add("long", images=160 * 2000, deadline_s=1300)
    cluster.run(825, every_s=5)
    _, leaving = cluster.jobs["long"].alive
    leaving.assignment = replace(leaving.assignment, until_us=cluster.now_us + 16 * SECOND)
    cluster.run(1)
    return cluster


def test_a_device_without_which_a_job_is_in_time_is_meant_for_others_once_its_time_is_up(
    held: list[HeldDevice],
) -> None:
    cluster = in_time_with_one()
    cluster.run(12, every_s=12)
    for _ in range(3):
        cluster.run(5, every_s=5)
        assert 0 < min(ends_s(held)) <= 10 < max(ends_s(held))
    # Without both it would not be.
    for worker in cluster.jobs["long"].alive:
        worker.assignment = replace(worker.assignment, until_us=cluster.now_us - SECOND)
    cluster.decide()
    assert min(ends_s(held)) > 10


def test_a_promise_is_kept_on_it_where_its_window_begins_between_two_passes() -> None:
    cluster = in_time_with_one()
    cluster.add("next", images=160 * 200, deadline_s=235)
    cluster.run(1)
    assert cluster.said("next", "Feasible")[0] == "Reserved"
    cluster.run(1300 - 827, every_s=7)
    assert cluster.ended_s("next") <= 826 + 235
    assert cluster.ended_s("long") <= 1300


def test_a_window_that_waits_for_its_device_stays_where_it_should_have_begun() -> None:
    cluster = in_time_with_one()
    cluster.add("next", images=160 * 200, deadline_s=235)
    cluster.run(1)
    status = cluster.status("next")
    begins_us = parse_time_us(status.plan.windows[0].from_time)
    cluster.run(40, every_s=40, until=lambda: cluster.now_us > begins_us)
    cluster.decide()
    assert cluster.changes("long") == [("GaveWay", 2, 1)]
    assert not cluster.jobs["next"].alive
    assert cluster.status("next").plan.windows == status.plan.windows
    assert cluster.said("next", "Feasible")[1].startswith(f"Starts at {clock_time(begins_us, now_us=cluster.now_us)}, ")


def test_a_worker_for_whose_device_nobody_comes_keeps_it(held: list[HeldDevice]) -> None:
    cluster = handed_over()
    cluster.run(1)
    for worker in cluster.jobs["long"].alive:
        worker.assignment = replace(worker.assignment, until_us=cluster.now_us - 300 * SECOND)
    cluster.decide()
    assert min(ends_s(held)) > 10
