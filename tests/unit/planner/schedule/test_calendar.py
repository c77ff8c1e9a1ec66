"""What each deadline class gets beside the others, and that no calendar breaks a promise."""

from hypothesis import given
from hypothesis import strategies as st

from dueby_planner.schedule.calendar import make_calendar
from dueby_planner.schedule.calendar_job import CalendarJob
from dueby_planner.schedule.free_devices import idle_pool
from dueby_planner.schedule.place import place
from dueby_planner.schedule.verify import verify_calendar
from support.calendar import actions, calendar_job, job_sets, placement, planned, windows

EIGHT = {"a": 8}


@given(job_sets())
def test_every_calendar_holds_what_is_there_and_does_what_is_asked(jobs: list[CalendarJob]) -> None:
    pool = {group.device_class: group.count for job in jobs for group in job.problem.groups}
    calendar = make_calendar(jobs, idle_pool(pool))
    verify_calendar(calendar)
    assert [found.job for found in calendar.placements] == jobs
    for found in calendar.placements:
        kind, action = found.job.deadline_class, found.action
        assert bool(found.reservation) == (action in ("Start", "Reserve", "StartLate"))
        if kind == "Hard":
            assert found.is_in_time == bool(found.reservation)
        if action == "StartLate":
            assert kind in ("Soft", "Relaxed")
            assert not found.is_in_time
        if action == "Refuse":
            assert found.job.problem.fewest() is None or calendar.cut is not None
        if action == "Wait" and kind in ("Soft", "Relaxed"):
            assert found.job.problem.earliest_us() is None, "it never ends, whatever the others do"


@given(job_sets())
def test_no_job_changes_what_those_before_it_get(jobs: list[CalendarJob]) -> None:
    """Relaxed and BestEffort jobs take what Hard and Soft ones leave, and change nothing about them."""
    urgent = [job for job in jobs if job.deadline_class in ("Hard", "Soft")]
    pool = {group.device_class: group.count for job in jobs for group in job.problem.groups}
    everything, alone = make_calendar(jobs, idle_pool(pool)), make_calendar(urgent, idle_pool(pool))
    kept = {found.job.name: (found.action, found.reservation) for found in everything.placements}
    assert {found.job.name: (found.action, found.reservation) for found in alone.placements} == {
        job.name: kept[job.name] for job in urgent
    }


@given(job_sets())
def test_an_order_of_the_files_makes_no_difference(jobs: list[CalendarJob]) -> None:
    pool = {group.device_class: group.count for job in jobs for group in job.problem.groups}
    there, back = make_calendar(jobs, idle_pool(pool)), make_calendar(jobs[::-1], idle_pool(pool))
    assert there.placements == back.placements[::-1]


@given(job_sets(), st.integers(0, 30))
def test_a_device_has_the_time_to_change_hands(jobs: list[CalendarJob], change_us: int) -> None:
    """Windows that were so much longer would be on as many devices, too."""
    counts = {group.device_class: group.count for job in jobs for group in job.problem.groups}
    calendar = make_calendar(jobs, idle_pool(counts, change_us=change_us))
    verify_calendar(calendar)
    held = [
        (lane.group, window.from_us, window.to_us + change_us, lane.count)
        for found in calendar.placements
        for lane in found.reservation
        for window in lane.windows
    ]
    for name, at_us, _, _ in held:
        there = sum(count for other, from_us, to_us, count in held if other == name and from_us <= at_us < to_us)
        assert there <= counts[name]


def test_a_relaxed_job_leaves_a_hard_one_its_place() -> None:
    # Each alone needs five and six of the eight devices.
    relaxed = calendar_job("relaxed", images=440, time=100, deadline_class="Relaxed", devices=EIGHT)
    hard = calendar_job("hard", images=530, time=100, devices=EIGHT)
    calendar = planned(relaxed, hard)
    assert actions(calendar) == {"relaxed": "StartLate", "hard": "Start"}
    assert (relaxed.problem.fewest(), hard.problem.fewest()) == (5, 6)
    began_us, _, devices = windows(calendar, "relaxed")[0]
    assert (began_us, devices) == (0, 2), "the two that are left"


def test_a_soft_job_with_an_earlier_deadline_does_not_get_a_hard_one_refused() -> None:
    soft = calendar_job("soft", images=700, time=100, deadline_class="Soft", devices=EIGHT)
    hard = calendar_job("hard", images=1300, time=180, devices=EIGHT)
    calendar = planned(soft, hard)
    assert actions(calendar) == {"soft": "StartLate", "hard": "Start"}
    assert placement(calendar, "hard").is_in_time


