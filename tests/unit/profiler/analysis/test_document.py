"""From measurements to a GPUProfile: which steps count, how times are summed up, and how the profile is named."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_api.gpu_profile import Device, parse_profile
from dueby_api.inference_job import Model
from dueby_profiler.analysis.document import build_profile, contention_factor, own_start, profile_name, run_spread
from dueby_profiler.analysis.memory import Largest
from dueby_profiler.analysis.points import Measurements, while_all_busy
from dueby_profiler.measuring.messages import Point
from support.profiler import a_point, some_facts, some_measurements

MB = Largest(mini_batch_size=64, extrapolated=True)


def test_only_steps_while_every_slice_was_busy_count() -> None:
    early = a_point(starts_us=0, durations_us=[100] * 10)
    late = a_point(starts_us=250, durations_us=[100] * 10)
    assert [len(durations) for durations in while_all_busy([early, late])] == [7, 7]


def test_a_slice_that_was_busy_longer_gives_up_its_last_steps() -> None:
    short, long = a_point(starts_us=0, durations_us=[100] * 5), a_point(starts_us=0, durations_us=[100] * 9 + [900])
    assert while_all_busy([short, long]) == [(100,) * 5, (100,) * 5]


def test_where_no_step_lies_within_the_common_time_the_last_one_counts() -> None:
    quick, slow = a_point(starts_us=0, durations_us=[10] * 5), a_point(starts_us=30, durations_us=[400])
    assert while_all_busy([quick, slow]) == [(10, 10), (400,)]


@given(
    st.lists(
        st.builds(
            lambda start, steps: a_point(starts_us=start, durations_us=steps),
            st.integers(0, 10_000),
            st.lists(st.integers(1, 1000), min_size=1, max_size=30),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_every_process_keeps_at_least_one_of_its_own_steps(points: list[Point]) -> None:
    for point, durations in zip(points, while_all_busy(points)):
        own = [b - a for a, b in zip((point.started_us, *point.ended_us), point.ended_us, strict=False)]
        assert durations
        assert any(own[i : i + len(durations)] == list(durations) for i in range(len(own)))


def test_the_mean_is_over_processes_and_quantiles_are_over_steps() -> None:
    found = Measurements()
    found.add_steady(0, [a_point(starts_us=0, durations_us=[100] * 98 + [1000])])
    found.add_steady(1, [a_point(starts_us=0, durations_us=[200])])
    found.warmups_us[8].append(500)
    found.startups_us.append(3_000_000)
    (step,) = build_profile(found, some_facts(), MB).spec.steps
    assert step.latency_micros.mean == 155  # (109.09 + 200) / 2, rounded up
    assert (step.latency_micros.p50, step.latency_micros.p95, step.samples) == (100, 100, 100)


def test_times_are_rounded_up() -> None:
    found = some_measurements({1: [100, 101, 101]})
    assert build_profile(found, some_facts(), MB).spec.steps[0].latency_micros.mean == 101


def test_a_size_with_few_warm_ups_borrows_the_stretch_of_all() -> None:
    found = some_measurements({1: [100], 8: [800]}, warmups_us={1: [1000], 8: [2000, 2000, 2000, 2000, 3000]})
    first, last = build_profile(found, some_facts(), MB).spec.steps
    assert last.warmup_micros is not None
    assert (last.warmup_micros.p50, last.warmup_micros.p95) == (2000, 3000)
    assert first.warmup_micros is not None
    assert (first.warmup_micros.p50, first.warmup_micros.p95) == (1000, 1500)


def test_the_largest_size_takes_a_rough_warm_up_rather_than_none() -> None:
    found = some_measurements({1: [100], 8: [800]}, warmups_us={1: [1000]})
    found.rough_warmups_us[8] = 1300
    last = build_profile(found, some_facts(), MB).spec.steps[-1]
    assert last.warmup_micros is not None
    assert last.warmup_micros.p50 == 1300


def test_a_size_without_warm_ups_says_nothing_of_them() -> None:
    found = some_measurements({1: [100], 4: [400], 8: [800]})
    assert [s.warmup_micros is None for s in build_profile(found, some_facts(), MB).spec.steps] == [True, True, False]


@pytest.mark.parametrize(
    ("means", "spread"),
    [
        pytest.param({8: [1000]}, None, id="one process has none"),
        pytest.param({8: [1000] * 4}, 0.02, id="four that agree: no less than what a plan would assume"),
        pytest.param({8: [1000] * 5}, 0.0, id="five that agree"),
        pytest.param({8: [950, 1000, 1000, 1000, 1050]}, 0.0502, id="five: 3.5 % taken 1.4 times as wide"),
        pytest.param({8: [950, 1050]}, 0.3324, id="two: 7 % taken 4.7 times as wide"),
        pytest.param({4: [475, 525], 8: [950, 1050]}, 0.3324, id="two sizes alike: no more groups for that"),
        pytest.param({4: [500, 500], 8: [950, 1050]}, 0.1919, id="slow at one of two sizes: half is of the moment"),
        pytest.param(
            {4: [525, 475], 8: [950, 1050]}, 0.1919, id="slow at one, fast at the other: L alone is uncertain"
        ),
        pytest.param({4: [500, 500], 8: [950, 1050, 1000]}, 0.061, id="a third that shares but one size"),
        pytest.param({8: [500, 1500]}, 0.99, id="never wider than a profile may say"),
    ],
)
def test_the_spread_of_few_processes_is_taken_wider(means: dict[int, list[int]], spread: float | None) -> None:
    assert run_spread(some_measurements(means)) == spread


def test_processes_side_by_side_are_one_sample_of_a_moment() -> None:
    means = {8: [900, 1000, 1000, 1000, 1000, 1100]}  # by twos 950, 1000 and 1050
    together = replace(some_measurements(means), group_size=2)
    assert (together.groups, together.group_means_us(8)) == (3, {0: 950, 1: 1000, 2: 1050})
    assert run_spread(together) == run_spread(some_measurements({8: [950, 1000, 1050]}))


@pytest.mark.parametrize(
    ("startups_us", "size", "share"),
    [
        pytest.param([90, 110, 110, 90, 95, 105, 100, 100], 2, 1.0, id="four groups whose means agree"),
        pytest.param([90, 90, 110, 110, 95, 95, 105, 105], 2, 0.0, id="all in common"),
        pytest.param([90, 110, 110, 90, 95, 105], 2, None, id="too few groups"),
        pytest.param([90, 110, 110, 90, 95], 1, None, id="processes alone"),
    ],
)
def test_a_start_has_alone_what_processes_side_by_side_differ_by(
    startups_us: list[int], size: int, share: float | None
) -> None:
    found = replace(some_measurements({8: [1000]}, startups_us=startups_us), group_size=size)
    assert own_start(found) == share


@pytest.mark.parametrize(
    ("startups_us", "p95"),
    [
        pytest.param([3_000_000], 3_000_000, id="one says nothing of the next"),
        pytest.param([3_000_000, 3_300_000], 3_300_000, id="nor do two"),
        pytest.param([3_000_000] * 3, 3_000_000, id="three that agree"),
        pytest.param([2_850_000, 3_000_000, 3_150_000], 3_551_453, id="three that differ"),
    ],
)
def test_the_next_start_up_may_be_later_than_any_of_the_few_that_were_seen(startups_us: list[int], p95: int) -> None:
    found = build_profile(some_measurements({8: [1000]}, startups_us=startups_us), some_facts(), MB)
    assert found.spec.startup_micros is not None
    assert found.spec.startup_micros.p95 == pytest.approx(p95, rel=1e-3)


@pytest.mark.parametrize(
    ("factors", "expected"),
    [([], 1.0), ([0.8, 0.9], 1.0), ([1.2, 1.3], 1.25)],
    ids=["not measured", "never below one", "the mean of the processes"],
)
def test_contention_is_a_factor_of_at_least_one(factors: list[float], expected: float) -> None:
    assert contention_factor(factors) == expected


@pytest.mark.parametrize(
    ("device_class", "device", "name"),
    [
        pytest.param(
            "cpu-1", Device(node="node-a"), "cpu-1-efficientnet-b0-224-fp32-openvino-node-a", id="a slice of a node"
        ),
        pytest.param(
            "NVIDIA-A100-SXM4-40GB",
            Device(node="Node_B.example", uuid="GPU-1F"),
            "nvidia-a100-sxm4-40gb-efficientnet-b0-224-fp32-openvino-node-b-example-gpu-1f",
            id="a GPU of a node",
        ),
    ],
)
def test_the_name_says_what_was_measured_and_where(device_class: str, device: Device, name: str) -> None:
    assert profile_name(replace(some_facts(device=device), device_class=device_class)) == name


def test_a_profile_reads_back_as_it_was_written() -> None:
    found = some_measurements({1: [100, 110], 8: [800, 820]})
    facts = some_facts(model=Model(name="resnet18", image_size=128))
    profile = build_profile(found, facts, MB)
    assert parse_profile(profile.document()) == profile
    assert profile.spec.model.image_size == 128
    assert (profile.spec.max_mini_batch_size, profile.spec.extrapolated) == (64, True)


def test_a_profile_says_how_its_latency_runs_between_the_sizes_and_how_far_that_is_off() -> None:
    found = some_measurements({size: [50_000 + 12_000 * size] for size in (1, 2, 4, 8, 16)})
    fit = build_profile(found, some_facts(), MB).spec.latency_fit
    assert fit
    assert (fit.kind, fit.error) == ("affine", 0.01)
