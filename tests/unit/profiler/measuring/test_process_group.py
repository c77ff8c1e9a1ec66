"""Processes that measure side by side: how they talk, how they die, and that none is left behind."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dueby_api.errors import DueByError, Invalid
from dueby_api.inference_job import Model
from dueby_profiler.machine.layouts import Layout, Slice
from dueby_profiler.measuring.messages import (
    Build,
    Built,
    Contend,
    Contended,
    DecodingRates,
    Failed,
    MeanKnown,
    MeasureDecoding,
    Message,
    NoMemory,
    Point,
    Setup,
    StartSteps,
    StopSteps,
    expect,
    read_message,
    write_message,
)
from dueby_profiler.measuring.process_group import Crashed, OutOfMemory, ProcessGroup

PAIR = Layout(device_class="cpu-1", slices=(Slice(threads=1), Slice(threads=1)))
BUILT = '{"Built": {"size": 8, "startupUs": 1000, "buildUs": 10}}'


A_POINT = Point(size=8, warmup_us=1, check_us=0, started_us=2, ended_us=(3, 4), peak_mib=5, gpu_mib=6)


def a_setup(number: int) -> Setup:
    return Setup(model=Model(), engine="openvino", threads=1, spawned_us=number)


def a_group(script: str) -> ProcessGroup:
    """Return two processes that run this script instead of measuring."""
    return ProcessGroup(PAIR, a_setup, environment={}, clock=time.monotonic, command=(sys.executable, "-c", script))


@pytest.mark.parametrize(
    "message",
    [
        a_setup(3),
        Setup(model=Model(engine="eager"), engine="eager", threads=2, cores=(0, 1), cache_dir="/x", spawned_us=1),
        Build(size=8),
        Built(size=8, startup_us=1, build_us=2),
        StartSteps(limit_us=5),
        MeanKnown(),
        StopSteps(),
        A_POINT,
        Contend(moments_us=(1, 2, 3, 4), folder="/x"),
        Contended(decode_us=1.5, model_us=2.5, both_us=3.5),
        MeasureDecoding(cores=(1, 2), begin_us=5, phase_us=6, folder="/x"),
        DecodingRates(serial_us=1.5, cores=(1, 2), decoded_us=(3.5, 2.5)),
        NoMemory(size=8),
        Failed(field="spec.model.name", message="is wrong\nin two lines"),
    ],
    ids=lambda message: type(message).__name__,
)
def test_a_message_is_one_line_and_reads_back(message: Message) -> None:
    line = write_message(message)
    assert line.count("\n") == 1
    assert line.endswith("\n")
    assert read_message(line) == message


def test_an_answer_of_another_kind_is_a_bug() -> None:
    with pytest.raises(DueByError, match="expected Built, but got StopSteps"):
        expect(StopSteps(), Built)


def test_every_slice_answers_in_its_own_process() -> None:
    script = f"""
import os, sys
sys.stdin.readline(); sys.stdin.readline()
print('{BUILT}'.replace('1000', str(os.getpid())), flush=True)
sys.stdin.readline()
"""
    with a_group(script) as group:
        built = group.build(8)
    assert [ready.size for ready in built] == [8, 8]
    assert len({ready.startup_us for ready in built}) == 2


def test_a_process_that_died_before_it_was_told_anything_is_put_away_without_a_word() -> None:
    with a_group("import os, signal; os.kill(os.getpid(), signal.SIGKILL)") as group:
        wait_until(lambda: not any(is_running(pid) for pid in group.pids))
        with pytest.raises(OutOfMemory):
            group.build(8)


@pytest.mark.parametrize(
    ("script", "error", "sentence"),
    [
        pytest.param(
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            OutOfMemory,
            "a mini-batch of 8 images does not fit",
            id="killed by the kernel",
        ),
        pytest.param(
            """import sys
sys.stdin.readline(); sys.stdin.readline(); print('{"NoMemory": {"size": 8}}', flush=True); sys.stdin.readline()""",
            OutOfMemory,
            "a mini-batch of 8 images does not fit",
            id="an allocation failed",
        ),
        pytest.param(
            """import sys
