"""`dueby profile` on this very machine, with a model so small that it takes seconds."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from matplotlib import image

from dueby.cli.main import main
from dueby.terminal.profile_table import facts_of
from dueby_api.inference_job import Model
from dueby_api.source import Source
from dueby_profiler.machine import nvml
from dueby_profiler.machine.layouts import Layout, Slice
from dueby_profiler.machine.limits import read_limits
from dueby_profiler.machine.machine import Machine
from dueby_profiler.measuring.memory_map import map_memory
from dueby_profiler.measuring.messages import Setup
from dueby_profiler.measuring.photos import list_photos
from dueby_profiler.measuring.process_group import ProcessGroup
from dueby_profiler.profiling import profile_machine
from dueby_profiler.progress_listener import ProgressListener, ProgressUpdate
from dueby_study.figures import profiles as figures
from dueby_worker.engines import host
from dueby_worker.models.loading import load_model
from support.killed import killed_with_block, processes_with
from support.pictures import write_photos
from support.profiler import BRIEF, TINY, two_slices
from support.run import MAX_WAIT_S


def test_slices_are_measured_while_all_of_them_are_busy() -> None:
    layout = Layout(device_class="cpu-1", slices=(Slice(threads=1), Slice(threads=1)))

    def setup(number: int) -> Setup:
        return Setup(model=TINY, engine="eager", threads=1, spawned_us=time.monotonic_ns() // 1000)

    with ProcessGroup(layout, setup, environment={}, clock=time.monotonic) as group:
        built = group.build(4)
        points = group.run(0.3)
    assert len({ready.startup_us for ready in built}) == 2
    # None stops before each has said that it knows its mean, and so has begun, however busy the machine is.
    assert min(point.ended_us[-1] for point in points) > max(point.started_us for point in points)


def test_an_engine_that_crashes_here_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "openvino").mkdir()
    crash = "import os, sys; print('no such instruction', file=sys.stderr, flush=True); os.abort()"
    (tmp_path / "openvino" / "__init__.py").write_text(crash)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    # The other one that is left is then known.
    monkeypatch.setattr(host, "find_spec", lambda package: None if package == "ncnn" else find_spec(package))
    messages: list[str] = []
    updates: list[ProgressUpdate] = []
    listener = ProgressListener(on_message=messages.append, on_progress=updates.append)
    model, brief = TINY.replace(engine="auto"), replace(BRIEF, layout_s=10)
    (profile,) = profile_machine(model=model, machine=two_slices(), preset=brief, classes=["cpu-1"], listener=listener)
    assert profile.spec.engine == "eager"
    assert (profile.spec.device.node, profile.spec.device.slices) == ("node-a", 2)
    assert all(update.left_s <= brief.layout_s for update in updates)
    assert "cpu-1: openvino is left out: a measuring process ended with exit code -6: no such instruction." in messages


@pytest.mark.autogroup
def test_a_busy_machines_message_says_what_holds_other_programs_back() -> None:
    machine, brief = two_slices(), replace(BRIEF, layout_s=10)
    messages: list[str] = []
    spin = f"import os\nos.sched_setaffinity(0, {set(machine.limits.cores)})\nwhile True: pass"
    with killed_with_block([sys.executable, "-c", spin], start_new_session=True):
        listener = ProgressListener(on_message=messages.append)
        (profile,) = profile_machine(model=TINY, machine=machine, preset=brief, classes=["cpu-1"], listener=listener)
    assert profile.spec.busy
    (warning,) = (message for message in messages if message.startswith("Warning: other programs used"))
    assert warning.endswith("write 19 into /proc/PID/autogroup of such a program, and leave it so while jobs run.")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        pytest.param(["--image-size", "7"], "the model: imageSize: must be an integer of at least 32", id="size"),
        pytest.param(["--class", "cpu-3x"], "--class: this machine has no devices of the class cpu-3x", id="class"),
        pytest.param(["--model", "resnet19"], "spec.model.name: There is no model 'resnet19'", id="model"),
        pytest.param(["--engine", "cuda", "--class", "cpu-1"], "--engine: cuda doesn't run on cpu-1", id="engine"),
        pytest.param(["--photos", "x"], "--photos: shows how far a precision is from fp32", id="photos at fp32"),
        pytest.param(
            ["--photos", "x", "--precision", "bf16"], "--photos: tells nothing of random weights", id="random weights"
        ),
        pytest.param(
            ["--photos", "/nowhere", "--precision", "bf16", "--model", "efficientnet_lite0", "--weights", "DEFAULT"],
            "spec.source.uri: file:///nowhere",
            id="no photos",
        ),
        pytest.param(["--memory-map", "--monitor"], "--monitor: can't be used with --memory-map", id="both"),
    ],
)
def test_bad_input_is_a_sentence_and_exit_code_2(
    options: list[str], sentence: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["profile", *options, "--quick", "-o", str(tmp_path)]) == 2
    assert sentence in capfd.readouterr().err


def test_an_output_that_can_not_be_a_folder_is_refused_before_anything_is_measured(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["profile", "-o", str(tmp_path / "file" / "folder")]) == 2
    assert "--output" in capfd.readouterr().err


@pytest.mark.parametrize(
    "way",
    [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.deep), signal.SIGKILL],
    ids=lambda way: way.name,
)
def test_a_profiler_that_is_stopped_leaves_no_process_behind(way: signal.Signals, tmp_path: Path) -> None:
    marker = f"DUEBY_TEST={tmp_path}"
    command = [sys.executable, "-m", "dueby.cli.main", "profile", "--model", TINY.name, "--quick", "-o", str(tmp_path)]
    environment = {**os.environ, "DUEBY_TEST": str(tmp_path)}
    with killed_with_block(command, env=environment, stderr=subprocess.DEVNULL) as profiler:
        wait_until(lambda: len(processes_with(marker)) == 3)
        profiler.send_signal(way)
        profiler.wait(MAX_WAIT_S)
        # They are building their engines now and look at nothing: it is the kernel that ends them.
        wait_until(lambda: not processes_with(marker), seconds=2.0)


def test_memory_is_mapped_and_drawn(tmp_path: Path) -> None:
    found = map_memory(model=TINY, machine=two_slices(), image_sizes=(64, 96), mini_batch_sizes=(1, 16))
    peaks = {(cell.image_size, cell.mini_batch_size): cell.memory_mib for cell in found.cells}
    assert len(peaks) == 4
    assert all(mib is not None and 50 < mib < 5000 for mib in peaks.values())
    figure = figures.draw_memory(found)
    figure.savefig(tmp_path / "memory.png")
    assert image.imread(tmp_path / "memory.png").shape[1] >= 960


def test_another_precision_is_compared_with_fp32_on_photos(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos" / "tabby", 12)
    model = Model(name="efficientnet_lite0", weights="DEFAULT", image_size=32, precision="bf16", engine="eager")
    source = Source(uri=str(tmp_path / "photos"))
    brief = replace(BRIEF, layout_s=10)
    (profile,) = profile_machine(model=model, machine=two_slices(), preset=brief, classes=["cpu-1"], source=source)
    agreement = profile.spec.agreement
    assert agreement is not None
    assert (agreement.photos, agreement.labelled) == (12, 12)
    assert agreement.weights_digest == load_model(model).weights_digest
    assert "12 photos have fp32's best class" in facts_of(profile)


@pytest.mark.parametrize(
    ("model", "has_photos", "sentence"),
    [
        pytest.param(TINY.replace(precision="bf16"), True, "the weights are random", id="random weights"),
        pytest.param(TINY.replace(precision="bf16", weights="DEFAULT"), False, "there are no photos", id="no photos"),
        pytest.param(
            TINY.replace(precision="int8", weights="DEFAULT"),
            False,
            "there are no photos here, and each job measures it on its own when it is indexed",
            id="no photos, at int8",
        ),
    ],
)
def test_why_a_precision_is_not_compared_is_said(model: Model, has_photos: bool, sentence: str, tmp_path: Path) -> None:
    said: list[str] = []
    source = Source(uri=str(tmp_path)) if has_photos else None
    assert list_photos(model, source, tmp_path / "list", said.append) is None
    assert said == [f"How far {model.precision} is from fp32 is not measured: {sentence}."]


@pytest.mark.gpu
def test_a_gpu_is_profiled(tmp_path: Path) -> None:
    gpus = tuple(nvml.read_gpus())
    machine = Machine(limits=read_limits(), gpus=gpus, node="node-a", clock=time.monotonic)
    model = TINY.replace(engine="auto", image_size=224, precision="fp16")
    profiles = profile_machine(model=model, machine=machine, preset=BRIEF, classes=[gpus[0].product])
    assert [profile.spec.device.uuid for profile in profiles] == [gpu.uuid for gpu in gpus]
    assert all(profile.spec.engine in ("cuda", "cudagraph") for profile in profiles)


def wait_until(condition: Callable[[], bool], *, seconds: float = MAX_WAIT_S) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