def test_two_hard_jobs_that_fit_one_after_the_other_only_are_both_promised() -> None:
    first = calendar_job("first", images=90, time=100, devices={"a": 1})
    second = calendar_job("second", images=90, time=200, devices={"a": 1})
    calendar = planned(second, first)
    assert actions(calendar) == {"first": "Start", "second": "Reserve"}
    assert windows(calendar, "first") == [(0, 100, 1)]
    assert windows(calendar, "second") == [(100, 200, 1)]


def test_jobs_are_placed_again_where_the_fewest_devices_for_each_leave_no_room() -> None:
    early = calendar_job("early", images=30, time=60)
    middle = calendar_job("middle", images=60, time=110)
    # All of one device's time; alone, `middle` would begin at once on the device that `early` leaves free.
    late = calendar_job("late", images=120, time=130, max_gpus=1)
    calendar = planned(early, middle, late)
    assert all(found.is_in_time for found in calendar.placements)
    assert windows(planned(early, middle), "middle") == [(0, 70, 1)]
    assert windows(calendar, "middle") == [(40, 110, 1)]


def test_a_soft_job_that_is_late_anyway_takes_few_devices() -> None:
    # With all eight devices it would end after 140 us, and with seven after 154.
    late = calendar_job("late", images=980, time=50, deadline_class="Soft", devices=EIGHT)
    calendar = planned(late)
    assert actions(calendar) == {"late": "StartLate"}
    ends_us = max(to_us for _, to_us, _ in windows(calendar, "late"))
    earliest_us = late.problem.earliest_us()
    assert earliest_us is not None
    assert earliest_us < ends_us <= earliest_us * 1.1
    assert sum(count for *_, count in windows(calendar, "late")) == 7


def test_best_effort_takes_what_is_idle_now_and_waits_otherwise() -> None:
    hard = calendar_job("hard", images=90, time=100, devices={"a": 1})
    rest = calendar_job("rest", images=500, time=100, deadline_class="BestEffort", devices={"a": 1})
    assert actions(planned(hard, rest)) == {"hard": "Start", "rest": "Wait"}
    two = {"a": 2}
    hard = calendar_job("hard", images=90, time=100, devices=two)
    rest = calendar_job("rest", images=500, time=100, deadline_class="BestEffort", devices=two)
    calendar = planned(hard, rest)
    assert actions(calendar) == {"hard": "Start", "rest": "Start"}
    assert [count for *_, count in windows(calendar, "rest")] == [1]


def test_a_hard_job_that_no_pool_of_this_kind_can_do_leaves_the_others_alone() -> None:
    hopeless = calendar_job("hopeless", images=10**6, time=100)
    other = calendar_job("other", images=90, time=100)
    calendar = planned(hopeless, other)
    assert actions(calendar) == {"hopeless": "Refuse", "other": "Start"}
    assert not calendar.is_feasible
    advice = calendar.advice("hopeless")
    # One device is free all the time, and the other one after 100 us.
    assert advice.earliest_us is not None
    later = calendar_job("hopeless", images=10**6, time=advice.earliest_us)
    assert planned(later, other).is_feasible
    assert not planned(calendar_job("hopeless", images=10**6, time=advice.earliest_us - 1), other).is_feasible


def test_the_advice_is_the_least_number_of_devices() -> None:
    jobs = [calendar_job(name, images=90, time=100) for name in ("a", "b", "c", "d")]
    calendar = planned(*jobs)
    assert list(actions(calendar).values()) == ["Start", "Start", "Refuse", "Refuse"]
    assert calendar.advice("c").more_devices == {"a": 1}
    three = [calendar_job(name, images=90, time=100, devices={"a": 3}) for name in ("a", "b", "c")]
    assert planned(*three).is_feasible


def test_a_job_may_run_on_the_classes_that_it_names_only() -> None:
    both = calendar_job("both", images=180, time=100, devices={"a": 1, "b": 1})
    one = calendar_job("one", images=90, time=100, devices={"b": 1})
    calendar = planned(both, one)
    assert actions(calendar) == {"both": "Start", "one": "Refuse"}
    assert place(one.problem, {"b": ()}) is None