sys.stdin.readline(); sys.stdin.readline()
print('{"Failed": {"field": "spec.model.name", "message": "there is no such model"}}', flush=True)
sys.stdin.readline()""",
            Invalid,
            "spec.model.name: there is no such model",
            id="the user's fault",
        ),
        pytest.param(
            "import sys; sys.stderr.write('Illegal instruction, says the library'); sys.exit(3)",
            DueByError,
            "exit code 3:\nIllegal instruction, says the library",
            id="a bug, with its last words",
        ),
    ],
)
def test_the_end_of_a_process_is_explained(script: str, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence), a_group(script) as group:
        group.build(8)


CUDA_ERROR = """Traceback (most recent call last):
  File "measure.py", line 1, in <module>
torch.AcceleratorError: CUDA error: no kernel image is available for execution on the device
Search for `cudaErrorNoKernelImageForDevice' in https://docs.nvidia.com for more information.
For debugging consider passing CUDA_LAUNCH_BLOCKING=1
Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions."""


def test_a_crash_in_brief_is_the_line_with_the_errors_class() -> None:
    assert Crashed(1, CUDA_ERROR).brief == (
        "a measuring process ended with exit code 1: torch.AcceleratorError: CUDA error: no kernel image is available "
        "for execution on the device"
    )
    assert Crashed(-11, "Fatal\nno kernel").brief == "a measuring process ended with exit code -11: no kernel"


@pytest.mark.parametrize(("is_only", "visible"), [(False, "GPU-1"), (True, "the runtime's own")])
def test_a_pods_only_gpu_is_the_one_that_the_container_runtime_has_chosen(
    is_only: bool, visible: str, tmp_path: Path
) -> None:
    script = f"""
import os, sys
sys.stdin.readline(); sys.stdin.readline()
open({str(tmp_path / "visible")!r}, "w").write(os.environ["CUDA_VISIBLE_DEVICES"])
print('{BUILT}', flush=True)
sys.stdin.readline()
"""
    layout = Layout(device_class="NVIDIA-L4", slices=(Slice(threads=1, gpu="GPU-1", is_only_gpu=is_only),))
    command = (sys.executable, "-c", script)
    own = {"CUDA_VISIBLE_DEVICES": "the runtime's own"}
    with ProcessGroup(layout, a_setup, environment=own, clock=time.monotonic, command=command) as group:
        group.build(8)
    assert (tmp_path / "visible").read_text() == visible


@pytest.mark.parametrize(
    ("gpu", "soaks", "least"),
    [
        pytest.param("GPU-1", False, {"leastUs": 500_000, "leastSteps": 30}, id="a GPU"),
        pytest.param("GPU-1", True, {"leastUs": 2_000_000, "leastSteps": 30}, id="a GPU that is made hot"),
        pytest.param(None, False, {"leastUs": 0, "leastSteps": 0}, id="cores"),
    ],
)
def test_steps_of_a_gpu_go_on_until_they_say_something(
    gpu: str | None, soaks: bool, least: dict[str, int], tmp_path: Path
) -> None:
    script = f"""
import sys
sys.stdin.readline()
open({str(tmp_path / "said")!r}, "w").write(sys.stdin.readline())
print('{{"MeanKnown": {{}}}}', flush=True)
sys.stdin.readline()
print({write_message(A_POINT).strip()!r}, flush=True)
sys.stdin.readline()
"""
    layout = Layout(device_class="a", slices=(Slice(threads=1, gpu=gpu),))
    command, called = (sys.executable, "-c", script), []
    with ProcessGroup(layout, a_setup, environment={}, clock=time.monotonic, command=command) as group:
        group.run(2.0, (lambda: called.append(True)) if soaks else None)
    said = json.loads((tmp_path / "said").read_text())["StartSteps"]
    assert said == {"limitUs": 2_000_000, **least}
    assert called == [True] * soaks


def test_nobody_is_left_behind_not_even_what_the_processes_started(tmp_path: Path) -> None:
    script = f"""
import os, subprocess, sys
child = subprocess.Popen(["sleep", "600"])
open(f"{tmp_path}/{{os.getpid()}}", "w").write(str(child.pid))
sys.stdin.readline(); sys.stdin.readline()
print('{BUILT}', flush=True)
sys.stdin.readline()
"""

    def be_interrupted() -> None:
        with a_group(script) as group:
            group.build(8)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        be_interrupted()
    started = [int(pid) for file in tmp_path.iterdir() for pid in (file.name, file.read_text())]
    assert len(started) == 4
    wait_until(lambda: not any(is_running(pid) for pid in started))


def is_running(pid: int) -> bool:
    """Return whether the process does anything; a killed process may still wait to be reaped by its new parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition: Callable[[], bool], *, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        os.sched_yield()
