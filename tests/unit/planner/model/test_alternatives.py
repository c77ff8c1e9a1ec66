"""What an infeasible job could ask for: each answer is the edge, by brute force on both sides of it."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import support.reference_planner as reference
from dueby_planner.deadline_classes import make_plan
from dueby_planner.model.alternatives import Alternatives, find_alternatives
from dueby_planner.model.plan import Infeasible
from dueby_planner.model.problem import Problem
from support import reference_alternatives
from support.examples import examples
from support.planner import choice, group, problem, problem_of, questions
from support.reference_planner import Question

# Long after everything that ever ends.
NEVER_US = 10**12
MILLIONTH = 1e-6
SMALL = questions(max_gpus=3, max_batch=20)


def too_much(question: Question, data: st.DataObject) -> Question:
    """Return the question with about as many images as can be done by the deadline, or more, if that has no plan."""
    everything = sum(gpu.images for gpu in reference.best_gpus(question, question.time)[: question.allowed])
    asked = replace(question, images=data.draw(st.integers(everything * 4 // 5, everything * 3 // 2 + 5)) or 1)
    assume(reference.fewest(asked) is None)
    return asked


def alternatives(question: Question) -> Alternatives:
    """Return the product's alternatives."""
    return find_alternatives(problem_of(question))


@examples(200)
@given(SMALL, st.data())
def test_a_microsecond_before_the_earliest_deadline_is_infeasible(question: Question, data: st.DataObject) -> None:
    asked = too_much(question, data)
    earliest_us = alternatives(asked).earliest_us
    if earliest_us is None:
        assert reference.fewest(asked, NEVER_US) is None
    else:
        assert reference.fewest(asked, earliest_us) is not None
        assert reference.fewest(asked, earliest_us - 1) is None


@examples(200)
@given(SMALL, st.data())
def test_an_image_more_than_the_largest_n_is_infeasible(question: Question, data: st.DataObject) -> None:
    asked = too_much(question, data)
    largest = alternatives(asked).largest_images
    assert reference.fewest(replace(asked, images=largest + 1)) is None
    if largest:
        assert reference.fewest(replace(asked, images=largest)) is not None


def with_more(question: Question, name: str, more: int) -> Question:
    """Return the question with more GPUs of a class, and NGPU raised by as many."""
    kinds = tuple(replace(k, count=k.count + more) if k.name == name else k for k in question.kinds)
    return replace(question, kinds=kinds, most=None if question.most is None else question.most + more)


@examples(150)
@given(SMALL, st.data())
def test_one_extra_gpu_less_is_infeasible(question: Question, data: st.DataObject) -> None:
    asked = too_much(question, data)
    extra = alternatives(asked).extra_gpus
    assert set(extra) == {kind.name for kind in asked.kinds}
    for name, more in extra.items():
        if more is None:
            assert reference_alternatives.extra_gpus(asked, name, limit=30) is None
        elif more <= 100:
            assert reference.fewest(with_more(asked, name, more)) is not None
            assert reference.fewest(with_more(asked, name, more - 1)) is None


@examples(200)
@given(SMALL, st.data())
def test_a_millionth_of_confidence_more_is_infeasible(question: Question, data: st.DataObject) -> None:
    asked = too_much(replace(question, confidence=0.999), data)
    possible = alternatives(asked).possible_confidence
    expected = reference_alternatives.possible_confidence(asked)
    if expected is None or possible is None:
        assert possible is None
        assert expected is None
        return
    assert expected - MILLIONTH - 1e-9 <= possible <= expected + 1e-9
    if possible > 0.5:
        assert reference.fewest(replace(asked, confidence=possible)) is not None


def infeasible(asked: Problem) -> Alternatives:
    """Return the alternatives of a problem without a plan."""
    found = make_plan(asked)
    assert isinstance(found, Infeasible)
    return found.alternatives


def test_the_alternatives_as_one_would_work_them_out_on_paper() -> None:
    # 4 A100: 1 + floor(9,100 / 14) = 651 mini-batches of 64 each in 10 s: 166,656 images. 200,000 are asked for.
    asked = problem(group(choice(64, 14_000, 900_000), count=4), images=200_000, time=10_000_000)
    found = infeasible(asked)
    assert found.largest_images == 166_656
    assert found.extra_gpus == {"a": 1}
    assert found.earliest_us == 900_000 + 781 * 14_000, "200,000 / 4 / 64 = 781.25, so 782 mini-batches"
    assert found.possible_confidence is None, "not even the study's exact mode fits"


