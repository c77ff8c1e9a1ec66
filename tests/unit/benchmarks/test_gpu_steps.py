"""Which steps of `make gpu` a call does, what becomes of one that fails, and what its report says."""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from dueby.cli import profile as profile_command
from dueby_api.engines import ENGINES
from gpu_steps import Results, forget, next_step, read_results, run_steps, say_what_is_left, write_report
from gpu_steps_bench import GPU, Bench, Skipped, gpu_trials
from gpu_steps_list import Step, profile, steps_of
from gpu_steps_report import markdown
from metering import Failed


def a_bench(folder: Path, *, minutes: float = 10.0, is_stand_in: bool = True) -> Bench:
    return Bench(folder=folder, is_stand_in=is_stand_in, ends_s=time.monotonic() + 60 * minutes)


def a_step(name: str, run: Callable[[Bench], Mapping[str, Any]], *, minutes: float = 1.0, **options: Any) -> Step:
    return Step(name=name, shows=f"what {name} shows", minutes=minutes, run=run, **options)


def fails(bench: Bench) -> Mapping[str, Any]:
    raise Failed("the GPU has fallen off the bus")


def lacks(bench: Bench) -> Mapping[str, Any]:
    raise Skipped("timm isn't installed here")


def breaks(bench: Bench) -> Mapping[str, Any]:
    sizes: dict[str, int] = {}
    return {"size": sizes["256"]}


def works(bench: Bench) -> Mapping[str, Any]:
    return {"imagesPerSecond": 12_345.6}


STEPS = (
    a_step("broken", breaks),
    a_step("failing", fails),
    a_step("needy", works, needs=("failing",)),
    a_step("lacking", lacks),
    a_step("working", works),
)


def test_a_step_that_fails_is_reported_and_the_others_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench = a_bench(tmp_path)
    results = run_steps(bench, STEPS)
    write_report(bench, STEPS, results)
    assert [(name, step["state"], step["reason"]) for name, step in results.items()] == [
        ("broken", "failed", "'256'"),
        ("failing", "failed", "the GPU has fallen off the bus"),
        ("needy", "skipped", "it needs failing, which has failed"),
        ("lacking", "skipped", "timm isn't installed here"),
        ("working", "ok", ""),
    ]
    assert "KeyError" in (tmp_path / "steps" / "broken.log").read_text()
    report = (tmp_path / "report.md").read_text()
    assert "## Failed\n\n- broken: '256'\n- failing: the GPU has fallen off the bus\n" in report
    assert "## Skipped\n\n- needy: it needs failing" in report
    assert say_what_is_left(STEPS, results, minutes=10) == 1
    assert 'failed: broken, failing; then: make gpu GPU_AGAIN="broken failing"' in capsys.readouterr().out


def test_a_step_with_a_result_is_not_done_again(tmp_path: Path) -> None:
    run_steps(a_bench(tmp_path), STEPS[-1:])
    before = read_results(tmp_path)
    after = run_steps(a_bench(tmp_path), (a_step("working", fails), a_step("next", works)))
    assert after["working"] == before["working"]
    assert after["next"]["state"] == "ok"


def test_a_step_that_is_done_once_more_takes_with_it_what_was_skipped_for_want_of_it(tmp_path: Path) -> None:
    steps = (*STEPS, a_step("needier", works, needs=("needy",)))
    run_steps(a_bench(tmp_path), steps)
    forget(tmp_path, steps, ["failing"])
    assert set(read_results(tmp_path)) == {"broken", "lacking", "working"}
    with pytest.raises(SystemExit, match="there is no step nope; there are broken, failing"):
        forget(tmp_path, steps, ["nope"])


@pytest.mark.parametrize(
    ("minutes", "done", "expected"),
    [
        pytest.param(10, [], "build", id="the first one"),
        pytest.param(2, [], "short", id="one that fits"),
        pytest.param(10, ["build", "short"], "last", id="one that needs what is done"),
        pytest.param(2, ["short"], None, id="none whose need has no result"),
        pytest.param(0.5, [], None, id="none when the time is over"),
        pytest.param(10, ["build", "short", "last"], None, id="none once all have a result"),
    ],
)
def test_a_call_does_the_first_step_that_fits(minutes: float, done: list[str], expected: str | None) -> None:
    steps = (
        a_step("build", works, minutes=5),
        a_step("short", works),
        a_step("last", works, needs=("build",)),
    )
    results: Results = {name: {"state": "ok"} for name in done}
    step = next_step(steps, results, left_s=60 * minutes)
    assert (step.name if step else None) == expected


