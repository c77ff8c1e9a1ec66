"""The control loop's decisions, one situation a test: no process, no clock, no sink."""

from typing import Any

import pytest

from dueby_operator.control.model import Decision, Finish, JobView, Refuse, Start, Stop, WorkerView
from dueby_operator.control.workers import PATIENCE_US, decide, images_left
from dueby_planner.replan import LagMemory
from support.operator import NOW, SECOND, STEP_US, profile, spec, view, worker

PART = 100


def only(decision: Decision) -> object:
    assert len(decision.actions) == 1
    return decision.actions[0]


def started(decision: Decision) -> Start:
    action = only(decision)
    assert isinstance(action, Start)
    return action


def running(*workers: object, **changes: object) -> JobView:
    """The job with its first plan started: half of the parts done, 5,000 images left, ten seconds to go."""
    fields: dict[str, Any] = {
        "part_size": PART,
        "parts_there": frozenset(range(50)),
        "revision": 1,
        "workers": workers,
        "deadline_us": NOW + 10 * SECOND,
    } | changes
    return view(**fields)


def crew(count: int, **changes: Any) -> tuple[WorkerView, ...]:
    return tuple(
        worker(f"w{i}", first=50 + 50 * i // count, end=50 + 50 * (i + 1) // count, **changes) for i in range(count)
    )


def test_a_new_job_starts_the_planned_workers_on_shares_that_hold_every_part_once() -> None:
    start = started(decide(view()))

    assert start.reason == "Started"
    parts = [part for a in start.assignments for part in range(a.share.first, a.share.end)]
    assert parts == list(range(-(-10_000 // start.part_size)))
    assert start.verdict is not None
    assert start.verdict.plan is not None
    assert len(start.assignments) == start.verdict.plan.gpus
    assert {a.worker for a in start.assignments} == {f"w{i}" for i in range(len(start.assignments))}


def test_a_resumed_job_plans_only_what_is_left_and_keeps_its_grid() -> None:
    there = frozenset(range(0, 100, 2))
    fresh = started(decide(view(part_size=PART)))
    resumed = started(decide(view(part_size=PART, parts_there=there)))

    assert resumed.reason == "Resumed"
    assert resumed.part_size == PART
    assert len(resumed.assignments) < len(fresh.assignments)
    covered = {part for a in resumed.assignments for part in range(a.share.first, a.share.end)}
    assert covered >= set(range(100)) - there


def test_a_job_whose_parts_are_all_there_is_finished_without_starting_anything() -> None:
    assert only(decide(view(part_size=PART, parts_there=frozenset(range(100))))) == Finish(complete=True)


@pytest.mark.parametrize(
    ("deadline_class", "action"),
    [("Hard", Refuse), ("Soft", Start), ("Relaxed", Start), ("BestEffort", Refuse)],
)
def test_a_deadline_out_of_reach_is_refused_or_started_late_by_its_class(deadline_class: str, action: type) -> None:
    decision = decide(view(spec=spec(deadlineClass=deadline_class), deadline_us=NOW + 2 * SECOND))

    assert isinstance(only(decision), action)


def test_a_late_start_says_that_it_is_short() -> None:
    assert decide(view(deadline_us=NOW + 2 * SECOND)).is_short


def test_workers_in_time_are_left_alone() -> None:
    decision = decide(running(*crew(4)))  # 4 x 160 images/s do 6,400 in 10 s

    assert decision.actions == ()
    assert decision.expected_finish_us is not None
    assert NOW < decision.expected_finish_us < NOW + 10 * SECOND


def test_one_low_reading_only_counts_and_the_second_starts_the_fewest_helpers() -> None:
    slow = crew(4, step_us=STEP_US * 3 // 2)  # 4,270 images in 10 s, 5,000 left
    first = decide(running(*slow))
    second = decide(running(*slow, memory=first.memory))

    assert first.actions == ()
    assert first.memory.low_readings == 1
    start = started(second)
    assert start.reason == "Lagging"
    assert [a.worker for a in start.assignments] == ["w4"]
    assert start.assignments[0].revision == 2
    assert len(start.assignments[0].share) == 0  # nothing is orphaned: it takes from the others' tails


def test_nothing_changes_in_the_pause_after_a_change() -> None:
    slow = crew(4, step_us=STEP_US * 3 // 2)

    assert decide(running(*slow, memory=LagMemory(low_readings=5, quiet_until_us=NOW + 1))).actions == ()


def test_a_lost_worker_is_replaced_at_once_where_the_others_would_be_late() -> None:
    alive, lost = crew(4)[:3], worker("w3", first=88, end=100, state="lost")
    quiet = LagMemory(quiet_until_us=NOW + 60 * SECOND)

    start = started(decide(running(*alive, lost, news="WorkerLost", memory=quiet)))

    assert start.reason == "WorkerLost"
    assert (start.assignments[0].share.first, start.assignments[0].share.end) == (87, 100)


def test_a_lost_worker_is_not_replaced_where_the_others_will_do() -> None:
    lost = worker("w6", first=95, end=100, state="lost")

    assert decide(running(*crew(6), lost, news="WorkerLost")).actions == ()


def test_when_every_worker_is_gone_new_ones_take_what_they_left() -> None:
    lost = tuple(worker(f"w{i}", first=50 + 25 * i, end=75 + 25 * i, state="lost") for i in range(2))

    start = started(decide(running(*lost)))

    parts = [part for a in start.assignments for part in range(a.share.first, a.share.end)]
    assert parts == list(range(50, 100))


def test_a_worker_without_a_sign_of_life_is_stopped() -> None:
    alive = crew(4)
    hung = worker("w4", first=99, end=100, last_step_us=NOW - PATIENCE_US - 21 * STEP_US)

    assert only(decide(running(*alive, hung))) == Stop(workers=("w4",), reason="WorkerLost")


def test_one_worker_is_given_back_when_the_others_have_time_to_spare() -> None:
    action = only(decide(running(*crew(8))))

    assert isinstance(action, Stop)
    assert len(action.workers) == 1
    assert action.reason == "Ahead"


def test_lowering_gpus_max_stops_the_workers_that_do_least() -> None:
    slow = worker("w4", first=99, end=100, step_us=STEP_US * 4)
    decision = decide(running(*crew(4), slow, spec=spec(gpus={"max": 4}), news="Edited"))

    assert only(decision) == Stop(workers=("w4",), reason="Edited")


def test_taking_a_class_away_stops_its_workers() -> None:
    other = worker("w4", device_class="cpu-2")
    changed = running(
        *crew(4),
        other,
        spec=spec(gpus={"classes": ["cpu-1"]}),
        profiles=(profile(), profile("cpu-2")),
        counts={"cpu-1": 10, "cpu-2": 1},
    )

    assert only(decide(changed)) == Stop(workers=("w4",), reason="Edited")


def test_an_earlier_deadline_adds_workers_at_once() -> None:
    start = started(decide(running(*crew(4), deadline_us=NOW + 6 * SECOND, news="Edited")))

    assert start.reason == "Edited"
    assert len(start.assignments) == 2  # six do 5,760 in 6 s less their start; five would not do


def test_a_job_that_turns_late_gets_every_device_that_helps() -> None:
    decision = decide(running(*crew(4), deadline_us=NOW + 2 * SECOND, news="WorkerLost"))

    assert decision.is_short
    assert len(started(decision).assignments) == 6


@pytest.mark.parametrize(("on_deadline", "ends"), [("Stop", True), ("Continue", False)])
def test_after_the_deadline_the_job_stops_only_if_it_says_so(on_deadline: str, ends: bool) -> None:
    decision = decide(running(*crew(4), spec=spec(onDeadline=on_deadline), deadline_us=NOW - 1))

    assert (Finish(complete=False) in decision.actions) is ends


def test_images_in_open_parts_of_living_workers_count_as_done() -> None:
    alive, lost = worker("w0", open_images=30), worker("w1", open_images=70, state="lost")

    assert images_left(running(alive, lost)) == 5_000 - 30


def test_the_same_view_gives_the_same_decision() -> None:
    seen = running(*crew(4, step_us=STEP_US * 2), memory=LagMemory(low_readings=1))

    first, second = decide(seen), decide(seen)

    assert [a.assignments for a in first.actions if isinstance(a, Start)] == [
        a.assignments for a in second.actions if isinstance(a, Start)
    ]
    assert first.memory == second.memory
