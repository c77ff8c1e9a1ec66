"""New Hard and Soft jobs: on which table they are placed, what moves for them, and when one is refused."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from dueby_api.inference_job import DeadlineClass
from dueby_planner.schedule.calendar_job import CalendarJob
from dueby_planner.schedule.free_devices import CLASSES, CalendarPool, Free, idle_pool
from dueby_planner.schedule.hand_over import RunningJob
from support.calendar import actions, again, always, calendar_job, devices_held, online, placement, steps, windows
from support.planner import worker

ONE = {"a": 1}


def pool(*, free: Mapping[DeadlineClass, Free], whole: int) -> CalendarPool:
    return CalendarPool(whole=always({"a": whole}), free=free, expected=free)


def running(*classes: DeadlineClass, until_us: int = 1000) -> CalendarPool:
    """One device for each of these classes, on which a worker of the class runs until then, and no others."""
    free = {}
    for number, beside in enumerate(CLASSES):
        giving_way = sum(kind not in CLASSES[: number + 1] for kind in classes)
        free[beside] = {"a": steps((0, giving_way), (until_us, len(classes)))}
    return pool(free=free, whole=len(classes))


def job(name: str, deadline_class: DeadlineClass = "Hard", *, images: int = 90, time: int = 100) -> CalendarJob:
    """A job that by default takes all of one device's time."""
    return calendar_job(name, images=images, time=time, deadline_class=deadline_class, devices={"a": 4})


def test_a_hard_job_takes_devices_from_the_least_important_workers() -> None:
    all_classes: tuple[DeadlineClass, ...] = ("Hard", "Soft", "Relaxed", "BestEffort")
    beside = []
    for number in range(1, len(all_classes) + 1):
        calendar = online(running(*all_classes[:number]), job("new"))
        beside.append((placement(calendar, "new").action, placement(calendar, "new").beside))
    # Beside a table's class run only workers that don't give way.
    assert beside == [("Hold", "BestEffort"), ("Start", "Hard"), ("Start", "Soft"), ("Start", "Relaxed")]


def test_a_soft_job_takes_no_device_from_soft_and_hard_workers() -> None:
    found = placement(online(running("Hard", "Soft", "Relaxed"), job("new", "Soft")), "new")
    assert (found.action, found.beside) == ("Start", "Soft")
    late = placement(online(running("Hard", "Soft"), job("new", "Soft")), "new")
    assert (late.action, late.beside) == ("StartLate", "Soft")
    assert windows(online(running("Hard", "Soft"), job("new", "Soft")), "new") == [(1000, 1100, 1)]


def test_what_a_soft_job_has_reserved_gives_way_to_a_hard_one_and_is_placed_again() -> None:
    one = idle_pool(ONE)
    first = online(one, job("soft", "Soft", time=220))
    assert windows(first, "soft") == [(0, 100, 1)]
    calendar = online(one, *again(first), job("hard"))
    assert actions(calendar) == {"soft": "Reserve", "hard": "Start"}
    assert (windows(calendar, "hard"), windows(calendar, "soft")) == ([(0, 100, 1)], [(100, 200, 1)])
    assert not placement(calendar, "soft").kept


def test_a_soft_job_moves_no_other_job() -> None:
    one = idle_pool(ONE)
    first = online(one, job("long", "Soft", time=220))
    calendar = online(one, *again(first), job("soft", "Soft"))
    assert actions(calendar) == {"long": "Start", "soft": "StartLate"}
    assert placement(calendar, "long").kept


def test_hard_jobs_are_placed_again_if_all_of_them_are_in_time_then() -> None:
    one = idle_pool(ONE)
    first = online(one, job("late", time=220))
    calendar = online(one, *again(first), job("early"))
    assert actions(calendar) == {"late": "Reserve", "early": "Start"}
    assert windows(calendar, "late") == [(100, 200, 1)]
    assert not placement(calendar, "late").kept


def test_no_promise_is_broken_for_another_hard_job() -> None:
    one = idle_pool(ONE)
    first = online(one, job("promised", time=150))
    calendar = online(one, *again(first), job("early"))
    assert actions(calendar) == {"promised": "Start", "early": "Refuse"}
    assert placement(calendar, "promised").kept
    assert calendar.cut is not None
    assert [found.name for found in calendar.cut.jobs] == ["early", "promised"]


