"""What a study makes of its rows: times, memory, curves, rates, energy, and the two models' answers."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dueby_api.schema import validate
from dueby_profiler.machine.layouts import Layout, Slice
from dueby_profiler.machine.nvml import GpuState
from dueby_profiler.measuring.memory_map import Cell, map_memory
from dueby_study.answers import answer, as_printed, edges, fewest_map, problem_of, spaced
from dueby_study.figures.answer_charts import doublings
from dueby_study.measurements import together
from dueby_study.measurements.models import model_row
from dueby_study.measurements.times import SizeTimes, repeated_mean_us, spread_of, steady_sizes, times_of
from dueby_study.measurements.together import Energy, Meter, Reading, arrangements, rates_of, used, words_of
from dueby_study.study import run_study
from dueby_study.summary import StudySummary, latency_of, slope_of
from support.study import TINY, a_context, a_profile, measure_all, times_row, together_row


def test_the_studys_way_counts_the_warm_up_among_its_repetitions() -> None:
    assert repeated_mean_us(30_000, 10_000, 10) == 12_000
    assert repeated_mean_us(30_000, 10_000, 1) == 30_000
    (found,) = times_of([times_row(4, warmup_us=30_000), times_row(4, warmup_us=50_000)])
    assert (found.mini_batch_size, found.processes, found.steps) == (4, 2, 6)
    assert (found.mean_us, found.p5_us, found.p50_us, found.p95_us) == (10_000, 9_000, 10_000, 11_000)
    assert found.warmup_us == 40_000
    assert found.repeated_us == 13_000
    assert found.too_long == pytest.approx(0.3)
    assert found.images_per_second == pytest.approx(400)


def test_processes_of_one_size_are_compared_with_each_other_only() -> None:
    alike = [times_row(size, steps_us=[1000 * size] * 3) for size in (1, 1, 8, 8)]
    assert spread_of(alike) == 0
    apart = [times_row(1, steps_us=[900]), times_row(1, steps_us=[1100])]
    assert spread_of(apart) == pytest.approx(0.1 * 2**0.5)
    assert spread_of(apart[:1]) is None


def test_a_process_counts_as_much_as_another_however_many_steps_it_did() -> None:
    rows = [times_row(1, steps_us=[10_000] * 99), times_row(1, steps_us=[20_000])]
    assert times_of(rows)[0].mean_us == 15_000


@pytest.mark.parametrize(
    ("image_us", "sizes"),
    [
        pytest.param(10_000, [1, 4, 16], id="all that fit in time"),
        pytest.param(100_000, [1, 4], id="without those that take too long"),
    ],
)
def test_sizes_that_take_too_long_are_left_out(image_us: int, sizes: list[int]) -> None:
    assert steady_sizes(a_profile(image_us=image_us).spec, TINY) == sizes


def test_sizes_that_do_not_fit_are_left_out() -> None:
    spec = a_profile().spec.replace(max_mini_batch_size=8)
    assert steady_sizes(spec, TINY) == [1, 4]


def test_memory_is_told_by_a_line() -> None:
    cells = [Cell(image_size=64, mini_batch_size=size, memory_mib=100 + 3 * size) for size in (1, 8, 32)]
    slope = slope_of(64, [*cells, Cell(image_size=64, mini_batch_size=64)])
    assert slope is not None
    assert (slope.base_mib, slope.image_mib, slope.furthest) == (100.0, 3.0, 0.0)
    assert slope_of(64, cells[:1]) is None


def test_cells_of_a_memory_map_that_are_known_are_not_measured_again(tmp_path: Path) -> None:
    known = [
        Cell(image_size=64, mini_batch_size=1, memory_mib=400),
        Cell(image_size=64, mini_batch_size=16, memory_mib=500),
        Cell(image_size=96, mini_batch_size=1, memory_mib=410),
        Cell(image_size=96, mini_batch_size=16),
    ]
    context = a_context(tmp_path)  # whose machine has no processes to measure with
    found = map_memory(
        model=context.subject, machine=context.machine, image_sizes=(64, 96), mini_batch_sizes=(1, 16), known=known
    )
    assert list(found.cells) == known


def some_times(*pairs: tuple[int, int]) -> list[SizeTimes]:
    return [times_of([times_row(size, steps_us=[mean] * 3)])[0] for size, mean in pairs]


@pytest.mark.parametrize(
    ("pairs", "best"),
    [
        pytest.param(
            [(b, 5000 + 1000 * b) for b in (1, 2, 4, 8, 16, 32)], "affine", id="a fixed cost and one an image"
        ),
        pytest.param([(b, max(9000, 700 * b)) for b in (1, 2, 4, 8, 16, 32)], "hinge", id="flat, then by the image"),
    ],
)
def test_the_curve_that_comes_nearest_to_sizes_left_out_is_named(pairs: list[tuple[int, int]], best: str) -> None:
    found = latency_of(some_times(*pairs))
    assert found is not None
    assert found.best == best
    assert found.errors[best] == min(found.errors.values()) == 0.01


def test_two_sizes_say_nothing_about_curves() -> None:
    assert latency_of(some_times((1, 1000), (2, 2000))) is None


def test_rates_are_medians_over_rounds_with_their_energy() -> None:
    rows = [
        together_row("cpu-1", 4, processes=2, threads=1, rate=rate, joules=joules)
        for rate, joules in ((100.0, 50.0), (120.0, 70.0), (110.0, None))
    ]
    (rate,) = rates_of(rows)
    assert (rate.images_per_second, rate.least, rate.most, rate.rounds) == (110.0, 100.0, 120.0, 3)
    assert rate.cpu_j == pytest.approx(0.6)
    assert rate.gpu_j is None


def test_cores_are_arranged_in_every_layout_and_gpus_shared_by_two() -> None:
    cores = [
        Layout(device_class="cpu-1", slices=(Slice(threads=1), Slice(threads=1))),
        Layout(device_class="cpu-2", slices=(Slice(threads=2),)),
    ]
    assert [found.words for found in arrangements(cores)] == ["2 processes of 1 core each", "1 process of 2 cores"]
    gpus = Layout(device_class="NVIDIA-L4", slices=(Slice(threads=4, gpu="GPU-0"), Slice(threads=4, gpu="GPU-1")))
    one, two = arrangements([gpus])
    assert [place.gpu for place in two.layout.slices] == ["GPU-0", "GPU-0", "GPU-1", "GPU-1"]
    assert [place.threads for place in two.layout.slices] == [2, 2, 2, 2]
    assert one.layout == gpus
    assert words_of(2, 1, gpu=True) == "2 processes on a GPU"


def powercap(folder: Path, **counters: int) -> Path:
    """Write counters as Linux shows them, in microjoules, that start again at 100 J."""
    for name, energy in counters.items():
        zone = folder / name.replace("_", ":").replace("rapl", "intel-rapl")
        zone.mkdir(parents=True, exist_ok=True)
        (zone / "energy_uj").write_text(f"{energy}\n")
        (zone / "max_energy_range_uj").write_text("100000000\n")
    return folder


def test_energy_is_that_of_whole_packages_and_of_the_gpus_that_are_used(tmp_path: Path) -> None:
    states = iter([GpuState(values={"energy_j": 10.0}), GpuState(values={"energy_j": 14.5})])
    meter = Meter(["GPU-0", "GPU-0"], read_gpu=lambda uuid: next(states), powercap=tmp_path)
    powercap(tmp_path, rapl_0=1_000_000, rapl_1=99_000_000, rapl_0_0=500_000)
    before = meter.read()
    powercap(tmp_path, rapl_0=3_000_000, rapl_1=2_000_000, rapl_0_0=900_000)
    assert used(before, meter.read()) == Energy(gpu_j=4.5, cpu_j=5.0)  # the second package's counter started again


def test_without_counters_there_is_no_energy(tmp_path: Path) -> None:
    meter = Meter(["GPU-0"], read_gpu=lambda uuid: GpuState(values={}, problem="gone"), powercap=tmp_path / "none")
    assert used(meter.read(), meter.read()) == Energy(gpu_j=None, cpu_j=None)
    assert used(Reading(gpu={}, cpu={"a": (1.0, 2.0)}), Reading(gpu={}, cpu={})) == Energy(gpu_j=None, cpu_j=None)


def test_a_line_of_the_table_is_the_fastest_size_and_the_largest_ones_warm_up() -> None:
    line = model_row(a_profile())
    assert (line.single_us, line.fastest.mini_batch_size, line.warmup_size) == (12_000, 16, 16)
    assert (line.startup_us, line.max_mini_batch_size, line.extrapolated) == (3_000_000, 512, True)
    assert line.images_per_second == pytest.approx(16e6 / 162_000)


def test_numbers_are_spaced_by_ratios_without_doubles() -> None:
    assert spaced(1, 16, 5) == [1, 2, 4, 8, 16]
    assert spaced(1, 4, 10) == [1, 2, 3, 4]
    assert edges([1, 4, 16]) == [0.5, 2.0, 8.0, 32.0]
    assert doublings(64) == [1, 2, 4, 8, 16, 32, 64]
    assert doublings(10) == [1, 2, 4, 8, 10]


def test_the_map_is_model_1_by_brute_force() -> None:
    profile, devices = a_profile(), 5
    found = fewest_map(problem_of([profile], devices=devices), [3_100_000, 4_000_000, 10_000_000], [1, 100, 1000, 5000])
    for images, row in zip(found.images, found.fewest, strict=True):
        for time_us, fewest in zip(found.times_us, row, strict=True):
            most = 0
            for step in profile.spec.steps:
                assert step.warmup_micros is not None
                spare = time_us - 3_000_000 - step.warmup_micros.p50
                if spare >= 0:
                    most = max(most, (spare // step.latency_micros.mean + 1) * step.mini_batch_size)
            needed = -(-images // most) if most else devices + 1
            assert fewest == (needed if needed <= devices else None)


def test_the_formulas_to_the_letter_count_idle_devices_and_multiply_twice() -> None:
    problem = problem_of([a_profile()], devices=8)
    printed = as_printed(problem, time_us=4_000_000)
    assert printed.most_printed == 8 * printed.most
    assert len(printed.images) == len(printed.fewest) == len(printed.fewest_printed)
    for meant, literal in zip(printed.fewest, printed.fewest_printed, strict=True):
        assert meant is not None
        assert literal is not None
        assert literal <= meant
    assert printed.fewest[-1] == 8


def test_the_answers_agree_with_pulp_and_two_classes_are_planned_together() -> None:
    found = answer(a_profile(), others=[a_profile("cpu-2", image_us=6_000)], devices=8)
    assert found.checked > 40
    assert found.agreed == found.checked
    for exact, sure in zip(found.exact.fewest, found.sure.fewest, strict=True):
        assert all(s is None or (e is not None and s >= e) for e, s in zip(exact, sure, strict=True))
    assert found.mixed is not None
    assert {share.device_class for share in found.mixed.shares} == {"cpu-1", "cpu-2"}
    done = sum(share.count * (share.iterations + 1) * share.mini_batch_size for share in found.mixed.shares)
    assert done >= found.mixed.images
    assert answer(a_profile(), devices=2).mixed is None


def test_the_numbers_of_a_whole_study_can_be_read_again(tmp_path: Path) -> None:
    context = a_context(tmp_path)
    measure_all(context)
    summary = run_study(context, NOT_FEATURES)
    read = validate(StudySummary, json.loads((tmp_path / "summary.json").read_bytes()))
    assert read == summary
    assert summary.memory is not None
    assert [slope.image_size for slope in summary.memory.slopes] == [64, 96]
    assert summary.times is not None
    assert [seen.too_long for seen in summary.times.sizes] == pytest.approx([0.1] * 3)
    assert [line.model for line in summary.models] == ["efficientnet_b0", "resnet50"]
    assert summary.together is not None
    assert summary.together.chosen == {"cpu-1": 2}
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == sorted(FIGURES)


def test_what_is_not_measured_is_absent(tmp_path: Path) -> None:
    context = a_context(tmp_path)
    measure_all(context)
    for stage in ("memory", "times", "together", "models"):
        for path in (tmp_path / "raw" / stage).iterdir():
            path.unlink()
    (tmp_path / "profiles" / "cpu-1-resnet50.json").unlink()
    summary = run_study(context, ["subject"])
    assert (summary.memory, summary.times, summary.together, summary.models) == (None, None, None, ())
    assert summary.answers is not None
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == [
        f"study-{name}.png" for name in ("fewest", "most", "printed")
    ]


def test_a_round_in_which_memory_ended_is_left_out(tmp_path: Path) -> None:
    context = replace(a_context(tmp_path), preset=replace(TINY, together_rounds=2))
    context.keep(together.STAGE, "00-cpu-1", [], together.COLUMNS)
    assert rates_of(context.row_store.rows(together.STAGE)) == ()


NOT_FEATURES = ["memory", "times", "together", "models"]
FIGURES = [f"study-{name}.png" for name in ("memory", "times", "latency", "fewest", "most", "printed", "together")]
