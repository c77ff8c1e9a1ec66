"""What was given before is kept as it is, as long as it is there and does what is asked."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from dueby_planner.schedule.arrivals import stored_reservation
from dueby_planner.schedule.calendar_job import CalendarJob, StoredWindow
from dueby_planner.schedule.free_devices import CLASSES, CalendarPool, Free, idle_pool
from support.calendar import calendar_job, online, placement, steps, windows
from support.planner import choice

TWO: Free = {"a": steps((0, 2))}


def window(from_us: int, to_us: int, **changes: Any) -> StoredWindow:
    """A device of the class `a` with the size that the tests' jobs have."""
    fields: dict[str, Any] = {"devices": ("a",), "count": 1, "engine": "cudagraph", "mini_batch_size": 10} | changes
    return StoredWindow(from_us=from_us, to_us=to_us, **fields)


def job(*stored: StoredWindow, images: int = 90, time: int = 200, **changes: Any) -> CalendarJob:
    """Ninety images take one device 100 us."""
    return replace(calendar_job("job", images=images, time=time, **changes), stored=stored)


def kept(found: CalendarJob, free: Free = TWO) -> list[tuple[str, int, Sequence[tuple[int, int]]]]:
    """The devices that are kept, and their windows."""
    return [
        (lane.group, lane.count, [(window.from_us, window.to_us) for window in lane.windows])
        for lane in stored_reservation(found, free) or ()
    ]


def test_a_reservation_is_kept_as_it_is_although_another_one_would_be_better() -> None:
    # One device from now on would be enough, too.
    assert kept(job(window(50, 110, count=2))) == [("a", 2, [(50, 110)])]


def test_what_is_kept_since_it_does_the_least_is_in_time() -> None:
    # In 100 us the device does 90 images.
    found = placement(online(idle_pool({"a": 2}), replace(job(window(0, 100), images=92), least_images=90)), "job")
    assert (found.kept, found.is_in_time, found.action) == (True, True, "Start")


@pytest.mark.parametrize(
    ("changed", "free"),
    [
        pytest.param(job(window(50, 150, engine="eager")), TWO, id="another engine"),
        pytest.param(job(window(50, 150, mini_batch_size=20)), TWO, id="another size"),
        pytest.param(job(window(50, 150)), {"a": steps((0, 1), (149, 0))}, id="a device that is gone"),
        pytest.param(job(window(50, 150)), {}, id="no device of the class"),
        pytest.param(job(window(50, 150), images=91), TWO, id="more images than before"),
        pytest.param(job(window(50, 150), time=149), TWO, id="an earlier deadline"),
        pytest.param(job(window(50, 150, count=2), images=180, max_gpus=1), TWO, id="more devices than it may have"),
        pytest.param(job(window(50, 110, count=2), devices={"a": 1}), TWO, id="more of a class than it may have"),
        pytest.param(job(window(-1, 99)), TWO, id="a window that has begun"),
        pytest.param(job(window(-100, 0)), TWO, id="a window that is over"),
        pytest.param(job(), TWO, id="nothing"),
    ],
)
def test_it_is_not_kept_with(changed: CalendarJob, free: Free) -> None:
    assert kept(changed, free) == []


def test_a_window_that_has_begun_counts_from_now() -> None:
    assert kept(job(window(-10, 100))) == [("a", 1, [(0, 100)])]
    assert kept(job(window(-200, -100), window(0, 100))) == [("a", 1, [(0, 100)])]


def test_a_window_that_has_begun_begins_once_its_devices_are_expected_to_be_free() -> None:
    free = {"a": steps((0, 1), (1, 2), (40, 3))}
    late = window(-10, 100, count=3)
    assert kept(job(late, images=220, devices={"a": 3}), free) == [
        ("a", 1, [(0, 100)]),
        ("a", 1, [(1, 100)]),
        ("a", 1, [(40, 100)]),
    ]
    # They do 90, 80 and 50 images.
    assert kept(job(late, images=221, devices={"a": 3}), free) == []
    # What has not begun is not late: by the next reading its device may be there in time.
    assert kept(job(window(1, 150), time=300), {"a": steps((0, 0), (2, 1))}) == []