def test_what_continues_has_no_result_when_the_time_is_over(tmp_path: Path) -> None:
    def takes_all(bench: Bench) -> Mapping[str, Any]:
        bench.ends_s = time.monotonic()
        raise Failed("it was not done after 200 s")

    steps = (a_step("study", takes_all, is_continued=True), a_step("never", works))
    assert run_steps(a_bench(tmp_path), steps) == {}
    assert not list((tmp_path / "steps").glob("*.json"))


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        pytest.param(10, "left, about 7 minutes: a, b\ncall it again\n", id="in the next call"),
        pytest.param(
            1, "left, about 7 minutes: a, b\nnone fits into a call: GPU_MINUTES=2.3 or more\n", id="in longer calls"
        ),
    ],
)
def test_what_is_left_is_said(minutes: float, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    steps = (a_step("a", works, minutes=5), a_step("b", works, minutes=2))
    assert say_what_is_left(steps, {}, minutes=minutes) == 0
    assert capsys.readouterr().out == expected


def test_every_engine_for_gpus_is_tried_at_each_of_its_precisions_and_every_step_fits_into_a_call() -> None:
    wanted = {(e.name, precision) for e in ENGINES.values() if e.device == "gpu" for precision in e.precisions}
    assert {(trial.engine, trial.precision) for trial in gpu_trials()} == wanted
    steps = steps_of(GPU)
    names = [step.name for step in steps]
    assert {trial.name for trial in gpu_trials()} <= set(names)
    assert len(set(names)) == len(names)
    assert all(step.minutes < 9 for step in steps)
    assert all(names.index(need) < names.index(step.name) for step in steps for need in step.needs)


class Words(Exception):
    """Those of a command that was to be run."""


class RecordingBench(Bench):
    """Runs nothing."""

    def run_dueby(self, *arguments: str | Path, **options: Any) -> Any:
        raise Words(arguments)


def test_dueby_profile_knows_the_words_that_a_gpu_is_profiled_with(tmp_path: Path) -> None:
    (tmp_path / "steps").mkdir()
    gpus = {"result": {"gpus": [{"product": "NVIDIA-L4"}]}}
    (tmp_path / "steps" / "cuda.json").write_text(json.dumps(gpus))
    bench = RecordingBench(folder=tmp_path, is_stand_in=False, ends_s=time.monotonic() + 60)
    with pytest.raises(Words) as asked:
        profile(bench)
    ((command, *words),) = asked.value.args
    parser = argparse.ArgumentParser(exit_on_error=False)
    profile_command.add_arguments(parser)
    options = parser.parse_args(list(map(str, words)))
    assert command == "profile"
    assert (options.quick, options.precision, options.classes) == (True, "fp16", ["NVIDIA-L4"])


def test_the_tables_have_what_was_measured_on_a_gpu() -> None:
    point = {
        "miniBatchSize": 256,
        "buildSeconds": 4.21,
        "layouts": {"chosen": "NHWC", "stepMicros": {"NHWC": 25_000, "NCHW": 30_250}},
        "warmupMicros": 30_000,
        "firstStepsMicros": 20_000,
        "hotMicros": 25_600,
        "imagesPerSecond": 10_000.0,
        "cpuMicrosAStep": 1_500,
        "gpuMemoryMiB": 2_048,
        "hostMemoryMiB": 3_000,
        "gpu": {"sm_clock_mhz": 1410.0, "power_w": 310.4},
    }
    engine = {"engine": "cudagraph", "precision": "fp16", "points": [point]}
    decoder = {
        "multiprocessors": {"inFull": 3_210.4, "regions": 3_900, "regionsOfPixels": 0.596, "largestDifference": 2},
        "unit": {"inFull": None, "regions": None, "regionsOfPixels": 0.596, "largestDifference": None},
    }
    hot = {"hotMicros": {"256": 25_600}, "overHot": {"256": 0.977}}
    times = {"latencyMicros": {"256": 25_000}, "contention": 1.1, **hot}
    steps = [
        {"step": "cudagraph-fp16", "state": "ok", "result": engine},
        {"step": "cuda-fp16", "state": "failed", "result": {}},
        {"step": "profile", "state": "ok", "result": times},
        {"step": "decoder", "state": "ok", "result": {"backends": decoder}},
    ]
    tables = markdown({"standIn": False, "steps": steps})
    row = "30.00 | 20.00 | 25.60 | 10,000 | 1.50 | 2,048 | 3,000 | 1410 | 310"
    assert f"| cudagraph, fp16 | 256 | 4.2 | NHWC (NCHW 1.21) | {row} |" in tables
    assert "| its multiprocessors | 3,210 | 3,900 | 60% | 2 |" in tables
    assert "| its unit |  |  | 60% |  |" in tables
    assert "| 256 | 25.00 | 27.50 | 25.60 | 0.977 |" in tables
    assert "Failed" not in tables
