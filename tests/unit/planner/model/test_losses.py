"""Losses of spot devices: how many are expected at a confidence, what they cost, and the plans that have them spare."""

from dataclasses import replace
from fractions import Fraction
from math import exp, fsum, lgamma, log

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dueby_planner.deadline_classes import make_plan
from dueby_planner.model.losses import HOUR_US, Losses, LossRate, SpotDevices, largest_losses, most_losses
from dueby_planner.model.plan import Plan
from dueby_planner.model.problem import Problem
from dueby_planner.model.proof import BOTH
from dueby_planner.model.verify import verify_fewest, verify_plan
from support.planner import choice, group, problem, problem_of, questions
from support.reference_planner import Question

SECOND = 1_000_000
# 100 images a second, warm after 10 s.
STEADY = choice(100, SECOND, 10 * SECOND)


@pytest.mark.parametrize(
    ("expected", "confidence", "losses"),
    [
        pytest.param(0.0, 0.999, 0, id="none is ever taken"),
        pytest.param(0.05, 0.95, 0, id="one is less likely than the confidence leaves"),
        pytest.param(0.06, 0.95, 1, id="one is more likely than that"),
        pytest.param(0.05, 0.99, 1, id="a higher confidence counts it"),
        pytest.param(4.0, 0.95, 8, id="twice as many as the mean"),
        pytest.param(4.0, 0.999, 11, id="and nearly three times"),
    ],
)
def test_losses_at_a_confidence(expected: float, confidence: float, losses: int) -> None:
    assert most_losses(expected, confidence) == losses


@given(st.floats(1e-3, 1e6), st.sampled_from([0.6, 0.95, 0.99, 0.999]))
def test_it_is_the_least_number_that_is_not_exceeded_at_the_confidence(expected: float, confidence: float) -> None:
    losses = most_losses(expected, confidence)

    def at_most(most: int) -> float:
        first = max(0, most - 30 - 30 * int(expected**0.5))
        return fsum(exp(n * log(expected) - expected - lgamma(n + 1)) for n in range(first, most + 1))

    assert at_most(losses) >= confidence - 1e-6
    assert at_most(losses - 1) < confidence + 1e-6


def spot_devices(*, per_hour: float = 1.0, replaced_s: int = 290, images: int = 1_000_000) -> SpotDevices:
    rate = LossRate(per_hour=per_hour, replaced_us=replaced_s * SECOND)
    return SpotDevices(rate=rate, image_us=Fraction(10_000), start_us=10 * SECOND, images=images, count=2)


@pytest.mark.parametrize(
    ("devices", "taken"),
    [
        # In an hour a device does 360,000 images; 0.99 of the times it is lost at most 4 times. Each time it is missing
        # for 300 s, and loses a part.
        pytest.param([spot_devices()], 4 * (30_000 + 50), id="a provisioning, a start and a part each"),
        pytest.param([spot_devices(images=1000)], 2 * 1000, id="no more than the devices do"),
        pytest.param([spot_devices(replaced_s=0)], 4 * (1000 + 50), id="another device is there at once"),
        pytest.param([spot_devices(replaced_s=0), spot_devices(per_hour=0.1)], 4 * 30_050, id="the worst of two"),
    ],
)
def test_what_losses_cost(devices: list[SpotDevices], taken: int) -> None:
    losses = largest_losses(devices)
    assert losses is not None
    assert losses.taken_away(360_000, 0.99, part=50) == taken


def test_where_none_is_ever_taken_nothing_is_lost() -> None:
    assert largest_losses([spot_devices(per_hour=0)]) is None
    assert Losses(per_image=Fraction(1, HOUR_US), images=10, most=100).taken_away(1, 0.99, part=1) == 0


def of_spot(per_hour: float, *, confidence: float = 0.95, images: int = 1_000_000, on_demand: int = 0) -> Problem:
    """Return a job of three hours of one device, with an hour of time on ten spot devices."""
    spot = replace(group(STEADY, count=10), losses=LossRate(per_hour=per_hour, replaced_us=600 * SECOND))
    kept = group(STEADY, name="kept", count=on_demand)
    return problem(spot, kept, images=images, time=3600 * SECOND, confidence=confidence)


@pytest.mark.parametrize(
    ("per_hour", "confidence", "devices"),
    [
        pytest.param(0, 0.95, 3, id="none is taken"),
        pytest.param(0.4, 0.95, 4, id="three losses of ten minutes are half an hour of a device"),
        pytest.param(0.4, 0.5, 3, id="the study knows of none"),
        pytest.param(4, 0.95, 6, id="seventeen losses are nearly three hours"),
        pytest.param(4, 0.999, 7, id="and twenty-three are nearly four"),
    ],
)
def test_a_plan_has_what_losses_cost_spare(per_hour: float, confidence: float, devices: int) -> None:
    plan = make_plan(of_spot(per_hour, confidence=confidence))
    assert isinstance(plan, Plan)
    assert (plan.gpus, plan.proof) == (devices, BOTH)
    assert plan.probability >= confidence


def test_a_probability_falls_with_the_rate_of_losses() -> None:
    plans = [make_plan(of_spot(rate)) for rate in (0.2, 0.4, 0.6)]
    assert [plan.gpus for plan in plans if isinstance(plan, Plan)] == [4, 4, 4]
    probabilities = [plan.probability for plan in plans if isinstance(plan, Plan)]
    assert probabilities == sorted(probabilities, reverse=True)
    assert probabilities[0] > probabilities[-1] >= 0.95


@given(questions(own=True), st.floats(0, 50), st.integers(0, 10**6))
def test_every_plan_with_losses_passes_the_exact_check(question: Question, per_second: float, replaced_us: int) -> None:
    kept = problem_of(question)
    assume(kept.pool.groups)
    rate = LossRate(per_hour=per_second * 3600, replaced_us=replaced_us)
    first, *others = kept.pool.groups
    spot = replace(kept, pool=replace(kept.pool, groups=(replace(first, losses=rate), *others)))
    fewest, before = spot.fewest(), kept.fewest()
    verify_fewest(spot, spot.most + 1 if fewest is None else fewest)
    assert before is None or fewest is None or fewest >= before
    plan = make_plan(spot)
    if isinstance(plan, Plan):
        verify_plan(spot, plan.groups, finish_at_confidence_us=plan.finish_at_confidence_us)
