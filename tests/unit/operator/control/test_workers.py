"""Which workers a job gets and loses, one situation a test: no process, no clock, no sink."""

from dataclasses import replace
from typing import Any

import pytest

from dueby_api.parts import NONE, all_parts, parts_of
from dueby_api.step_messages import StoreWait
from dueby_planner.schedule.job import ScheduledJob, WorkerModel
from dueby_planner.schedule.lag import LagMemory
from dueby_planner.schedule.request import Refuse, Start, Stop, WorkDecision
from dueby_planner.schedule.watch import HANG_US, decide_workers
from support.operator import NOW, SECOND, STEP_US, choice, model, profile, spec, worker

PART = 100


def started(decision: WorkDecision) -> Start:
    assert isinstance(decision.action, Start)
    return decision.action


def running(*workers: object, **changes: object) -> ScheduledJob:
    """The job with its first plan started: half of the parts done, 5,000 images left, ten seconds to go."""
    fields: dict[str, Any] = {
        "part_size": PART,
        "parts_there": all_parts(50),
        "revision": 1,
        "workers": workers,
        "deadline_us": NOW + 10 * SECOND,
    } | changes
    return model(**fields)


def team(count: int, **changes: Any) -> tuple[WorkerModel, ...]:
    return tuple(
        worker(f"w{i}", first=50 + 50 * i // count, end=50 + 50 * (i + 1) // count, **changes) for i in range(count)
    )


def test_a_new_job_starts_the_planned_workers_on_shares_that_hold_every_part_once() -> None:
    start = started(decide_workers(model()))

    assert start.reason == "Started"
    parts = [part for a in start.assignments for part in range(a.share.first, a.share.end)]
    assert parts == list(range(-(-10_000 // start.part_size)))
    assert start.verdict is not None
    assert start.verdict.plan is not None
    assert len(start.assignments) == start.verdict.plan.gpus
    assert {a.worker for a in start.assignments} == {f"w{i}" for i in range(len(start.assignments))}


@pytest.mark.parametrize(
    ("done", "starts"),
    [
        pytest.param(0, True, id="none"),
        pytest.param(5_000, False, id="half of them"),
        pytest.param(10_000, False, id="all of them"),
    ],
)
def test_until_a_worker_tells_which_parts_there_are_a_new_operator_plans_by_the_images_that_were_done(
    done: int, starts: bool
) -> None:
    there = running(*team(4), parts_there=NONE, least_done=done, lag=LagMemory(low_readings=1))
    assert isinstance(decide_workers(there).action, Start) is starts
    assert there.images_left == max(1, 10_000 - done)


def test_a_resumed_job_plans_only_what_is_left_and_keeps_its_grid() -> None:
    there = parts_of(range(0, 100, 2))
    fresh = started(decide_workers(model(part_size=PART)))
    resumed = started(decide_workers(model(part_size=PART, parts_there=there)))

    assert resumed.reason == "Resumed"
    assert resumed.part_size == PART
    assert len(resumed.assignments) < len(fresh.assignments)
    covered = {part for a in resumed.assignments for part in range(a.share.first, a.share.end)}
    assert covered >= set(range(100)) - set(there)


def test_a_job_whose_parts_are_all_there_is_complete_and_starts_nothing() -> None:
    there = model(part_size=PART, parts_there=all_parts(100))

    assert there.is_complete
    assert decide_workers(there).action is None


@pytest.mark.parametrize(
    ("deadline_class", "action"),
    [("Hard", Refuse), ("Soft", Start), ("Relaxed", Start), ("BestEffort", Start)],
)
def test_a_deadline_out_of_reach_is_refused_or_started_late_by_its_class(deadline_class: str, action: type) -> None:
    decision = decide_workers(model(spec=spec(deadlineClass=deadline_class), deadline_us=NOW + 2 * SECOND))

    assert isinstance(decision.action, action)


def test_a_late_start_says_that_it_is_short() -> None:
    assert decide_workers(model(deadline_us=NOW + 2 * SECOND)).is_short


def test_workers_in_time_are_left_alone() -> None:
    decision = decide_workers(running(*team(4)))  # 4 x 160 images/s do 6,400 in 10 s

    assert decision.action is None
    assert decision.expected_finish_us is not None
    assert NOW < decision.expected_finish_us < NOW + 10 * SECOND


def test_one_low_reading_only_counts_and_the_second_starts_the_fewest_helpers() -> None:
    slow = team(4, step_us=STEP_US * 3 // 2)  # 4,270 images in 10 s, 5,000 left
    first = decide_workers(running(*slow))
    second = decide_workers(running(*slow, lag=first.lag))

    assert first.action is None
    assert first.lag.low_readings == 1
    start = started(second)
    assert start.reason == "Lagging"
    assert [a.worker for a in start.assignments] == ["w4"]
    assert start.assignments[0].revision == 2
    assert len(start.assignments[0].share) == 0  # nothing is orphaned: it takes from the others' tails


def test_nothing_changes_in_the_pause_after_a_change() -> None:
    slow = team(4, step_us=STEP_US * 3 // 2)

    assert decide_workers(running(*slow, lag=LagMemory(low_readings=5, quiet_until_us=NOW + 1))).action is None


def test_a_lost_worker_is_replaced_at_once_where_the_others_would_be_late() -> None:
    alive, lost = team(4)[:3], worker("w3", first=88, end=100, state="lost")
    quiet = LagMemory(quiet_until_us=NOW + 60 * SECOND)

    start = started(decide_workers(running(*alive, lost, news="WorkerLost", lag=quiet)))

    assert start.reason == "WorkerLost"
    assert (start.assignments[0].share.first, start.assignments[0].share.end) == (87, 100)


def test_a_lost_worker_is_not_replaced_where_the_others_will_do() -> None:
    lost = worker("w6", first=95, end=100, state="lost")

    assert decide_workers(running(*team(6), lost, news="WorkerLost")).action is None


def test_when_every_worker_is_gone_new_ones_take_what_they_left() -> None:
    lost = tuple(worker(f"w{i}", first=50 + 25 * i, end=75 + 25 * i, state="lost") for i in range(2))

    start = started(decide_workers(running(*lost)))

    parts = [part for a in start.assignments for part in range(a.share.first, a.share.end)]
    assert parts == list(range(50, 100))


def test_help_for_a_job_that_is_late_is_told_of_no_more_mini_batches_than_the_job_has() -> None:
    lost = worker("w0", first=50, end=100, state="lost")

    start = started(decide_workers(running(lost, deadline_us=NOW - 3600 * SECOND, news="WorkerLost")))

    assert all(a.iterations < 10_000 // a.choice.mini_batch_size for a in start.assignments)


# After this long without a mini-batch, or in starting, a worker hangs if it says so itself.
LONG_US = HANG_US + 21 * (STEP_US + choice().start_us)
BEGAN = {"state": "starting", "last_step_us": None, "step_us": None}
STORE = StoreWait(store="sink", error="No space left on device", seconds=3000)


@pytest.mark.parametrize(
    ("seen", "is_stopped"),
    [
        pytest.param({"last_step_us": NOW - LONG_US}, True, id="one that answers and has done nothing for long"),
        pytest.param({**BEGAN, "answers_since_us": NOW - LONG_US}, True, id="one that answers and never begins"),
        pytest.param({"last_step_us": NOW - STEP_US}, False, id="not one at work"),
        pytest.param({"last_step_us": NOW - LONG_US, "waits_for": STORE}, False, id="not one whose sink is full"),
        pytest.param({"last_step_us": NOW - LONG_US, "answers_since_us": None}, False, id="not one that is silent"),
        pytest.param({**BEGAN, "created_us": NOW - LONG_US, "answers_since_us": None}, False, id="not during a pull"),
        pytest.param({**BEGAN, "created_us": NOW - LONG_US, "answers_since_us": NOW}, False, id="not after a pull"),
    ],
)
def test_a_worker_that_hangs_is_stopped(seen: dict[str, Any], is_stopped: bool) -> None:
    decision = decide_workers(running(*team(6), worker("w6", first=99, end=100, **seen)))

    assert (decision.action == Stop(workers=("w6",), reason="WorkerLost")) is is_stopped


def test_one_worker_is_given_back_when_the_others_have_time_to_spare() -> None:
    action = decide_workers(running(*team(8))).action

    assert isinstance(action, Stop)
    assert len(action.workers) == 1
    assert action.reason == "Ahead"


def test_lowering_gpus_max_stops_the_workers_that_do_least() -> None:
    slow = worker("w4", first=99, end=100, step_us=STEP_US * 4)
    decision = decide_workers(running(*team(4), slow, spec=spec(gpus={"max": 4}), news="Edited"))

    assert decision.action == Stop(workers=("w4",), reason="Edited")


def test_taking_a_class_away_stops_its_workers() -> None:
    other = worker("w4", device_class="cpu-2")
    changed = running(
        *team(4),
        other,
        spec=spec(gpus={"classes": ["cpu-1"]}),
        profiles=(profile(), profile("cpu-2")),
        counts={"cpu-1": 10, "cpu-2": 1},
    )

    assert decide_workers(changed).action == Stop(workers=("w4",), reason="Edited")


def test_an_earlier_deadline_adds_workers_at_once() -> None:
    start = started(decide_workers(running(*team(4), deadline_us=NOW + 6 * SECOND, news="Edited")))

    assert start.reason == "Edited"
    assert len(start.assignments) == 2  # six do 5,760 in 6 s less their start; five would not do


def test_a_job_that_turns_late_gets_every_device_that_helps() -> None:
    decision = decide_workers(running(*team(4), deadline_us=NOW + 2 * SECOND, news="WorkerLost"))

    assert decision.is_short
    assert len(started(decision).assignments) == 6


@pytest.mark.parametrize(("on_deadline", "ends"), [("Stop", True), ("Continue", False)])
def test_after_the_deadline_the_job_stops_only_if_it_says_so(on_deadline: str, ends: bool) -> None:
    late = running(*team(4), spec=spec(onDeadline=on_deadline), deadline_us=NOW - 1)

    assert late.must_stop is ends
    assert (decide_workers(late).expected_finish_us is None) is ends


def test_images_in_open_parts_of_living_workers_count_as_done() -> None:
    alive, lost = worker("w0", open_images=30), worker("w1", open_images=70, state="lost")

    assert running(alive, lost).images_left == 5_000 - 30


def test_the_same_model_gives_the_same_decision() -> None:
    seen = running(*team(4, step_us=STEP_US * 2), lag=LagMemory(low_readings=1))

    first, second = decide_workers(seen), decide_workers(seen)

    assert started(first).assignments == started(second).assignments
    assert first.lag == second.lag


def test_workers_that_have_few_iterations_left_are_helped_at_once() -> None:
    free, limited = (running(*team(4, batches=95), spec=spec(gpus=gpus)) for gpus in ({}, {"maxIterations": 100}))

    assert decide_workers(free).action is None
    low = decide_workers(limited)
    assert low.lag.low_readings == 1  # four workers with 6 mini-batches of 16 images each, and 5,000 images left
    start = started(decide_workers(replace(limited, lag=low.lag)))
    assert start.reason == "Lagging"


@pytest.mark.parametrize(
    ("missing", "opened", "mini_batches"),
    [
        pytest.param(6, 0, 7, id="a part each"),
        pytest.param(7, 0, 14, id="and one more"),
        pytest.param(7, 100 - 16, 8, id="a mini-batch each, and one more part"),
    ],
)
def test_near_its_end_a_job_is_expected_to_end_with_its_last_part(missing: int, opened: int, mini_batches: int) -> None:
    ongoing = (replace(one, open_images=opened) for one in team(6))
    decided = decide_workers(running(*ongoing, parts_there=all_parts(100 - missing)))
    assert decided.expected_finish_us is not None
    assert decided.expected_finish_us - NOW == mini_batches * STEP_US
