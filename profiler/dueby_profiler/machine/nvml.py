"""The machine's NVIDIA GPUs by NVML: what they are called, who they are, their memory, who else uses them, how they do.

A GPU's class is its product as GPU feature discovery labels Kubernetes nodes with it (nvidia.com/gpu.product), so that
a profile made by hand and one made in a cluster agree: NVIDIA-A100-SXM4-40GB. A machine without the driver has no GPUs.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pynvml

MIB = 1024 * 1024
# What this GPU has none of (a slice of one has no power of its own), or this driver doesn't know of yet.
_HAS_NONE = (pynvml.NVMLError_NotSupported, pynvml.NVMLError_FunctionNotFound)


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A GPU."""

    uuid: str
    product: str
    """Its device class."""
    memory_mib: int
    driver: str


def read_gpus() -> list[Gpu]:
    """Every GPU of the machine; none where there is no driver."""
    with _nvml() as there:
        if not there:
            return []
        driver = _text(pynvml.nvmlSystemGetDriverVersion())
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return [
            Gpu(
                uuid=_text(pynvml.nvmlDeviceGetUUID(handle)),
                product=product_label(_text(pynvml.nvmlDeviceGetName(handle))),
                memory_mib=pynvml.nvmlDeviceGetMemoryInfo(handle).total // MIB,
                driver=driver,
            )
            for handle in handles
        ]


def used_mib(uuid: str) -> int:
    """Memory of the GPU in use now, by anyone; torch's allocator keeps what it has taken, so this is also its peak."""
    with _nvml():
        return int(pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByUUID(uuid)).used // MIB)


def is_used(uuid: str) -> bool:
    """Whether a process computes on the GPU now."""
    with _nvml():
        return bool(pynvml.nvmlDeviceGetComputeRunningProcesses(pynvml.nvmlDeviceGetHandleByUUID(uuid)))


@dataclass(frozen=True, kw_only=True)
class State:
    """What one GPU said of itself at a moment."""

    values: Mapping[str, float]
    """By name, in base units; what it has none of is left out."""
    trouble: str | None = None
    """Why some are missing that it has, such as that the GPU is lost."""


@contextmanager
def observe() -> Iterator[Callable[[str], State]]:
    """A function that asks a GPU how it does, often: starting NVML takes as long as thousands of questions.

    A GPU that is gone is a trouble and never an error: what is measured goes on without.
    """
    handles: dict[str, Any] = {}
    with _nvml() as there:
        nothing = State(values={}, trouble="NVML is not there")
        yield lambda uuid: _ask(uuid, handles) if there else nothing


def _ask(uuid: str, handles: dict[str, Any]) -> State:
    values: dict[str, float] = {}
    try:
        if uuid not in handles:
            handles[uuid] = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        for read in _STATE:
            with suppress(*_HAS_NONE):
                values |= read(handles[uuid])
    except pynvml.NVMLError as error:
        return State(values=values, trouble=str(error))
    return State(values=values)


def product_label(name: str) -> str:
    """The product's name as a label's value."""
    return "-".join(name.split())


@contextmanager
def _nvml() -> Iterator[bool]:
    """NVML, where it is there."""
    try:
        pynvml.nvmlInit()
    except (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded):
        yield False
        return
    try:
        yield True
    finally:
        pynvml.nvmlShutdown()


def _memory(gpu: Any) -> dict[str, float]:
    found = pynvml.nvmlDeviceGetMemoryInfo(gpu)
    return {"memory_total_bytes": found.total, "memory_used_bytes": found.used, "memory_free_bytes": found.free}


def _bar1(gpu: Any) -> dict[str, float]:
    found = pynvml.nvmlDeviceGetBAR1MemoryInfo(gpu)
    return {"bar1_total_bytes": found.bar1Total, "bar1_used_bytes": found.bar1Used, "bar1_free_bytes": found.bar1Free}


def _utilization(gpu: Any) -> dict[str, float]:
    found = pynvml.nvmlDeviceGetUtilizationRates(gpu)
    return {"busy_percent": found.gpu, "memory_busy_percent": found.memory}


# None of these is dear: what NVML measures while it is asked, such as PCIe's throughput for 20 ms, is left out.
_STATE: tuple[Callable[[Any], dict[str, float]], ...] = (
    _memory,
    _bar1,
    _utilization,
    lambda gpu: {"temperature_c": pynvml.nvmlDeviceGetTemperature(gpu, pynvml.NVML_TEMPERATURE_GPU)},
    lambda gpu: {"power_w": pynvml.nvmlDeviceGetPowerUsage(gpu) / 1000},
    lambda gpu: {"energy_j": pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1000},
    lambda gpu: {"sm_clock_mhz": pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_SM)},
    lambda gpu: {"memory_clock_mhz": pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_MEM)},
    lambda gpu: {"throttle_reasons": pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu)},
)


def _text(value: str | bytes) -> str:
    """Older bindings answer in bytes."""
    return value.decode() if isinstance(value, bytes) else value
