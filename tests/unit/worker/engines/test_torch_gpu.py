"""What the engines for GPUs say and do where no GPU is at hand: by what torch would say of one."""

import gc
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

from dueby_worker.engines.cuda import prepare_alone, release_memory
from dueby_worker.engines.torch_gpu import TorchGPU, driver_version, explain
from dueby_worker.system.capture_lock import CAPTURE_LOCK

TOO_OLD = (
    "The NVIDIA driver on your system is too old (found version 12040). Please update your GPU driver by downloading "
    "and installing a new version from the URL: http://www.nvidia.com/Download/index.aspx"
)
WHEELS = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120")


@pytest.mark.parametrize(
    ("gpu", "words"),
    [
        pytest.param(
            TorchGPU(cuda="13.0", driver="550.90.07", refusal=TOO_OLD),
            "NVIDIA's driver 550.90.07 is for CUDA 12.4 and older, and this PyTorch was built for CUDA 13.0: install "
            "driver 580 or newer, or take another build of PyTorch (TORCH in Dockerfile.worker)",
            id="the driver is too old",
        ),
        pytest.param(
            TorchGPU(cuda="13.0", name="Tesla V100-SXM2-16GB", capability=(7, 0), architectures=WHEELS),
            "no kernels for Tesla V100-SXM2-16GB (sm_70); it has sm_75, sm_80",
            id="the GPU is too old",
        ),
        pytest.param(
            TorchGPU(cuda="13.0", refusal="CUDA driver initialization failed.\nmore"),
            "no NVIDIA GPU here that torch can use (CUDA driver initialization failed)",
            id="CUDA gives another reason",
        ),
        pytest.param(TorchGPU(cuda=None, driver="580.65.06"), "built without CUDA", id="a build for CPUs on a GPU"),
        pytest.param(TorchGPU(cuda=None), "no NVIDIA GPU here", id="no GPU at all"),
    ],
)
def test_a_gpu_that_torch_cannot_use_is_explained(gpu: TorchGPU, words: str) -> None:
    assert words in (explain(gpu) or "")


@pytest.mark.parametrize(
    "capability", [(7, 5), (8, 0), (8, 9), (9, 0), (10, 0), (12, 0), (12, 1), (13, 0)], ids=lambda c: f"sm_{c[0]}{c[1]}"
)
def test_a_gpu_of_a_known_or_newer_architecture_is_used(capability: tuple[int, int]) -> None:
    assert explain(TorchGPU(cuda="13.0", name="GPU", capability=capability, architectures=WHEELS)) is None


def test_the_drivers_version_is_that_of_its_kernel_module(tmp_path: Path) -> None:
    file = tmp_path / "version"
    assert driver_version(file) == ""
    file.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\n")
    assert driver_version(file) == "535.104.05"
    file.write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\nGCC version: 12.2.0 ("
    )
    assert driver_version(file) == "580.65.06"


@pytest.mark.parametrize(("on", "precision"), [(False, "ieee"), (True, "tf32")])
def test_the_switches_of_tf32_agree_with_each_other_so_that_they_can_be_read(on: bool, precision: str) -> None:
    # Of torch as a whole: no other test is to compute with them.
    script = f"""
import torch
from dueby_worker.engines.cuda import switch_tf32
switch_tf32(on={not on})
switch_tf32(on={on})
print(torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision)
with torch.backends.cudnn.flags(enabled=True, allow_tf32={on}):
    print(torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.split() == [precision, precision, str(on), str(on)], done.stderr


def test_memory_is_given_back_after_what_is_in_a_cycle_was_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    network = torch.nn.Linear(2, 2)
    weights = weakref.ref(network.weight)
    vars(network)["itself"] = network
    # torch's own functions, which a build for CPUs lacks or which do nothing there.
    calls: list[str] = []
    monkeypatch.setattr(torch._C, "_cuda_clearCublasWorkspaces", lambda: calls.append("workspaces"), raising=False)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: calls.append(f"cache, weights {weights()}"))
    gc.disable()
    try:
        del network
        assert weights() is not None
        release_memory()
    finally:
        gc.enable()
    assert calls == ["workspaces", "cache, weights None"]


def test_a_network_is_prepared_while_no_other_thread_has_the_gpu_decode() -> None:
    held: list[bool] = []

    def capture(network: Any, shape: Any, stream: Any) -> Any:
        held.append(CAPTURE_LOCK.locked())
        return network

    network: Any = torch.nn.Identity()
    stream: Any = None
    assert prepare_alone(capture, network, (1, 2, 2, 3), stream).run is network
    assert held == [True]
    assert not CAPTURE_LOCK.locked()
