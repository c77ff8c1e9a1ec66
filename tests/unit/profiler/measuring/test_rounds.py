"""How a layout is measured within its time, on simulated machines: fast and slow ones, small ones, noisy ones."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_api.gpu_profile import parse_profile
from dueby_planner.model.rule import WIDE_SPREAD
from dueby_profiler.analysis.document import run_spread
from dueby_profiler.analysis.remarks import describe_certainty, describe_heat, remarks
from dueby_profiler.analysis.statistics import WANTED_SPREAD_ERROR, spread_error
from dueby_profiler.measuring.budget import Budget
from dueby_profiler.measuring.process_group import Crashed, OutOfMemory
from dueby_profiler.measuring.sweep import SweepEnd
from dueby_profiler.presets import ENOUGH_GROUPS, FULL, QUICK, Preset
from support.examples import examples
from support.profiler import SimulatedMachine, profile_of, some_measurements

machines = st.builds(
    SimulatedMachine,
    slices=st.integers(1, 8),
    startup_s=st.floats(0.5, 6.0),
    build_s=st.floats(0.01, 1.0),
    latency_s=st.builds(
        lambda fixed, each: lambda size: fixed + each * size, st.floats(0.0001, 0.05), st.floats(0.0001, 0.4)
    ),
    noise=st.floats(0.0, 0.15),
    image_mib=st.integers(1, 40),
    memory_mib=st.integers(500, 20_000),
    seed=st.integers(0, 1000),
)


@examples(60)
@given(machines, st.sampled_from([FULL, QUICK]), st.booleans())
def test_the_time_is_kept_and_the_profile_is_valid(machine: SimulatedMachine, preset: Preset, gpu: bool) -> None:
    began_s = machine.now_s
    survey = machine.measured(preset, gpu=gpu)
    assert machine.now_s - began_s <= 1.05 * preset.on(gpu=gpu).layout_s
    profile = profile_of(survey)
    assert parse_profile(profile.document()) == profile
    assert profile.spec.startup_micros is not None
    assert profile.spec.steps[0].mini_batch_size == 1


@examples(20)
@given(st.integers(1, 8), st.integers(0, 100))
def test_a_full_profile_of_the_demos_model_has_enough_groups_and_three_warm_ups(slices: int, seed: int) -> None:
    spec = profile_of(SimulatedMachine(slices=slices, seed=seed).measured(FULL)).spec
    assert spec.processes is not None
    assert spec.processes >= ENOUGH_GROUPS * slices
    assert sum(step.warmup_micros is not None for step in spec.steps) == 3
    assert sum(step.memory_mib is not None for step in spec.steps) == 3


def test_more_rounds_follow_until_it_is_known_how_widely_rounds_differ() -> None:
    found = SimulatedMachine(moments=0.2, noise=0.003).measured(FULL).found
    assert spread_error(found.groups - 1) > WANTED_SPREAD_ERROR >= spread_error(found.groups)
    spread = run_spread(found)
    assert spread is not None
    assert spread > WIDE_SPREAD


def test_a_wide_spread_takes_no_more_time_than_there_is() -> None:
    machine = SimulatedMachine(moments=0.2, noise=0.003, latency_s=lambda size: 0.005 * size)
    began_s = machine.now_s
    survey = machine.measured(QUICK)
    assert survey.found.groups > ENOUGH_GROUPS
    assert spread_error(survey.found.groups) > WANTED_SPREAD_ERROR
    assert survey.budget.left_s < survey.round_s
    assert machine.now_s - began_s <= QUICK.layout_s


def test_rounds_that_agree_are_no_more_than_before() -> None:
    survey = SimulatedMachine(noise=0.003).measured(FULL)
    assert survey.found.groups == ENOUGH_GROUPS
    assert survey.budget.left_s > survey.round_s


def test_one_gpu_of_which_the_spread_is_not_known_is_enough_for_more_rounds() -> None:
    machine = SimulatedMachine(moments=0.2, noise=0.003, steady_slices=1)
    survey = machine.measured(FULL, gpu=True)
    assert len(survey.groups.every) > ENOUGH_GROUPS


def test_each_gpu_is_measured_by_enough_processes_of_its_own() -> None:
    survey = SimulatedMachine(slices=4).measured(FULL, gpu=True)
    assert survey.found.of_device(2, 4).processes >= ENOUGH_GROUPS
    assert len(survey.found.of_device(2, 4).startups_us) == len(survey.groups.every) - 1


# Launches take 1.2 ms, and the knee is at 14 images.
A_GPU = partial(SimulatedMachine, slices=1, noise=0.003, latency_s=lambda size: max(0.0012, size / 12_000))


@pytest.mark.parametrize(
    ("startup_s", "build_s"), [(6, 1.0), (10, 1.5), (10, 2.5), (15, 2.5), (20, 3.0)], ids=lambda seconds: f"{seconds} s"
)
@pytest.mark.parametrize("preset", [QUICK, FULL], ids=lambda preset: preset.name)
def test_a_gpu_is_measured_past_its_knee_however_long_start_and_build_take(
    preset: Preset, startup_s: float, build_s: float
) -> None:
    machine = A_GPU(startup_s=startup_s, build_s=build_s)
    survey = machine.measured(preset, gpu=True)
    assert (survey.end, survey.found.sizes) == (SweepEnd.FLAT, [1, 8, 32, 64, 128])
    assert survey.found.groups >= 4
    assert machine.now_s <= survey.budget.end_s + 5


@pytest.mark.parametrize("preset", [QUICK, FULL], ids=lambda preset: preset.name)
def test_an_engine_that_takes_half_a_minute_to_build_is_measured_past_the_knee(preset: Preset) -> None:
    machine = A_GPU(startup_s=10, build_s=30)
    survey = machine.measured(preset, engine="inductor")
    assert (survey.end, survey.found.sizes) == (SweepEnd.FLAT, [1, 8, 32, 64, 128])
    assert survey.found.groups >= 2
    assert machine.now_s <= survey.budget.end_s + 30


def test_each_size_of_a_gpu_is_measured_for_half_a_second_and_thirty_steps() -> None:
    survey = A_GPU(noise=0.0).measured(QUICK, gpu=True)
    for size in survey.found.sizes:
        for visit in survey.found.visits[size]:
            assert len(visit.durations_us) >= 30
            assert sum(visit.durations_us) >= 490_000


def test_the_steps_of_a_gpu_are_those_of_a_hot_one() -> None:
    cool = {
        step.mini_batch_size: step.latency_micros.mean
        for step in profile_of(A_GPU().measured(QUICK, gpu=True)).spec.steps
    }
    survey = A_GPU(heat=1.5, hot_after_s=15.0).measured(QUICK, gpu=True)
    assert survey.found.heat == pytest.approx(1.5, rel=0.02)
    hot = {step.mini_batch_size: step.latency_micros.mean for step in profile_of(survey).spec.steps}
    assert hot == pytest.approx({size: 1.5 * mean for size, mean in cool.items()}, rel=0.05)
    assert [*describe_heat(survey.gpu_states[0], survey.found.heat)] == [
        "at the end of a run under full load: SM clock 900 MHz",
        "its clock was held down: the power limit is reached",
        "steps took 1.50 times as long when it was hot, and all latencies are those",
    ]


def test_cores_are_not_heated() -> None:
    assert SimulatedMachine(heat=1.5).measured(QUICK).found.heat == 1.0


@pytest.mark.parametrize("gpu", [False, True], ids=["cores", "GPU"])
def test_what_decoding_costs_beside_the_model_is_in_the_profile(gpu: bool) -> None:
    survey = SimulatedMachine(contention=1.3).measured(QUICK, gpu=gpu)
    assert profile_of(survey).spec.contention == pytest.approx(1.3)
    # Of a GPU while it is hot, and has its engine of the fastest size; of cores in the first round.
    measured = [bool(group.found.contentions) for group in survey.groups.every]
    assert [number for number, is_there in enumerate(measured) if is_there] == [0 if gpu else 1]


def test_each_gpu_has_its_own_contention() -> None:
    survey = SimulatedMachine(slices=4).measured(QUICK, gpu=True)
    assert [len(found.contentions) for found in survey.groups.counted_by_profile] == [1, 1, 1, 1]


def test_what_a_gpus_worker_makes_of_its_cores_is_measured_once() -> None:
    machine = SimulatedMachine(threads=12, serial_us=250.0)
    survey = machine.measured(QUICK, gpu=True)
    assert [len(group.found.decodings) for group in survey.groups.every[:3]] == [0, machine.slices, 0]
    spec = profile_of(survey).spec
    assert spec.serial_micros == 250
    rates = [(rate.cores, rate.images_per_second) for rate in spec.decoding]
    assert rates == [(1, 500), (2, 1000), (4, 2000), (8, 4000), (12, 4000)]
    assert survey.groups.counted_by_profile[1].decodings == survey.found.decodings[1:2]
    on_cores = profile_of(SimulatedMachine().measured(QUICK)).spec
    assert (on_cores.serial_micros, on_cores.decoding) == (None, ())


def test_a_start_up_that_takes_nearly_all_of_the_time_still_gives_a_profile() -> None:
    machine = SimulatedMachine(startup_s=0.9 * QUICK.layout_s)
    survey = machine.measured(QUICK)
    assert machine.groups == 1
    spec = profile_of(survey).spec
    assert spec.steps[-1].warmup_micros is not None
    clauses = " ".join(remarks(survey.groups, end=survey.end))
    assert "no time was left for fresh processes" in clauses


def test_a_size_that_is_killed_ends_the_growth_and_is_no_crash() -> None:
    survey = SimulatedMachine(latency_s=lambda size: 0.05, killed_from=16).measured(QUICK)
    assert survey.end is SweepEnd.MEMORY
    spec = profile_of(survey).spec
    assert [step.mini_batch_size for step in spec.steps] == [1, 2, 4, 8]
    assert (spec.max_mini_batch_size, spec.extrapolated) == (8, False)


def test_a_crash_at_a_larger_size_keeps_the_smaller_ones_and_says_why() -> None:
    survey = SimulatedMachine(latency_s=lambda size: 0.05, crashes_from=16).measured(QUICK)
    assert (survey.end, survey.failed_size) == (SweepEnd.CRASH, 16)
    spec = profile_of(survey).spec
    assert ([step.mini_batch_size for step in spec.steps], spec.max_mini_batch_size) == ([1, 2, 4, 8], 8)
    clauses = " ".join(remarks(survey.groups, end=survey.end, crash=survey.crash))
    assert "a larger mini-batch crashed (a measuring process ended with exit code 1: RuntimeError: no)" in clauses


def test_a_crash_at_the_first_size_is_the_engines() -> None:
    with pytest.raises(Crashed):
        SimulatedMachine(crashes_from=1).measured(QUICK)


def test_the_hosts_memory_beside_a_gpus_is_measured_and_bounds_the_mini_batch() -> None:
    spec = profile_of(SimulatedMachine(host_mib=5000).measured(QUICK, gpu=True)).spec
    measured = {step.mini_batch_size: step.host_memory_mib for step in spec.steps if step.memory_mib}
    assert measured == {size: 2000 + 2 * size for size in measured}
    assert spec.max_mini_batch_size == 1500


def test_memory_that_shrinks_later_takes_the_larger_sizes_away() -> None:
    machine = SimulatedMachine(latency_s=lambda size: 0.05)
    survey = machine.survey(FULL)
    survey.explore()
    assert survey.found.sizes[-1] > 4
    machine.killed_from = 4
    survey.measure()
    assert [step.mini_batch_size for step in profile_of(survey).spec.steps] == [1, 2]


def test_a_model_of_which_not_one_image_fits_is_out_of_memory() -> None:
    with pytest.raises(OutOfMemory, match="mini-batch of 1 image"):
        SimulatedMachine(killed_from=1).measured(QUICK)


def test_a_size_that_would_not_fit_is_not_tried() -> None:
    survey = SimulatedMachine(latency_s=lambda size: 0.05, memory_mib=464, killed_from=17).measured(QUICK)
    spec = profile_of(survey).spec
    assert (survey.end, survey.failed_size) == (SweepEnd.MEMORY, None)
    assert (spec.max_mini_batch_size, spec.extrapolated) == (16, False)


def test_the_remark_on_the_spread_names_the_number_of_starts_that_widen_it() -> None:
    three = describe_certainty(some_measurements({8: [9900, 10_000, 10_100]}))
    assert "widened because 3 starts were measured" in three
    five = describe_certainty(some_measurements({8: [9900, 10_000, 10_000, 10_000, 10_100]}))
    assert "widened because 5 starts were measured" in five


def test_the_remark_on_a_wide_spread_says_what_to_do_about_it() -> None:
    narrow = describe_certainty(some_measurements({8: [9900, 10_000, 10_000, 10_000, 10_100]}))
    assert "close other programs" not in narrow
    wide = describe_certainty(some_measurements({8: [8000, 10_000, 10_000, 10_000, 13_000]}))
    assert wide.endswith(
        "spare; to keep less, close other programs and profile again when the machine is idle; if it is always as "
        "busy, jobs need this spare time"
    )


def test_a_budget_gives_shares_of_what_is_left() -> None:
    now = [0.0]
    budget = Budget.starting(100, lambda: now[0])
    now[0] = 20
    half = budget.share(0.5)
    assert (budget.left_s, half.left_s, half.without(10).left_s) == (80, 40, 30)
    now[0] = 70
    assert (budget.left_s, half.left_s) == (30, 0)
