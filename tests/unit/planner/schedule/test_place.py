"""One job on what is free: as many devices as alone, and windows that do its images."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given

from dueby_planner.model.capacity import Margins
from dueby_planner.model.losses import LossRate
from dueby_planner.model.problem import Problem
from dueby_planner.model.rule import Spreads, quantile
from dueby_planner.schedule import reservation as reservation_module
from dueby_planner.schedule.free_devices import Taken, after, always_free, less, without
from dueby_planner.schedule.place import place
from dueby_planner.schedule.reservation import (
    Reservation,
    claims_of,
    device_us,
    devices_at_most,
    done_by,
    expected_finish_us,
    finish_at_confidence_us,
    probability_by,
    starts,
    together,
)
from support.calendar import calendar_job
from support.planner import choice, group, problem, problem_of, questions
from support.reference_planner import Question


def spans(reservation: Reservation | None) -> list[tuple[int, int, int]]:
    """From when to when how many devices are held."""
    assert reservation is not None
    return sorted((window.from_us, window.to_us, lane.count) for lane in reservation for window in lane.windows)


@given(questions(own=True))
def test_on_an_idle_pool_a_job_has_as_many_devices_as_alone(question: Question) -> None:
    problem = problem_of(question)
    assume(problem.most > 0)
    free = {group.device_class: always_free(group.count) for group in problem.groups}
    reservation, fewest = place(problem, free), problem.fewest()
    levelled = place(problem, free, levelled=True)
    if fewest is None:
        assert (reservation, levelled) == (None, None)
        return
    assert reservation is not None
    assert levelled is not None
    assert devices_at_most(reservation) == starts(reservation) == fewest
    assert devices_at_most(levelled) >= fewest
    for held in (reservation, levelled):
        assert finish_at_confidence_us(held, problem) <= problem.time_us
        assert expected_finish_us(held, problem) <= finish_at_confidence_us(held, problem)
        z = quantile(question.confidence)
        margins = Margins(z, run=problem.pool.spreads.run, start=problem.pool.spreads.start)
        # What the rule decides in integers, in floats.
        done = done_by(held, problem.time_us, problem.max_iterations, margins, again=margins.again)
        assert problem.rule.surplus(done, z) >= -1e-6
        assert probability_by(held, problem, problem.time_us) >= problem.confidence


def test_the_probability_of_a_plan_that_only_just_does_it_is_its_confidence() -> None:
    job = calendar_job("a", images=8_000, time=10_000, confidence=0.9, run=0.05)
    held = place(job.problem, {"a": always_free(2)})
    assert held is not None
    assert probability_by(held, job.problem, 10_000) == pytest.approx(0.9, abs=0.01)
    assert probability_by(held, job.problem, 7_000) < 0.01


def test_the_probability_of_what_the_rule_accepts_is_no_less_than_its_confidence() -> None:
    sizes = (choice(1, 1, 200, expected_start_us=100),)
    job = calendar_job("a", images=128, time=10_000, confidence=0.95, run=0.05, choices=sizes)
    held = place(job.problem, {"a": always_free(1)})
    assert held is not None
    assert probability_by(held, job.problem, finish_at_confidence_us(held, job.problem)) == 0.95
    assert probability_by(held, job.problem, finish_at_confidence_us(held, job.problem) - 1) < 0.95


def test_what_was_worked_out_of_a_reservation_is_not_worked_out_again_a_pass_later(monkeypatch: Any) -> None:
    job = calendar_job("a", images=8_000, time=10_000, confidence=0.9, run=0.05)
    later = replace(job.problem, time_us=9_000)  # and so is everything that is free
    held = place(job.problem, {"a": without(always_free(2), [Taken(0, 1_500, 2)])})
    moved = place(later, {"a": without(always_free(2), [Taken(0, 500, 2)])})

    def told(reservation: Reservation | None, problem: Problem) -> tuple[int, int, float]:
        assert reservation is not None
        finish_us, expected_us = finish_at_confidence_us(reservation, problem), expected_finish_us(reservation, problem)
        return finish_us, expected_us, probability_by(reservation, problem, problem.time_us)

    finish_us, expected_us, probability = told(held, job.problem)
    monkeypatch.setattr(reservation_module, "capacity", None)
    assert told(moved, later) == (finish_us - 1_000, expected_us - 1_000, probability)


def test_the_last_device_is_held_for_as_long_as_it_needs() -> None:
    # In 100 us a device does 90 images; of 110 the second one does 20, in 20 us and a step.
    job = calendar_job("a", images=110, time=100)
    assert spans(place(job.problem, {"a": always_free(2)})) == [(0, 30, 1), (0, 100, 1)]


def test_a_device_that_is_taken_meanwhile_starts_twice() -> None:
    job = calendar_job("a", images=60, time=100)
    free = {"a": without(always_free(1), [Taken(40, 60, 1)])}
    # 30 images in each of the two windows, where 90 would be possible without the interruption.
    assert spans(place(job.problem, free)) == [(0, 40, 1), (60, 100, 1)]
    assert place(calendar_job("a", images=61, time=100).problem, free) is None


def test_each_start_of_a_device_but_one_takes_off_what_a_start_has_alone() -> None:
    job = calendar_job("a", images=60, time=100, confidence=0.95)
    pool = replace(job.problem.pool, spreads=Spreads(run=0, node=0, start=4.0))
    free = {"a": without(always_free(1), [Taken(40, 60, 1)])}

    def most(images: int) -> int:
        asked = replace(job.problem, pool=pool, images=images)
        held = place(asked, free)
        if held is not None:
            assert asked.rule.accepts(done_by(held, 100, None, again=asked.rule.again), 1)
        return images if held is not None else 0

    # 30 in each of two windows, less an image at the hand-over, 6.6 for the rule's start and 7 for the other one.
    assert max(map(most, range(1, 61))) == 60 - 1 - 7 - 7


@pytest.mark.parametrize(
    ("windows", "again", "done"),
    [
        pytest.param([], 7, 0, id="none"),
        pytest.param([30], 7, 30, id="one start is the rule's"),
        pytest.param([30, 20, 10], 7, 60 - 2 * 7, id="others take something off"),
        pytest.param([30, 5], 7, 30, id="what does less doesn't count"),
        pytest.param([5, 4], 7, 5, id="nor do many of those"),
        pytest.param([30, 20], 0, 50, id="nothing alone"),
    ],
)
def test_windows_of_a_device_count_together(windows: list[int], again: int, done: int) -> None:
    assert together(windows, again) == done


def test_a_levelled_job_leaves_the_devices_to_others_that_are_free_for_longest() -> None:
    job = calendar_job("a", images=30, time=100)
    free = {"a": without(always_free(2), [Taken(50, 100, 1)])}
    assert spans(place(job.problem, free)) == [(0, 40, 1)]
    held = place(job.problem, free, levelled=True)
    left = less(free, claims_of(held or (), {}))["a"]
    # One of the two is still free for all of the time.
    assert min(step.free for step in left if step.from_us < 100) == 1


def test_time_is_given_back_at_the_end_where_the_job_shall_end_soon() -> None:
    job = calendar_job("a", images=30, time=200)
    free = {"a": without(always_free(1), [Taken(60, 70, 1)])}
    assert spans(place(job.problem, free)) == [(70, 110, 1)], "the longest window"
    assert spans(place(job.problem, free, soon=True)) == [(0, 40, 1)]


def test_each_window_has_the_mini_batch_size_that_does_the_most_in_it() -> None:
    sizes = (choice(1, 1, 5), choice(100, 50, 60))
    job = calendar_job("a", images=536, time=400, choices=sizes)
    held = place(job.problem, {"a": without(always_free(1), [Taken(40, 130, 1)])})
    assert held is not None
    assert [(w.from_us, w.choice.mini_batch_size) for lane in held for w in lane.windows] == [(0, 1), (130, 100)]


@pytest.mark.parametrize("most", [1, 2])
def test_no_job_has_more_devices_than_it_may(most: int) -> None:
    job = calendar_job("a", images=110, time=100, max_gpus=most)
    assert (place(job.problem, {"a": always_free(2)}) is not None) == (most == 2)


def test_windows_count_as_they_are_held_at_once() -> None:
    job = calendar_job("a", images=60, time=100)
    held = place(job.problem, {"a": without(always_free(1), [Taken(40, 60, 1)])})
    assert held is not None
    assert (devices_at_most(held), starts(held), device_us(held)) == (1, 2, 80)


def with_fallbacks(problem: Problem, *names: str) -> Problem:
    """The same with these devices as those that are used only as far as others don't do."""
    groups = (replace(group, is_fallback=group.device_class in names) for group in problem.pool.groups)
    return replace(problem, pool=replace(problem.pool, groups=tuple(groups)))


