"""From a question to a plan: every figure as the reference's, the steps in their order, and the edges of each."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import support.reference_planner as reference
from dueby_planner.deadline_classes import make_plan
from dueby_planner.model.plan import Infeasible, Plan, plan_earliest
from support.examples import examples
from support.planner import choice, group, planned, problem, problem_of, questions
from support.reference_planner import Kind, Question, Size

STUDY = 0.5


def rows(plan: Plan) -> list[tuple[str, int, int, int]]:
    """Return (class, count, mini-batch size, iterations) of each group, by class."""
    return sorted((g.device_class, g.count, g.choice.mini_batch_size, g.iterations) for g in plan.groups)


@examples(400)
@given(questions(own=True))
def test_every_figure_is_the_reference_s(question: Question) -> None:
    found, expected = make_plan(problem_of(question)), reference.plan(question)
    if expected is None:
        assert isinstance(found, Infeasible)
        return
    assert isinstance(found, Plan)
    assert found.probability == pytest.approx(expected.pop("probability"), abs=1e-9)
    assert expected == {
        "gpus": found.gpus,
        "partSize": found.part_size,
        "planned": found.planned_images,
        "expected": found.expected_finish_us,
        "slack": found.slack_us,
        "groups": rows(found),
    }
    assert found.lower_bound == found.gpus
    assert found.proof == "ClosedForm+CBC"
    assert found.is_in_time


def test_the_study_s_own_model_as_one_would_work_it_out_on_paper() -> None:
    # One A100: 64 images in 14 ms after a first 900 ms. In 10 s: 1 + floor(9.1 s / 14 ms) = 651 mini-batches.
    a100 = Kind(name="a100", count=8, sizes=(Size(batch=64, latency=14_000, warmup=(900_000, 990_000)),))
    plan = planned(problem_of(Question(kinds=(a100,), images=200_000, time=10_000_000, confidence=STUDY)))
    assert plan.gpus == 5, "4 x 651 x 64 = 166,656 and 5 x 651 x 64 = 208,320"
    assert plan.max_images_of_fewer == 166_656
    assert rows(plan) == [("a100", 5, 64, 624)], "625 x 64 x 5 = 200,000: no more than asked for"
    assert plan.planned_images == 200_000
    assert plan.expected_finish_us == 900_000 + 624 * 14_000


@pytest.mark.parametrize(
    ("images", "fewest"),
    [
        pytest.param(166_656, 4, id="what four do to the image"),
        pytest.param(166_657, 5, id="an image more"),
        pytest.param(651 * 64 * 8, 8, id="all there is"),
        pytest.param(651 * 64 * 8 + 1, None, id="an image more than there is"),
    ],
)
def test_the_study_s_own_model_has_no_margin_at_all(images: int, fewest: int | None) -> None:
    asked = problem(group(choice(64, 14_000, 900_000), count=8), images=images, time=10_000_000, run=0.1, node=0.1)
    assert asked.fewest() == fewest


def test_a_frozen_grid_is_kept_and_its_parts_are_what_a_hand_over_loses() -> None:
    # Each GPU does 96 x 64 = 6,144 by then.
    asked = problem(group(choice(64, 100, 500), count=10), images=20_000, time=10_000, confidence=0.95)
    assert planned(asked).gpus == 4, "4 x (6,144 - P0 = 64)"
    coarse = planned(replace(asked, part_size=4_096))
    assert (coarse.gpus, coarse.part_size) == (10, 4_096), "10 x (6,144 - 4,096) = 20,480"


def test_in_the_exact_mode_a_frozen_grid_counts_whole_parts() -> None:
    asked = problem(group(choice(64, 100, 500), count=10), images=20_000, time=10_000, part_size=4_096)
    assert planned(asked).gpus == 5, "6,144 images are one part of 4,096"


def test_sizes_are_those_of_the_earliest_finish_not_of_the_largest_capacity_at_the_deadline() -> None:
    # By 110 us the large size does 300 images and the small one 280; but 150 are done at 56 us by the small one alone.
    asked = problem(group(choice(10, 4, 0), choice(100, 45, 20)), images=150, time=110, part_size=1)
    assert asked.capacities()[0].choice.mini_batch_size == 100
    plan = planned(asked)
    assert rows(plan) == [("a", 1, 10, 14)]
    assert plan.finish_at_confidence_us == 56


def test_equally_fast_classes_are_taken_by_name() -> None:
    groups = [group(choice(8, 10, 0), name=name, count=2) for name in ("b", "a", "c")]
    assert rows(planned(problem(*groups, images=24, time=9))) == [("a", 2, 8, 0), ("b", 1, 8, 0)]


def test_of_sizes_with_the_same_finish_the_smallest_is_taken() -> None:
    plan = planned(problem(group(choice(8, 10, 0), choice(16, 20, 0), choice(32, 40, 0)), images=64, time=300))
    assert rows(plan) == [("a", 1, 32, 1)], "by 40 us the largest has done 64, the others 40 and 48"
    plan = planned(problem(group(choice(8, 10, 7), choice(16, 20, 17), choice(32, 40, 37)), images=64, time=300))
    assert rows(plan) == [("a", 1, 8, 7)], "all three have done 64 at 77 us"


def test_iterations_end_together_and_are_no_more_than_needed() -> None:
    fast, slow = group(choice(10, 10, 0), name="fast"), group(choice(10, 30, 0), name="slow")
    plan = planned(problem(fast, slow, images=80, time=1_000, max_gpus=2))
    assert plan.gpus == 1
    plan = planned(problem(fast, slow, images=80, time=60))
    assert rows(plan) == [("fast", 1, 10, 5), ("slow", 1, 10, 1)]
    assert plan.expected_finish_us == 50


def test_the_expected_finish_is_of_the_medians_and_the_promise_of_the_95th_percentiles() -> None:
    late_start = choice(10, 10, start_us=50, expected_start_us=20)
    plan = planned(problem(group(late_start), images=40, time=200, confidence=0.95, part_size=1))
    assert rows(plan) == [("a", 1, 10, 3)]
    assert plan.expected_finish_us == 20 + 3 * 10
    assert plan.finish_at_confidence_us == 50 + 4 * 10, "an image is lost at the hand-over, so a mini-batch more"
    plan = planned(problem(group(late_start), images=40, time=200, part_size=1))
    assert plan.finish_at_confidence_us == plan.expected_finish_us


def test_no_device_gets_more_than_it_can_finish_with_the_start_that_is_planned_with() -> None:
    steady = group(choice(10, 10, 0), name="steady", count=1)
    jumpy = group(choice(10, 10, start_us=90, expected_start_us=0), name="jumpy", count=1)
    plan = planned(problem(steady, jumpy, images=119, time=100, confidence=0.95))
    assert rows(plan) == [("jumpy", 1, 10, 1), ("steady", 1, 10, 9)]


def test_a_device_that_is_not_warm_by_the_common_finish_does_its_first_mini_batch() -> None:
    steady, late = group(choice(10, 10, 0), name="steady"), group(choice(10, 10, 95), name="late")
    # By 99 us the steady one has done 100 at the most. It ends at 90; the late one's first 10 images are there at 95.
    plan = planned(problem(steady, late, images=105, time=99))
    assert rows(plan) == [("late", 1, 10, 0), ("steady", 1, 10, 9)]
    assert plan.expected_finish_us == 95


def test_devices_that_come_free_later_are_planned_from_then() -> None:
    plan = planned(problem(group(choice(10, 10, 5), free=100), images=50, time=200))
    assert plan.expected_finish_us == 145
    assert plan.groups[0].available_us == 100


def test_the_most_iterations_bound_every_device() -> None:
    asked = problem(group(choice(10, 1, 0), count=9), images=50, time=10**9, max_iterations=0)
    assert rows(planned(asked)) == [("a", 5, 10, 0)]


@examples(60)
@given(
    st.lists(st.tuples(st.integers(1, 512), st.integers(10**3, 10**6), st.integers(1, 256)), min_size=1, max_size=16),
    st.integers(1, 10**12),
    st.integers(1, 10**16),
    st.sampled_from([0.5, 0.95, 0.999]),
)
def test_any_n_to_a_million_millions_on_4096_gpus_has_a_verified_answer(
    pool: list[tuple[int, int, int]], images: int, time: int, confidence: float
) -> None:
    groups = [
        group(choice(b, latency, 3 * latency), choice(2 * b, 2 * latency, 5 * latency), name=f"{i:02}", count=n)
        for i, (b, latency, n) in enumerate(pool)
    ]
    asked = problem(*groups, images=images, time=time, confidence=confidence, run=0.02, node=0.03)
    found = make_plan(asked)
    if isinstance(found, Plan):
        assert found.planned_images >= images
        assert found.expected_finish_us <= time
        assert asked.fewest() == found.gpus
    else:
        assert found.alternatives.largest_images < images


# ---- late plans


@examples(100)
@given(questions(own=True))
def test_the_plan_that_ends_earliest_ends_at_the_earliest_deadline_and_is_late(question: Question) -> None:
    asked = problem_of(question)
    assume(asked.fewest() is None)
    earliest_us = asked.earliest_us()
    late = plan_earliest(asked)
    if earliest_us is None:
        assert late is None
        return
    assert late is not None
    assert late.slack_us == question.time - earliest_us < 0
    assert not late.is_in_time
    at_the_earliest = reference.plan(replace(question, time=earliest_us))
    assert at_the_earliest is not None
    assert rows(late) == at_the_earliest["groups"]


def test_a_late_plan_is_late_even_where_its_parts_lose_less_than_is_assumed() -> None:
    # Ten are taken to lose 50, and lose 40 with the parts of the plan, which are 4: with those they would be in time.
    asked = problem(group(choice(1, 10, 0), count=10), images=5_000, time=5_030, confidence=0.95)
    assert asked.fewest() is None
    late = plan_earliest(asked)
    assert late is not None
    assert late.part_size == 4
    assert late.slack_us == 5_030 - 5_040


def test_a_late_plan_that_may_be_later_for_fewer_devices_is_not_later_for_larger_parts() -> None:
    asked = problem(
        group(choice(10, 100_000, 0), count=8), images=4000, time=2_000_000, confidence=0.95, run=0.02, node=0.02
    )
    soonest, later = plan_earliest(asked), plan_earliest(asked, slower=Fraction(1, 10))
    assert soonest is not None
    assert later is not None
    assert later.gpus == soonest.gpus == 8
    assert later.finish_at_confidence_us == soonest.finish_at_confidence_us


def test_what_the_model_does_not_finish_by_any_time_has_no_late_plan() -> None:
    assert plan_earliest(problem(group(choice(10, 1, 0)), images=50, time=10, max_iterations=3)) is None


# ---- the proof


def test_above_a_million_images_a_gpu_cbc_is_an_image_short_and_the_proof_is_the_closed_form_s() -> None:
    each = 3_001_000
    asked = problem(group(choice(1_000, 1, 0), count=9), images=7 * each + 1, time=3_000)
    plan = planned(asked)
    assert plan.gpus == 8
    assert plan.max_images_of_fewer == 7 * each
    assert plan.proof == "ClosedForm"
    assert any("solver" in warning for warning in plan.warnings)


def test_solving_proving_and_verifying_is_timed() -> None:
    assert planned(problem(group(choice(10, 10, 0)), images=50, time=100)).solve_us > 0
