"""`make gpu` where cores stand in for a GPU: every step is done, so that none fails for a typo on the first day."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gpu_steps_bench import STAND_IN
from gpu_steps_list import steps_of
from support.source_tree import REPOSITORY

pytestmark = pytest.mark.deep
SKIPPED = {
    "cudagraph-fp16": "there is no NVIDIA GPU here that torch can use",
    "study": "a stand-in has no time for a study",
}


def call(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Do the steps that are left, as `make gpu GPU_STANDIN=1` does."""
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "gpu_steps.py"), "--folder", str(folder), *options]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a call that has gone through all steps."""
    folder = tmp_path_factory.mktemp("gpu")
    ended = call(folder, "--standin", "--minutes", "14")
    assert ended.returncode == 0, ended.stdout
    assert ended.stdout.endswith("nothing is left\n")
    return folder


def results_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Each step's result, in their order."""
    return {step["step"]: step for step in json.loads((folder / "results.json").read_text())["steps"]}


def test_every_step_ends_well_or_says_what_is_missing(done: Path) -> None:
    results = results_of(done)
    assert list(results) == [step.name for step in steps_of(STAND_IN)]
    assert {step["state"] for name, step in results.items() if name not in SKIPPED} == {"ok"}
    for name, reason in SKIPPED.items():
        assert results[name]["state"] == "skipped"
        assert reason in results[name]["reason"]
    assert (done / "steps" / "profile.log").read_text().startswith("$ ")


def test_the_steps_find_what_they_are_there_for(done: Path) -> None:
    found = {name: step["result"] for name, step in results_of(done).items()}
    assert "-q -d CLOCK,POWER,PERFORMANCE,ECC" in json.dumps(found["driver"]["said"])
    assert found["tests"]["skipped"] > 0
    for engine in ("eager-fp32", "openvino-fp32"):
        points = found[engine]["points"]
        assert [point["miniBatchSize"] for point in points] == list(STAND_IN.sizes)
        assert all(point["agrees"] and point["steps"] >= 5 and point["hotMicros"] > 0 for point in points)
    assert found["profile"]["engine"] == "eager"
    assert found["profile"]["overHot"]["1"] > 0
    assert found["profile"]["contention"] >= 1
    assert found["run-2-cores"]["imagesPerSecond"] > 0
    assert found["run-2-cores"]["decodeMicros"] > 0
    decoded = found["decoder"]["backends"]["cores"]
    assert decoded["compared"] == found["decoder"]["photos"] == STAND_IN.decoded_at_once
    assert (decoded["largestDifference"], decoded["inFull"] > 0, decoded["regions"] > 0) == (0, True, True)
    for way in STAND_IN.loops:
        assert found[f"loop-{way}"]["sameTop1"] > 0.8
    assert found["timm-compiled"]["imagesPerSecond"] > 0
    assert [path.suffix for path in (done / "profiles").iterdir()] == [".yaml"]


@pytest.mark.compiler
def test_nvml_is_asked_for_the_gpus(done: Path) -> None:
    facts = results_of(done)["cuda"]["result"]
    assert [gpu["product"] for gpu in facts["gpus"]] == [
        "NVIDIA-A100-SXM4-40GB",
        "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb",
    ]
    assert facts["load"][0]["values"]["power_limit_w"] > 0
    points = results_of(done)["eager-fp32"]["result"]["points"]
    assert all(point["gpu"]["sm_clock_mhz"] > 0 for point in points)


def test_what_a_stand_in_has_found_goes_into_no_document(done: Path, tmp_path: Path) -> None:
    assert all(step["standIn"] for step in results_of(done).values())
    assert (done / "report.md").read_text().startswith("# A stand-in's results")
    document = tmp_path / "benchmarks.md"
    document.write_text("<!-- gpu: begin -->\n<!-- gpu: end -->\n")
    ended = call(done, "--table", str(done / "results.json"), "--into", str(document))
    assert ended.returncode == 1
    assert "results of a stand-in" in ended.stdout
    assert "|" not in document.read_text()


def test_a_second_call_has_nothing_to_do(done: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (done / "steps").iterdir()}
    ended = call(done, "--standin", "--minutes", "14")
    assert ended.returncode == 0
    assert ended.stdout.splitlines()[-1] == "nothing is left"
    assert {path: path.stat().st_mtime_ns for path in (done / "steps").iterdir()} == before