def test_what_hard_jobs_need_that_run_is_part_of_the_proof() -> None:
    # They hold the device for 100 us. Without them, the device is enough for the new one.
    busy = running("Hard", until_us=100)
    new = replace(job("new", time=150), problem=calendar_job("new", images=90, time=150, devices=ONE).problem)
    assert actions(online(busy, new)) == {"new": "Hold"}
    ends = replace(job("runs", time=110), problem=calendar_job("runs", images=80, time=110, devices=ONE).problem)
    calendar = online(busy, new, running=[RunningJob(job=ends)])
    assert actions(calendar) == {"new": "Refuse"}
    assert calendar.cut is not None
    assert [found.name for found in calendar.cut.jobs] == ["runs", "new"]


def test_a_running_job_needs_no_start_for_what_its_workers_do() -> None:
    # The new one takes 100 us. The worker may be done after 50, and holds the device for 5 more to be sure.
    busy = running("Hard", until_us=55)
    new = replace(job("new", time=150), problem=calendar_job("new", images=90, time=150, devices=ONE).problem)
    runs = replace(job("runs", time=110), problem=calendar_job("runs", images=50, time=110, devices=ONE).problem)
    assert actions(online(busy, new, running=[RunningJob(job=runs)])) == {"new": "Refuse"}, "as if it began again"
    runs = replace(runs, at_work=(worker(size=10, step=10, rest=10),))
    assert actions(online(busy, new, running=[RunningJob(job=runs)])) == {"new": "Hold"}


def test_of_a_running_job_the_proof_counts_what_is_left_and_not_what_is_placed() -> None:
    # Its only worker was lost, and 3 % more is placed for it than is left.
    new, left, placed = (
        calendar_job(name, images=images, time=1140, devices=ONE)
        for name, images in (("new", 90), ("runs", 1020), ("runs", 1051))
    )
    lost = replace(placed, goes_on=True)
    assert actions(online(idle_pool(ONE), lost, new)) == {"runs": "Start", "new": "Refuse"}
    calendar = online(idle_pool(ONE), lost, new, running=[RunningJob(job=replace(left, goes_on=True))])
    assert actions(calendar) == {"runs": "Start", "new": "Hold"}


def test_workers_that_run_are_no_proof() -> None:
    assert actions(online(running("Hard"), job("new"))) == {"new": "Hold"}


def test_a_hard_job_that_no_devices_can_do_is_refused_although_all_are_taken() -> None:
    hopeless = job("new", images=10_000)
    assert actions(online(running("Hard"), hopeless)) == {"new": "Refuse"}
    assert actions(online(idle_pool(ONE), job("new", time=0))) == {"new": "Refuse"}


def test_a_soft_job_whose_deadline_has_passed_is_late() -> None:
    assert actions(online(idle_pool(ONE), job("soft", "Soft", time=-5))) == {"soft": "StartLate"}


def test_soft_jobs_that_can_be_in_time_come_before_late_ones() -> None:
    jobs = [job("hopeless", "Soft", images=900, time=90), job("possible", "Soft")]
    calendar = online(idle_pool(ONE), *jobs)
    assert actions(calendar) == {"hopeless": "StartLate", "possible": "Start"}
    assert windows(calendar, "possible") == [(0, 100, 1)]


def test_hard_and_soft_jobs_share_the_pool_in_the_order_of_deadlines_if_all_fit() -> None:
    jobs = [job("hard", time=220), job("soft", "Soft")]
    calendar = online(idle_pool(ONE), *jobs)
    assert (windows(calendar, "soft"), windows(calendar, "hard")) == ([(0, 100, 1)], [(100, 200, 1)])


def test_what_hard_and_soft_jobs_leave_is_said_for_each_class() -> None:
    calendar = online(running("Soft", "BestEffort"), job("hard"), job("relaxed", "Relaxed", images=10))
    assert calendar.left["Hard"]["a"][0].free == 1
    assert calendar.left["Soft"]["a"][0].free == 0
    assert calendar.left["BestEffort"]["a"][0].free == 0


def test_a_hard_job_with_too_few_iterations_is_refused_although_its_device_changes_hands() -> None:
    free = {kind: {"a": steps((0, 1), (100, 0), (200, 1))} for kind in CLASSES}
    # In each of two windows it would run 7 mini-batches, one more than M.
    found = calendar_job("new", images=140, time=300, devices=ONE, max_iterations=6, max_gpus=1)
    assert placement(online(pool(free=free, whole=1), found), "new").action == "Refuse"
    soft = replace(found, deadline_class="Soft")
    assert placement(online(pool(free=free, whole=1), soft), "new").action == "Start"


