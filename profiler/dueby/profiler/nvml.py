"""The machine's NVIDIA GPUs by NVML: what they are called, who they are, their memory, and who else uses them.

A GPU's class is its product as GPU feature discovery labels Kubernetes nodes with it (nvidia.com/gpu.product), so that
a profile made by hand and one made in a cluster agree: NVIDIA-A100-SXM4-40GB. A machine without the driver has no GPUs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pynvml

MIB = 1024 * 1024


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


def _text(value: str | bytes) -> str:
    """Older bindings answer in bytes."""
    return value.decode() if isinstance(value, bytes) else value