@given(questions(own=True))
def test_there_are_as_few_fallback_devices_as_it_takes(question: Question) -> None:
    whole = problem_of(question)
    assume(len(whole.groups) > 1)
    name = whole.groups[0].device_class
    problem = with_fallbacks(whole, name)
    free = {group.device_class: always_free(group.count) for group in problem.groups}
    reservation = place(problem, free)
    assert (reservation is None) == (place(whole, free) is None)
    if reservation is None:
        return
    assert finish_at_confidence_us(reservation, problem) <= problem.time_us
    held = sum(lane.count for lane in reservation if lane.group == name)
    if held:
        fewer = replace(
            whole,
            pool=replace(
                whole.pool,
                groups=tuple(
                    replace(group, count=held - 1) if group.device_class == name else group
                    for group in whole.pool.groups
                ),
            ),
        )
        assert fewer.fewest() is None


def test_the_fallback_device_gives_time_back() -> None:
    # In 100 us each does 90 images; of 110 the fallback does 20, in 20 us and a step.
    problem = calendar_job("a", images=110, time=100, devices={"a": 1, "b": 3}).problem
    held = place(with_fallbacks(problem, "a"), {"a": always_free(1), "b": always_free(3)})
    assert held is not None
    assert {lane.group for lane in held} == {"b"}
    held = place(with_fallbacks(problem, "a"), {"a": always_free(1), "b": always_free(1)})
    assert held is not None
    assert {(lane.group, lane.windows[0].to_us) for lane in held} == {("a", 30), ("b", 100)}