def test_where_only_the_study_s_exact_mode_fits_the_possible_confidence_is_a_half() -> None:
    # The two do 200 to the image, which leaves nothing to lose.
    asked = problem(group(choice(100, 10, 0), count=2), images=200, time=9, confidence=0.95, run=0.01, node=0.02)
    assert infeasible(asked).possible_confidence == 0.5


def test_a_confidence_that_no_pool_could_give_with_these_spreads_is_not_possible() -> None:
    # At 0.95 z times the nodes' spread is 0.66, at 0.999 it is 1.24: more than a device does.
    groups = group(choice(100, 10, 0), count=4)
    found = infeasible(problem(groups, images=240, time=9, confidence=0.95, run=0.3, node=0.4))
    assert found.possible_confidence is not None
    assert 0.5 < found.possible_confidence < 0.95


def test_at_the_study_s_exact_mode_there_is_no_lower_confidence_to_offer() -> None:
    assert infeasible(problem(group(choice(10, 10, 0)), images=11, time=9)).possible_confidence is None


def test_where_the_most_iterations_are_too_few_no_deadline_is_late_enough() -> None:
    found = infeasible(problem(group(choice(10, 10, 0)), images=50, time=1_000, max_iterations=3))
    assert found.earliest_us is None
    assert found.largest_images == 40
    assert found.extra_gpus == {"a": 1}


def test_a_class_that_is_not_warm_in_time_is_never_enough_however_many() -> None:
    groups = [group(choice(10, 10, 0), name="fast"), group(choice(10, 10, 500), name="slow")]
    assert infeasible(problem(*groups, images=60, time=9)).extra_gpus == {"fast": 5, "slow": None}


def test_extra_gpus_lift_the_most_that_may_be_used() -> None:
    asked = problem(group(choice(10, 10, 0), count=8), images=40, time=9, max_gpus=2)
    assert infeasible(asked).extra_gpus == {"a": 2}


def test_extra_gpus_are_free_now_although_those_of_the_pool_come_later() -> None:
    asked = problem(group(choice(10, 10, 0), count=2, free=5), images=30, time=4)
    assert infeasible(asked).extra_gpus == {"a": 3}


def test_what_a_hand_over_loses_may_be_more_than_a_gpu_adds() -> None:
    # A part is 64 images and a GPU does 64 by then: none adds anything.
    asked = problem(group(choice(64, 10, 0), count=9), images=10_000, time=9, confidence=0.95, part_size=64)
    assert infeasible(asked).extra_gpus == {"a": None}


def test_nothing_at_all_can_be_done_below_the_warm_up() -> None:
    found = infeasible(problem(group(choice(64, 100_000, 2_000_000), count=8), images=1, time=1_000_000))
    assert found.largest_images == 0
    assert found.earliest_us == 2_000_000


@pytest.mark.parametrize("images", [1, 10**12])
def test_the_largest_n_is_never_above_what_a_job_may_ask_for(images: int) -> None:
    asked = problem(group(choice(10**6, 1, 0), count=4_096), images=images, time=10**12)
    assert asked.largest_images() == 10**12


@examples(100)
@given(SMALL)
def test_each_alternative_alone_makes_the_job_feasible(question: Question) -> None:
    asked = problem_of(question)
    assume(asked.fewest() is None)
    found = find_alternatives(asked)
    if found.earliest_us is not None:
        assert replace(asked, time_us=found.earliest_us).fewest() is not None
    if found.largest_images:
        assert replace(asked, images=found.largest_images).fewest() is not None
    for name, more in found.extra_gpus.items():
        assert more is None or asked.with_more(name, more).fewest() is not None
    if found.possible_confidence is not None:
        assert replace(asked, confidence=found.possible_confidence).fewest() is not None


def test_a_class_twice_in_the_pool_is_one_class_to_ask_more_of() -> None:
    now, later = group(choice(10, 10, 0), count=1), group(choice(10, 10, 0), count=1, free=3)
    assert infeasible(problem(now, later, images=50, time=4)).extra_gpus == {"a": 3}