def until_100(devices: int, then: int) -> CalendarPool:
    """So many devices until then, and so many from 1000 on."""
    there: Free = {"a": steps((0, devices), (100, then), (1000, devices))}
    return pool(free=dict.fromkeys(CLASSES, there), whole=devices)


@pytest.mark.parametrize(("devices", "action"), [(2, "Hold"), (3, "Start")])
def test_what_was_promised_and_is_a_little_late_comes_before_a_new_job(devices: int, action: str) -> None:
    two = calendar_job("late", images=190, time=100, devices={"a": 4}, max_gpus=2)
    calendar = online(until_100(devices, then=0), replace(two, goes_on=True), job("new"))
    # It has all that there is before its deadline, though it ends long after it.
    assert devices_held(calendar, "late")[0, 100] == 2
    # The new one is not refused: what the other one lacks may be less by the next reading.
    assert actions(calendar) == {"late": "StartLate", "new": action}


def promised(*, images: int, least: int) -> CalendarJob:
    """A job that goes on, on two devices at most, and has lost its windows: by 100 they do 180 images."""
    found = calendar_job("promised", images=images, time=100, devices={"a": 4}, max_gpus=2)
    return replace(found, goes_on=True, least_images=least)


def test_what_was_promised_is_in_time_on_what_does_as_much_as_its_old_windows_had_to() -> None:
    calendar = online(until_100(2, then=0), promised(images=190, least=180), job("new"))
    assert actions(calendar) == {"promised": "Start", "new": "Hold"}
    assert placement(calendar, "promised").is_in_time
    # Where there is more, more is placed, lest noise moves it again.
    roomy = placement(online(until_100(2, then=2), promised(images=170, least=80)), "promised")
    assert roomy.job.problem.images == 170


def test_how_late_it_is_follows_from_what_it_has_to_do() -> None:
    calendar = online(until_100(2, then=0), promised(images=240, least=190), job("new"))
    assert actions(calendar) == {"promised": "StartLate", "new": "Hold"}
    assert devices_held(calendar, "promised")[0, 100] == 2


@pytest.mark.parametrize(("images", "least", "action"), [(190, 180, "Start"), (240, 190, "StartLate")])
def test_others_move_for_what_was_promised_though_it_is_a_little_late(images: int, least: int, action: str) -> None:
    soon, later = (calendar_job("later", images=180, time=time, devices={"a": 4}) for time in (100, 200))
    first = online(until_100(2, then=2), soon)
    assert devices_held(first, "later") == {(0, 100): 2}
    stored = replace(again(first)[0], problem=later.problem)
    calendar = online(until_100(2, then=2), stored, promised(images=images, least=least))
    assert actions(calendar) == {"later": "Reserve", "promised": action}
    assert devices_held(calendar, "promised")[0, 100] == 2
    assert placement(calendar, "later").is_in_time


def test_nobody_new_gets_the_time_of_who_has_no_image_to_spare() -> None:
    there = until_100(2, then=0)
    first = online(there, calendar_job("first", images=180, time=100, devices={"a": 4}))
    assert devices_held(first, "first") == {(0, 100): 2}
    kept = again(first)[0]
    # Its windows are kept, but for the second job it has to do with one of its devices.
    kept = replace(kept, problem=replace(kept.problem, images=190), goes_on=True, least_images=60)
    second, new = replace(job("second"), goes_on=True), job("new", images=20, time=60)
    calendar = online(there, kept, second, new)
    assert actions(calendar) == {"first": "Start", "second": "Start", "new": "Hold"}
    assert windows(calendar, "first") == [(0, 70, 1)]


def test_others_move_for_a_new_job_but_not_what_is_late() -> None:
    one = calendar_job("late", images=95, time=100, devices={"a": 4}, max_gpus=1)
    late, later = replace(one, goes_on=True), job("later", images=80, time=200)
    first = online(until_100(2, then=1), late, later)
    assert (windows(first, "late"), windows(first, "later")) == ([(0, 110, 1)], [(0, 90, 1)])
    calendar = online(until_100(2, then=1), late, again(first)[1], job("new"))
    assert actions(calendar) == {"late": "StartLate", "later": "Reserve", "new": "Start"}
    assert windows(calendar, "late") == [(0, 110, 1)]


def test_who_is_hopelessly_late_comes_after_new_jobs() -> None:
    late = replace(calendar_job("late", images=400, time=100, devices={"a": 4}, max_gpus=2), goes_on=True)
    calendar = online(until_100(2, then=0), late, job("new"))
    assert actions(calendar) == {"late": "StartLate", "new": "Start"}
