"""Rounds during which other programs use the cores: they are made again, and left out or said to be in the profile."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_profiler.analysis.groups import MIN_QUIET_GROUPS
from dueby_profiler.analysis.remarks import remarks
from dueby_profiler.measuring.rounds import Survey
from dueby_profiler.presets import ENOUGH_GROUPS, FULL, QUICK, Preset
from support.examples import examples
from support.profiler import Burst, SimulatedMachine, profile_of

# Exploring takes 8 s, each round about 10 s.
EXPLORING, FIRST_ROUND, LATER = 1000.0, 1010.0, 1030.0


def a_quiet_machine(*bursts: Burst) -> SimulatedMachine:
    return SimulatedMachine(noise=0.003, bursts=list(bursts))


def said(survey: Survey) -> str:
    return "; ".join(remarks(survey.groups, end=survey.end))


def latencies_us(survey: Survey) -> dict[int, int]:
    return {step.mini_batch_size: step.latency_micros.mean for step in profile_of(survey).spec.steps}


@pytest.mark.parametrize("begin_s", [EXPLORING, FIRST_ROUND, LATER])
def test_a_disturbed_group_is_left_out_and_another_one_is_made(begin_s: float) -> None:
    quiet = a_quiet_machine().measured(FULL)
    survey = a_quiet_machine(Burst(begin_s=begin_s, end_s=begin_s + 5)).measured(FULL)
    assert len(survey.groups.every) == ENOUGH_GROUPS + 1
    assert len(survey.groups.counting) == ENOUGH_GROUPS
    assert not survey.groups.is_disturbed
    assert "the times leave out 1 of 6 starts, because other programs used up to " in said(survey)
    assert "5 starts were measured" in said(survey)
    assert latencies_us(survey) == pytest.approx(latencies_us(quiet), rel=0.02)
    spec = profile_of(survey).spec
    assert spec.spread.run is not None
    assert spec.spread.run < 0.02
    assert sum(step.warmup_micros is not None for step in spec.steps) == 3


def test_contention_is_measured_again_where_it_was_disturbed() -> None:
    survey = a_quiet_machine(Burst(begin_s=FIRST_ROUND, end_s=FIRST_ROUND + 5)).measured(FULL)
    assert [bool(group.found.contentions) for group in survey.groups.every] == [False, True, True, False, False, False]
    assert len(survey.groups.counted.contentions) == survey.groups.slices


def test_with_too_few_quiet_groups_all_are_kept_and_the_profile_says_so() -> None:
    survey = a_quiet_machine(Burst(begin_s=FIRST_ROUND)).measured(QUICK)
    assert len(survey.groups.quiet) < MIN_QUIET_GROUPS
    assert survey.groups.counting == survey.groups.every
    assert survey.groups.is_disturbed
    assert "leave out" not in said(survey)


def test_a_machine_that_is_always_busy_gets_its_profile_in_time() -> None:
    machine = a_quiet_machine(Burst())
    survey = machine.measured(FULL)
    assert machine.now_s - 1000 <= 1.05 * FULL.layout_s
    assert survey.groups.is_disturbed
    spec = profile_of(survey).spec
    assert sum(step.warmup_micros is not None for step in spec.steps) == 3


@examples(60)
@given(
    st.lists(st.tuples(st.floats(0, 85), st.floats(0, 40), st.floats(0, 2)), max_size=3),
    st.sampled_from([FULL, QUICK]),
    st.booleans(),
    st.integers(0, 1000),
)
def test_the_time_is_kept_whenever_others_work(
    bursts: list[tuple[float, float, float]], preset: Preset, gpu: bool, seed: int
) -> None:
    machine = SimulatedMachine(seed=seed)
    machine.bursts = [
        Burst(begin_s=1000 + at_s, end_s=1000 + at_s + for_s, cores=cores) for at_s, for_s, cores in bursts
    ]
    survey = machine.measured(preset, gpu=gpu)
    assert machine.now_s - 1000 <= 1.05 * preset.on(gpu=gpu).layout_s
    spec = profile_of(survey).spec
    assert spec.steps[-1].warmup_micros is not None
    disturbed = [group for group in survey.groups.counting if group.foreign_cores > survey.target.allowed_cores]
    assert not disturbed or survey.groups.is_disturbed
