"""Mini-batch sizes between measured ones: which there are, where their times come from, and how plans use them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from dueby_api.gpu_profile import GPUProfile, parse_profile
from dueby_planner.answer import answer_document
from dueby_planner.deadline_classes import Verdict, make_plan
from dueby_planner.model.plan import Infeasible, Plan
from dueby_planner.model.problem import Problem
from dueby_planner.profiles.class_profiles import aggregate
from dueby_planner.profiles.interpolation import interpolated_sizes, times_of
from dueby_planner.profiles.pool import build_pool
from support.planner import A100, job, problem_of, profile, profile_of, questions, step_document
from support.reference_planner import Question
from support.source_tree import REPOSITORY

PROFILES = REPOSITORY / "docs" / "profiles"
# 10 ms of launches, then 0.2 ms an image; W is three steps.
STEPS = [step_document(size, max(10_000, 200 * size), 3 * max(10_000, 200 * size)) for size in (1, 8, 32, 64, 128)]
MODEL = {
    "error": 0.1,
    "rows": 200,
    "predictions": [{"miniBatchSize": 96, "warmupMicros": {"p50": 50_000, "p95": 65_000}}],
}


def problem(*profiles: GPUProfile, images: int, time: int, interpolate: bool = True, **changes: Any) -> Problem:
    """Return a problem on 50 A100, by default at confidence 0.95."""
    spec = job(interpolate=interpolate).spec
    pool = build_pool(spec, profiles or (profile(steps=STEPS),), {A100: 50})
    fields: dict[str, Any] = {"images": images, "time_us": time, "confidence": 0.95} | changes
    return Problem(pool=pool, **fields)


def plan(asked: Problem) -> Plan:
    made = make_plan(asked)
    assert isinstance(made, Plan)
    return made


def test_a_gap_is_divided_into_eighths_and_a_small_one_into_all_whole_sizes() -> None:
    assert list(interpolated_sizes([1, 2, 4, 8, 16, 32])) == [3, 5, 6, 7, *range(9, 16), *range(18, 32, 2)]


def test_without_being_asked_for_only_measured_sizes_are_planned() -> None:
    sizes = [t.mini_batch_size for t in times_of(profile(steps=STEPS).spec, interpolate=False)]
    assert sizes == [1, 8, 32, 64, 128]


def test_nothing_above_mb_or_the_largest_measured_size_is_planned() -> None:
    bound = times_of(profile(steps=STEPS, maxMiniBatchSize=100).spec, interpolate=True)
    assert [t.mini_batch_size for t in bound][-5:] == [64, 72, 80, 88, 96]
    assert times_of(profile(steps=STEPS, maxMiniBatchSize=4096).spec, interpolate=True)[-1].mini_batch_size == 128


def test_measured_sizes_keep_what_was_measured() -> None:
    spec = profile(steps=STEPS).spec
    between = {t.mini_batch_size: t for t in times_of(spec, interpolate=True)}
    assert all(between[t.mini_batch_size] == t for t in times_of(spec, interpolate=False))


def test_the_warm_up_is_the_model_s_upper_quantile_where_there_is_a_model_else_the_next_larger_size_s() -> None:
    times = {t.mini_batch_size: t for t in times_of(profile(steps=STEPS, warmupModel=MODEL).spec, interpolate=True)}
    assert (times[96].warmup.p50, times[96].warmup.p95) == (50_000, 65_000)
    assert "W is the upper quantile of the warm-up model's prediction" in (times[96].interpolation or "")
    assert times[80].warmup.p95 == 3 * 25_600
    assert "W is that of mini-batches of 128" in (times[80].interpolation or "")
    assert times[64].warmup.p95 == 3 * 12_800, "measured"


def test_with_fewer_than_three_sizes_nothing_is_interpolated_and_a_warning_says_so() -> None:
    pool = build_pool(job(interpolate=True).spec, [profile()], {A100: 1})
    assert [c.mini_batch_size for c in pool.groups[0].choices] == [64, 256]
    assert pool.warnings == ("a100 has fewer than 3 mini-batch sizes, so no sizes between them are planned",)


def test_the_error_of_the_fit_is_margin_at_the_job_s_confidence_and_none_in_the_study_s_own_model() -> None:
    asked = problem(profile(steps=STEPS, latencyFit={"kind": "hinge", "error": 0.1}), images=1, time=10**9)
    (at_95,) = [c for c in asked.groups[0].choices if c.mini_batch_size == 96]
    assert (at_95.latency_us, at_95.latency_error_us) == (19_200, 1_920)
    assert at_95.planned_latency_us == 19_200 + 3_159, "1.645 standard errors"
    (exact,) = [c for c in replace(asked, confidence=0.5).groups[0].choices if c.mini_batch_size == 96]
    assert exact.planned_latency_us == 19_200
    assert all(c.planned_latency_us == c.latency_us for c in asked.groups[0].choices if not c.interpolation)


def test_a_plan_at_a_size_that_was_not_measured_says_so_wherever_it_is_read() -> None:
    # A single mini-batch: 64 images are too few, and 128 take too long.
    bare = profile(steps=STEPS, startupMicros={"p50": 0, "p95": 0}, warmupModel=MODEL)
    asked = problem(bare, images=90, time=70_000, confidence=0.5, max_iterations=0)
    made = plan(asked)
    (group,) = made.groups
    assert (group.count, group.choice.mini_batch_size) == (1, 96)
    (warning,) = made.warnings
    assert warning.startswith(f"mini-batches of 96 on {A100} were not measured: L is interpolated by the hinge fit")
    (document,) = answer_document(Verdict(action="Start", plan=made))["groups"]
    assert document["interpolated"] is True
    assert plan(replace(asked, pool=problem(bare, images=1, time=1, interpolate=False).pool)).gpus == 2


def test_the_expected_finish_is_of_the_fit_and_the_promise_of_the_fit_with_its_margin() -> None:
    only = profile(steps=STEPS, latencyFit={"kind": "hinge", "error": 0.2}, spread={"run": 0, "node": 0})
    asked = problem(only, images=900, time=6_700_000, confidence=0.95)
    made = plan(asked)
    for group in made.groups:
        planned_us = group.choice.start_us + group.iterations * group.choice.planned_latency_us
        assert group.expected_finish_us <= planned_us <= asked.time_us


def test_a_class_s_profile_of_its_nodes_has_a_fit_of_its_own_and_the_worst_of_their_predictions() -> None:
    other = MODEL | {"predictions": [{"miniBatchSize": 96, "warmupMicros": {"p50": 60_000, "p95": 61_000}}]}
    nodes = [
        profile(name="a", device={"node": "a"}, steps=STEPS, warmupModel=MODEL),
        profile(name="b", device={"node": "b"}, steps=STEPS, warmupModel=other),
    ]
    spec = aggregate(nodes).spec
    assert spec.latency_fit
    assert spec.latency_fit.kind == "hinge"
    assert spec.warmup_model
    (row,) = spec.warmup_model.predictions
    assert (row.warmup_micros.p50, row.warmup_micros.p95) == (55_000, 65_000)
    assert aggregate([*nodes, profile(name="c", device={"node": "c"}, steps=STEPS)]).spec.warmup_model is None


def interpolating(question: Question) -> Problem:
    """Return the question with sizes between the measured ones."""
    asked = problem_of(question)
    spec = job(interpolate=True, confidence=question.confidence).spec
    counts = {kind.name: kind.count for kind in question.kinds}
    return replace(asked, pool=build_pool(spec, [profile_of(kind) for kind in question.kinds], counts))


@given(questions(max_sizes=5))
def test_more_sizes_never_need_more_gpus(question: Question) -> None:
    without, between = make_plan(problem_of(question)), make_plan(interpolating(question))
    if isinstance(without, Plan):
        assert isinstance(between, Plan)
        assert between.gpus <= without.gpus
        assert not isinstance(without, Infeasible)


@given(questions(max_sizes=5, max_us=400))
def test_what_was_not_measured_is_always_marked(question: Question) -> None:
    made = make_plan(interpolating(question))
    assume(isinstance(made, Plan))
    assert isinstance(made, Plan)
    measured = {kind.name: {size.batch for size in kind.sizes} for kind in question.kinds}
    for group in made.groups:
        is_measured = group.choice.mini_batch_size in measured[group.device_class]
        assert bool(group.choice.interpolation) is not is_measured
        assert any(str(group.choice.interpolation) in warning for warning in made.warnings) is not is_measured


@pytest.mark.parametrize("path", sorted(PROFILES.glob("*.yaml")), ids=lambda path: path.stem)
@given(percent=st.integers(40, 100), seconds=st.integers(4, 60))
def test_on_a_profile_that_was_really_measured_the_fit_is_close_and_no_plan_is_worse(
    path: Path, percent: int, seconds: int
) -> None:
    measured = parse_profile(yaml.safe_load(path.read_text()))
    spec, name = job(interpolate=True).spec, measured.spec.device_class
    between = build_pool(spec, [measured], {name: 4})
    without = build_pool(spec.replace(interpolate=False), [measured], {name: 4})
    interpolated = [choice for choice in between.groups[0].choices if choice.interpolation]
    assert interpolated
    assert all(choice.latency_error_us < 0.15 * choice.latency_us for choice in interpolated)
    able = Problem(pool=without, images=1, time_us=seconds * 10**6, confidence=0.95).largest_images()
    assume(able * percent // 100)
    asked = Problem(pool=without, images=able * percent // 100, time_us=seconds * 10**6, confidence=0.95)
    assert plan(replace(asked, pool=between)).gpus <= plan(asked).gpus
