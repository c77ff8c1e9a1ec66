"""Who gives way, and when."""

from dataclasses import replace

from dueby_api.inference_job import DeadlineClass
from dueby_planner.schedule.calendar_job import Placement
from dueby_planner.schedule.devices import DeviceGroup, DeviceGroups
from dueby_planner.schedule.held_devices import HeldDevice
from dueby_planner.schedule.job import JobKey
from dueby_planner.schedule.reservation import Lane, Window
from dueby_planner.schedule.stops import find_who_gives_way
from support.calendar import CHOICE, calendar_job, held_device

NEW: JobKey = ("team", "new")


def groups(*, idle: int = 0, leaving: int = 0) -> DeviceGroups:
    return DeviceGroups(
        all=(DeviceGroup(name="a", device_class="a", devices=9, idle=idle, leaving=leaving, users=frozenset()),)
    )


def hold(job: str, deadline_class: DeadlineClass = "Relaxed", *, worker: str = "w0", ends: int = 1000) -> HeldDevice:
    return held_device(key=("team", job), worker=worker, deadline_class=deadline_class, ends=ends, can_give_way=True)


def placed(
    *,
    devices: int = 1,
    begins: int = 0,
    time: int = 1000,
    beside: DeadlineClass = "Soft",
    deadline_class: DeadlineClass = "Hard",
) -> dict[JobKey, Placement]:
    lane = Lane(group="a", count=devices, windows=(Window(begins, begins + 100, CHOICE, 10),))
    job = calendar_job("new", images=10, time=time, deadline_class=deadline_class)
    return {NEW: Placement(job=job, reservation=(lane,), beside=beside)}


def test_the_least_important_ones_give_way_and_no_more_than_are_wanted() -> None:
    holds = [hold("soft", "Soft"), hold("relaxed"), hold("best", "BestEffort"), hold("hard", "Hard")]
    assert find_who_gives_way(placed(), holds, groups()) == {("team", "best"): ("w0",)}
    two = find_who_gives_way(placed(devices=2), holds, groups())
    assert two == {("team", "best"): ("w0",), ("team", "relaxed"): ("w0",)}
    # A window that was placed beside Soft workers counts on no device of theirs.
    assert find_who_gives_way(placed(devices=4), holds, groups()) == two
    assert ("team", "soft") in find_who_gives_way(placed(devices=4, beside="Hard"), holds, groups())


def test_an_idle_device_or_one_that_comes_free_in_time_saves_a_worker() -> None:
    holds = [hold("relaxed"), hold("ending", ends=9)]
    assert not find_who_gives_way(placed(), holds, groups(idle=1))
    assert not find_who_gives_way(placed(), holds, groups())
    assert find_who_gives_way(placed(devices=2), holds, groups()) == {("team", "relaxed"): ("w0",)}


def test_nobody_else_is_asked_while_the_one_that_was_is_leaving() -> None:
    assert not find_who_gives_way(placed(), [hold("relaxed")], groups(leaving=1))
    assert find_who_gives_way(placed(devices=2), [hold("relaxed")], groups(leaving=1))


def test_nobody_is_asked_before_it_is_time() -> None:
    assert not find_who_gives_way(placed(begins=11), [hold("relaxed")], groups())
    assert find_who_gives_way(placed(begins=10), [hold("relaxed")], groups())


def test_who_has_just_begun_or_just_given_way_is_left_alone() -> None:
    assert not find_who_gives_way(placed(), [replace(hold("relaxed"), can_give_way=False)], groups())


def test_a_worker_whose_device_is_meant_for_others_by_now_gives_way_first_whatever_its_class() -> None:
    over = replace(hold("hard", "Hard"), until_us=5)
    assert find_who_gives_way(placed(), [hold("best", "BestEffort"), over], groups()) == {("team", "hard"): ("w0",)}
    assert not find_who_gives_way(placed(), [replace(over, until_us=50)], groups())


def test_a_worker_that_is_not_done_in_its_time_is_left_alone_by_less_important_jobs() -> None:
    over = replace(hold("hard", "Hard"), until_us=5)
    assert not find_who_gives_way(placed(deadline_class="Soft"), [over], groups())
    assert find_who_gives_way(placed(deadline_class="Hard"), [over], groups())


def test_one_that_is_nearly_done_is_waited_for_if_the_window_hardly_loses_by_it() -> None:
    over = replace(hold("hard", "Hard", ends=11), until_us=5)
    assert find_who_gives_way(placed(begins=5), [over], groups())  # 6 of 100
    assert not find_who_gives_way(placed(begins=8), [over], groups())  # 3 of 100


def test_so_is_one_whose_rest_is_shorter_than_another_start_if_the_other_job_is_in_time_even_so() -> None:
    over = replace(hold("hard", "Hard", ends=40), until_us=5, start_us=30)
    assert not find_who_gives_way(placed(begins=5), [over], groups())
    assert find_who_gives_way(placed(begins=5), [replace(over, start_us=29)], groups())
    assert find_who_gives_way(placed(begins=5, time=35), [over], groups())  # 35 late


def test_a_worker_whose_time_is_nearly_up_is_not_taken_to_end_by_itself() -> None:
    over = replace(hold("relaxed"), until_us=5, ends_us=5)
    assert find_who_gives_way(placed(begins=5), [over], groups()) == {("team", "relaxed"): ("w0",)}


def test_a_jobs_own_windows_stop_none_of_its_workers() -> None:
    assert not find_who_gives_way(placed(), [hold("new")], groups())
