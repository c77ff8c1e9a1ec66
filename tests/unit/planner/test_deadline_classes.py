"""The table of the deadline classes, cell by cell, and what goes with each verdict."""

from typing import get_args

import pytest
from hypothesis import given

from dueby_api.inference_job import DeadlineClass
from dueby_planner.deadline_classes import Action, judge, make_plan
from dueby_planner.model.plan import Infeasible, Plan
from dueby_planner.model.problem import Problem
from support.examples import examples
from support.planner import choice, group, problem, problem_of, questions
from support.reference_planner import Question

CLASSES: tuple[DeadlineClass, ...] = ("Hard", "Soft", "Relaxed", "BestEffort")
# By 99 us a free GPU does 100 images and one that comes free at 50 us does 50; at 0.95 each hand-over may lose one.
NOW, LATER = group(choice(10, 10, 0), count=2), group(choice(10, 10, 0), count=2, free=50)


def asked(images: int, confidence: float = 0.95) -> Problem:
    """Return a problem of so many images on two GPUs that are free and two that come free in time."""
    return problem(NOW, LATER, images=images, time=99, confidence=confidence)


TABLE: dict[str, tuple[int, tuple[Action, Action, Action, Action]]] = {
    "A >= N": (198, ("Start", "Start", "Start", "Start")),
    "A < N <= B": (199, ("Reserve", "Reserve", "Hold", "Wait")),
    "B < N <= B50": (300, ("Refuse", "StartLate", "StartLate", "Wait")),
    "N > B50": (301, ("Refuse", "StartLate", "StartLate", "Wait")),
}


def test_every_deadline_class_of_the_schema_has_a_row() -> None:
    assert get_args(DeadlineClass) == CLASSES


@pytest.mark.parametrize("cell", TABLE)
@pytest.mark.parametrize("deadline_class", CLASSES)
def test_each_class_does_what_the_table_says(deadline_class: DeadlineClass, cell: str) -> None:
    images, actions = TABLE[cell]
    assert judge(asked(images), deadline_class).action == actions[CLASSES.index(deadline_class)]


def test_a_job_that_idle_gpus_can_do_is_started_on_those_alone() -> None:
    verdict = judge(asked(198), "Soft")
    assert verdict.plan is not None
    assert [(g.available_us, g.count) for g in verdict.plan.groups] == [(0, 2)]
    assert verdict.infeasible is None


def test_a_reservation_waits_for_gpus_that_come_free_in_time() -> None:
    verdict = judge(asked(199), "Hard")
    assert verdict.plan is not None
    assert {g.available_us for g in verdict.plan.groups} == {0, 50}
    assert verdict.plan.is_in_time


def test_a_refusal_says_the_confidence_that_is_possible() -> None:
    verdict = judge(asked(300), "Hard")
    assert verdict.plan is None
    assert verdict.infeasible is not None
    assert verdict.infeasible.alternatives.possible_confidence == 0.5


def test_a_refusal_without_any_possible_confidence_has_the_other_alternatives() -> None:
    verdict = judge(asked(301), "Hard")
    assert verdict.infeasible is not None
    assert verdict.infeasible.alternatives.possible_confidence is None
    assert verdict.infeasible.alternatives.earliest_us == 100
    assert verdict.infeasible.alternatives.extra_gpus == {"a": 1}


@pytest.mark.parametrize("deadline_class", ["Soft", "Relaxed"])
def test_a_late_start_is_the_plan_that_ends_earliest_and_says_how_late(deadline_class: DeadlineClass) -> None:
    verdict = judge(asked(301, confidence=0.5), deadline_class)
    assert verdict.plan is not None
    assert verdict.infeasible is not None
    assert verdict.plan.slack_us == -1
    assert verdict.plan.gpus == 4


def test_what_can_never_be_done_has_no_late_plan() -> None:
    never = problem(NOW, images=100, time=99, max_iterations=3)
    verdict = judge(never, "Soft")
    assert (verdict.action, verdict.plan) == ("StartLate", None)


def test_best_effort_waits_for_idle_gpus_even_where_none_is_idle_now() -> None:
    assert judge(problem(LATER, images=50, time=99), "BestEffort").action == "Wait"


@examples(60)
@given(questions())
def test_where_everything_is_free_the_verdict_is_the_plan_itself(question: Question) -> None:
    everything = problem_of(question)
    expected, verdict = make_plan(everything), judge(everything, "Hard")
    if isinstance(expected, Plan):
        assert verdict.action == "Start"
        assert verdict.plan is not None
        assert verdict.plan.groups == expected.groups
    else:
        assert isinstance(expected, Infeasible)
        assert verdict.action == "Refuse"
        assert verdict.infeasible is not None
        assert verdict.infeasible.alternatives == expected.alternatives
