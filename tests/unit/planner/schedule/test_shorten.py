"""Jobs with `reserve` or `maxIterations` hold their devices no longer than there is something to do."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dueby_planner.model.capacity import capacity
from dueby_planner.model.problem import Problem
from dueby_planner.schedule.free_devices import Taken, always_free, without
from dueby_planner.schedule.place import place, shortened
from dueby_planner.schedule.reservation import (
    Lane,
    Reservation,
    Window,
    begins_us,
    device_us,
    done_by,
    ends_us,
    expected_finish_us,
    finish_at_confidence_us,
    together,
)
from support.calendar import CHOICE, actions, calendar_job, planned, windows
from support.planner import choice, problem_of, questions


def held_throughout(problem: Problem, *, from_us: int, gap_us: int) -> Reservation:
    """Return all devices, each held twice for as long as the job's time, with a gap between the two."""
    begins = (from_us, from_us + problem.time_us + gap_us)
    return tuple(
        Lane(
            group=able.group.device_class,
            count=able.group.count,
            windows=tuple(
                Window(begin_us, begin_us + problem.time_us, able.choice, able.images) for begin_us in begins
            ),
        )
        for able in problem.capacities()
    )


def is_accepted(reservation: Reservation, problem: Problem) -> bool:
    """Return whether the rule accepts what the windows say that they do."""
    again = problem.rule.again
    able = [(together((window.images for window in lane.windows), again), lane.count) for lane in reservation]
    return problem.rule.accepts(sorted(able, reverse=True), sum(lane.count for lane in reservation))


@given(
    asked=questions(own=True).map(problem_of),
    reserve=st.integers(0, 2),
    max_iterations=st.none() | st.integers(0, 20),
    from_us=st.integers(0, 50),
    gap_us=st.integers(0, 50),
)
def test_a_shorter_reservation_is_accepted_and_ends_no_later(
    asked: Problem, reserve: int, max_iterations: int | None, from_us: int, gap_us: int
) -> None:
    problem = replace(asked, reserve=reserve, max_iterations=max_iterations)
    before = held_throughout(problem, from_us=from_us, gap_us=gap_us)
    assume(is_accepted(before, problem))
    after = shortened(before, problem)
    if not reserve and max_iterations is None:
        assert after == before
        return
    finish_us = finish_at_confidence_us(before, problem)
    assert is_accepted(after, problem)
    assert begins_us(after) == from_us
    # Without a device that has done nothing by then, less may be lost in hand-overs.
    assert expected_finish_us(after, problem) <= finish_at_confidence_us(after, problem) <= finish_us
    assert device_us(after) <= device_us(before)
    assert ends_us(after) <= finish_us
    for window in (window for lane in after for window in lane.windows):
        sooner, then = (
            capacity(window.choice, time_us=window.to_us - window.from_us - less, max_iterations=max_iterations)
            for less in (1, 0)
        )
        assert then == window.images > 0
        if max_iterations is not None and then == (max_iterations + 1) * window.choice.mini_batch_size:
            assert sooner < then or window.to_us == window.from_us + 1


@given(questions(own=True).map(problem_of), st.integers(1, 200), st.integers(1, 50))
def test_every_job_that_is_placed_is_done_by_the_end_of_its_windows(problem: Problem, at_us: int, long_us: int) -> None:
    free = {
        group.device_class: without(always_free(group.count), [Taken(at_us, at_us + long_us, 1)])
        for group in problem.groups
    }
    for levelled in (False, True):
        held = place(problem, free, levelled=levelled)
        assume(held is not None)
        assert held is not None
        assert is_accepted(held, problem)
        count = sum(lane.count for lane in held)
        done = done_by(held, problem.time_us, problem.max_iterations, again=problem.rule.again)
        assert problem.rule.accepts(done, count)


@pytest.mark.parametrize(
    ("asked", "held"),
    [
        pytest.param(
            {"images": 30, "reserve": 1}, [(0, 40, 1), (0, 40, 1)], id="a device to spare until both are done"
        ),
        pytest.param({"images": 10, "max_iterations": 0, "devices": {"a": 1}}, [(0, 20, 1)], id="the first mini-batch"),
        pytest.param({"images": 20, "max_iterations": 0}, [(0, 20, 1), (0, 20, 1)], id="on two devices"),
        pytest.param({"images": 60, "max_iterations": 2}, [(0, 40, 1), (0, 40, 1)], id="with iterations"),
        pytest.param({"images": 30}, [(0, 40, 1)], id="neither: as it was"),
        pytest.param({"images": 1980}, [(0, 1000, 1), (0, 1000, 1)], id="neither: to the deadline"),
    ],
)
def test_devices_are_held_for_as_long_as_they_have_something_to_do(asked: dict[str, Any], held: Any) -> None:
    job = calendar_job("job", time=1000, **asked)
    assert windows(planned(job), "job") == held


def test_a_device_that_has_run_all_its_iterations_does_not_wait_for_a_slower_one() -> None:
    job = calendar_job("job", images=30, time=1000, devices={"a": 1, "b": 1}, choices=[CHOICE], max_iterations=1)
    fast, slow = job.problem.pool.groups
    groups = (fast, replace(slow, choices=(choice(10, 100, 200),)))
    job = replace(job, problem=replace(job.problem, pool=replace(job.problem.pool, groups=groups)))
    assert windows(planned(job), "job") == [(0, 30, 1), (0, 200, 1)]


def test_devices_that_were_given_back_are_promised_to_the_next_job() -> None:
    small = calendar_job("small", images=30, time=900, reserve=1)
    calendar = planned(small, calendar_job("next", images=1880, time=1000))
    assert actions(calendar) == {"small": "Start", "next": "Reserve"}