def test_so_it_does_once_there_is_quota() -> None:
    found = replace(job(window(-10, 150)), limits={"quota": {"a": 2}})
    assert kept(found, {**TWO, "quota": steps((0, 1), (30, 2))}) == [("a", 1, [(30, 150)])]


def test_devices_that_are_there_are_taken_before_those_that_come_free() -> None:
    free = {"a": steps((0, 0), (5, 1)), "b": steps((0, 1))}
    assert kept(job(window(-10, 150, devices=("a", "b")), devices={"a": 1, "b": 1}), free) == [("b", 1, [(0, 150)])]


def test_devices_are_taken_where_they_are_in_the_order_in_which_they_are_named() -> None:
    free = {"a": steps((0, 1)), "b": steps((0, 2))}
    found = job(window(0, 50, devices=("gone", "a", "b"), count=3), images=120, devices={"a": 1, "b": 2})
    assert kept(found, free) == [("a", 1, [(0, 50)]), ("b", 2, [(0, 50)])]


def test_a_device_with_two_windows_is_one_device() -> None:
    found = job(window(0, 40), window(60, 100), images=60, max_gpus=1)
    assert kept(found) == [("a", 1, [(0, 40), (60, 100)])]


def test_of_devices_that_ended_those_go_on_that_have_done_most() -> None:
    found = job(window(0, 40, count=2), window(20, 40), window(60, 90), images=90, devices={"a": 3})
    lanes = kept(found, {"a": steps((0, 3))})
    assert sorted(lanes) == [("a", 1, [(0, 40)]), ("a", 1, [(0, 40), (60, 90)]), ("a", 1, [(20, 40)])]


def noisy(free: int, expected: int) -> CalendarPool:
    """One device of two becomes free at a time, and is expected to be at another."""
    idle = idle_pool({"a": 2})
    return replace(
        idle,
        free={beside: {"a": steps((0, 1), (free, 2))} for beside in CLASSES},
        expected={beside: {"a": steps((0, 1), (expected, 2))} for beside in CLASSES},
    )


def test_noise_in_what_is_free_moves_nothing() -> None:
    asked = [calendar_job("first", images=190, time=200), calendar_job("job", images=90, time=200)]
    first = online(noisy(free=90, expected=80), *asked)
    assert windows(first, "job") == [(90, 190, 1)]
    known = [replace(asked[0], stored=(window(0, 200),)), replace(asked[1], stored=(window(90, 190),))]
    later = online(noisy(free=95, expected=85), *known)
    assert placement(later, "job").kept
    assert windows(later, "job") == [(90, 190, 1)]
    gone = online(noisy(free=100, expected=91), *known)
    assert not placement(gone, "job").kept
    assert windows(gone, "job") == [(100, 200, 1)]


def test_hard_jobs_keep_theirs_before_soft_ones_do() -> None:
    one = idle_pool({"a": 1})
    hard = replace(job(window(50, 150), time=170), name="hard")
    soft = replace(job(window(40, 140), time=160), name="soft", deadline_class="Soft")
    calendar = online(one, soft, hard)
    assert (placement(calendar, "hard").kept, placement(calendar, "soft").kept) == (True, False)
    assert placement(calendar, "soft").action == "StartLate"


def test_relaxed_jobs_are_placed_again() -> None:
    relaxed = replace(job(window(50, 150)), deadline_class="Relaxed")
    calendar = online(idle_pool({"a": 1}), relaxed)
    assert not placement(calendar, "job").kept
    assert windows(calendar, "job") == [(0, 100, 1)]


def test_a_size_that_only_some_devices_have_is_sought_on_these() -> None:
    other = calendar_job("job", images=90, time=200, devices={"a": 1}, choices=(choice(20, 10, 20),))
    groups = (*job().problem.pool.groups, replace(other.problem.pool.groups[0], device_class="b"))
    problem = replace(job().problem, pool=replace(job().problem.pool, groups=groups))
    found = replace(job(window(0, 100, devices=("b", "a"))), problem=problem)
    assert kept(found, {"a": steps((0, 1)), "b": steps((0, 1))}) == [("a", 1, [(0, 100)])]
