"""Why torch can't compute on this machine's GPU, where it can't: the driver or the GPU is too old for torch's CUDA.

NVML sees such a GPU and Kubernetes counts it, so "there is no GPU" would send people looking for the wrong thing.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import torch

from dueby_api.engines import LEAST_DRIVERS

_TOO_OLD = re.compile(r"driver on your system is too old \(found version (\d+)\)")
_ARCHITECTURE = re.compile(r"(sm|compute)_(\d+)(\d)[af]?$")
_OTHER_BUILD = "take another build of PyTorch (TORCH in Dockerfile.worker)"


@dataclass(frozen=True, kw_only=True)
class TorchGPU:
    """What torch, the driver and the GPU say of themselves."""

    cuda: str | None
    """The CUDA that torch was built for; None for a build for CPUs."""
    driver: str = ""
    """The driver's version, if there is one."""
    refusal: str = ""
    """CUDA's own words if it doesn't start."""
    name: str = ""
    """The GPU's, once CUDA has started."""
    capability: tuple[int, int] = (0, 0)
    architectures: tuple[str, ...] = ()
    """Those that torch has kernels for (sm_75), or sources that the driver compiles for newer ones (compute_90)."""


def read_gpu() -> TorchGPU:
    """Return what there is. It starts CUDA, since only that tells whether a GPU is usable."""
    driver = driver_version()
    if torch.version.cuda is None:
        return TorchGPU(cuda=None, driver=driver)
    try:
        # Not `is_available`, which puts the reason into a warning, and into that of its first call only.
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        return TorchGPU(cuda=torch.version.cuda, driver=driver, refusal=str(error))
    return TorchGPU(
        cuda=torch.version.cuda,
        driver=driver,
        name=torch.cuda.get_device_name(),
        capability=torch.cuda.get_device_capability(),
        architectures=tuple(torch.cuda.get_arch_list()),
    )


def driver_version(file: Path = Path("/proc/driver/nvidia/version")) -> str:
    """Return the version of NVIDIA's kernel module, which containers see as well; empty if it isn't loaded."""
    try:
        match = re.search(r"\s(\d+\.\d+(\.\d+)?)\s", file.read_text())
    except OSError:
        return ""
    return match[1] if match else ""


def explain(gpu: TorchGPU) -> str | None:
    """Return why torch can't compute on it and what to do; None if it can."""
    if gpu.cuda is None and gpu.driver:
        return f"this PyTorch was built without CUDA, and there is NVIDIA's driver {gpu.driver}; {_OTHER_BUILD}"
    if gpu.cuda is None:
        return "there is no NVIDIA GPU here that torch can use; use the engine eager, openvino or auto"
    if gpu.refusal:
        return _explain_refusal(gpu)
    if gpu.architectures and not any(_runs(architecture, gpu.capability) for architecture in gpu.architectures):
        major, minor = gpu.capability
        return (
            f"this PyTorch (CUDA {gpu.cuda}) has no kernels for {gpu.name} (sm_{major}{minor}); it has "
            f"{', '.join(gpu.architectures)}; {_OTHER_BUILD}, such as one for CUDA 12.6 for GPUs before Turing"
        )
    return None


def _explain_refusal(gpu: TorchGPU) -> str:
    least = LEAST_DRIVERS.get(str(gpu.cuda).partition(".")[0])
    if too_old := _TOO_OLD.search(gpu.refusal):
        version = int(too_old[1])
        wanted = f"driver {least} or newer" if least else "a newer driver"
        return (
            f"NVIDIA's driver {gpu.driver or 'here'} is for CUDA {version // 1000}.{version % 1000 // 10} and older, "
            f"and this PyTorch was built for CUDA {gpu.cuda}: install {wanted}, or {_OTHER_BUILD}"
        )
    reason = gpu.refusal.splitlines()[0].rstrip(".")
    return f"there is no NVIDIA GPU here that torch can use ({reason}); use the engine eager, openvino or auto"


def _runs(architecture: str, capability: tuple[int, int]) -> bool:
    """Return whether kernels of the architecture run on a GPU: its own major version's, or sources of an older one."""
    match = _ARCHITECTURE.match(architecture)
    if match is None:
        return False
    kind, version = match[1], (int(match[2]), int(match[3]))
    return version <= capability and (kind == "compute" or version[0] == capability[0])