def spot_pair(per_hour: float) -> Problem:
    """Return a job for which one device is just enough, with some that may be taken away and two that stay."""
    steady = choice(100, 10**6, 10**7)
    groups = group(steady, name="spot"), group(steady, name="kept", count=2)
    job = problem(*groups, images=359_000, time=3_600 * 10**6, confidence=0.99)
    rate = LossRate(per_hour=per_hour, replaced_us=600 * 10**6)
    spot, kept = job.pool.groups
    return replace(job, pool=replace(job.pool, groups=(replace(spot, losses=rate), replace(kept, is_fallback=True))))


@pytest.mark.parametrize(
    ("per_hour", "there", "held"),
    [
        pytest.param(0.0, {"spot": 1, "kept": 2}, {"spot": 1}, id="never taken: spot alone"),
        pytest.param(0.001, {"spot": 1, "kept": 2}, {"spot": 1}, id="too seldom for the confidence"),
        pytest.param(0.4, {"spot": 1, "kept": 2}, {"spot": 1, "kept": 1}, id="not on spot alone beyond the margin"),
        pytest.param(0.4, {"spot": 0, "kept": 2}, {"kept": 1}, id="on demand none is taken"),
        pytest.param(0.4, {"spot": 1, "kept": 0}, None, id="nothing covers the loss"),
    ],
)
def test_a_promise_on_spot_devices_has_what_losses_cost_beside_it(
    per_hour: float, there: dict[str, int], held: dict[str, int] | None
) -> None:
    job = spot_pair(per_hour)
    found = place(job, {name: always_free(count) for name, count in there.items()})
    devices = None if found is None else Counter({lane.group: lane.count for lane in found})
    assert devices == held
    if found is not None:
        assert finish_at_confidence_us(found, job) <= job.time_us
        assert probability_by(found, job, job.time_us) >= job.confidence


def test_devices_on_demand_begin_as_late_as_they_are_enough() -> None:
    job = spot_pair(0.4)
    free = {"spot": always_free(1), "kept": always_free(1)}
    found = place(job, free)
    assert found is not None
    (kept,) = (lane.windows for lane in found if lane.group == "kept")
    (window,) = kept
    assert 0 < window.from_us < window.to_us <= job.time_us
    for later_us, is_enough in ((0, True), (10**6, False)):
        late = after(free["kept"], window.from_us + later_us)
        assert (place(job, {**free, "kept": late}) is not None) is is_enough
