"""The machine's NVIDIA GPUs through NVML: names, UUIDs, memory, who computes on them, and their state.

A GPU's class is its product, spelled as GPU feature discovery spells it in the label nvidia.com/gpu.product of
Kubernetes nodes (NVIDIA-A100-SXM4-40GB). So a profile made by hand and one made in a cluster agree. A machine without
the driver has no GPUs.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pynvml

from dueby_api.errors import Invalid
from dueby_profiler.machine.limits import MIB

# Errors that mean "there is no such value": this GPU has none (a slice has no power meter), or the driver is too old.
_NO_SUCH_VALUE = (pynvml.NVMLError_NotSupported, pynvml.NVMLError_FunctionNotFound)
# What to do about errors that last.
_ADVICE = {
    pynvml.NVMLError_LibRmVersionMismatch: "it was updated and not loaded again: restart the machine",
    pynvml.NVMLError_GpuIsLost: "a GPU has fallen off the bus: restart the machine, and look for Xid in `dmesg`",
    pynvml.NVMLError_Unknown: (
        "a container loses its GPUs when systemd reloads its units: start the container again; otherwise look for Xid "
        "in `dmesg`"
    ),
    pynvml.NVMLError_NoPermission: "its devices (/dev/nvidia*) are not open to this user or container",
}


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A GPU, or a MIG slice of one."""

    uuid: str
    product: str
    """Its device class."""
    memory_mib: int | None
    """None for a GPU that shares the host's."""
    driver: str
    other_name: str | None = None
    """What the driver calls it, where the cluster's name for its class says something else."""


def read_gpus() -> list[Gpu]:
    """Return every GPU of the machine, or its slices where it is in MIG mode; none if there is no driver."""
    with _nvml() as is_available:
        if not is_available:
            return []
        driver = _text(pynvml.nvmlSystemGetDriverVersion())
        gpus = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return [
            Gpu(
                uuid=_text(pynvml.nvmlDeviceGetUUID(handle)),
                product=product_label(_text(pynvml.nvmlDeviceGetName(handle))),
                memory_mib=_memory_mib(handle),
                driver=driver,
            )
            for gpu in gpus
            for handle in _usable(gpu)
        ]


def _usable(gpu: Any) -> Iterator[Any]:
    """Yield what processes can compute on: the GPU, or in MIG mode each slice of it.

    Of a GPU in MIG mode NVML tells a container nothing, and others the memory of all slices together.
    """
    with suppress(*_NO_SUCH_VALUE):
        current, _ = pynvml.nvmlDeviceGetMigMode(gpu)
        if current == pynvml.NVML_DEVICE_MIG_ENABLE:
            for index in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(gpu)):
                # Slices keep their numbers when others are taken away, and a container has those that it was given.
                with suppress(pynvml.NVMLError_NotFound):
                    yield pynvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, index)
            return
    yield gpu


def _memory_mib(gpu: Any) -> int | None:
    with suppress(*_NO_SUCH_VALUE):
        return int(pynvml.nvmlDeviceGetMemoryInfo(gpu).total // MIB)
    return None


def is_used(uuid: str) -> bool:
    """Return whether a process computes on the GPU now; False if the driver doesn't say."""
    with _nvml(), suppress(*_NO_SUCH_VALUE, pynvml.NVMLError_NoPermission):
        return bool(pynvml.nvmlDeviceGetComputeRunningProcesses(pynvml.nvmlDeviceGetHandleByUUID(uuid)))
    return False


@dataclass(frozen=True, kw_only=True)
class GpuState:
    """What NVML answers about one GPU at one moment."""

    values: Mapping[str, float]
    """Values by name, in base units; values that the GPU does not have are omitted."""
    problem: str | None = None
    """Why values are missing that the GPU does have, such as that the GPU is lost."""


@contextmanager
def observe_gpus() -> Iterator[Callable[[str], GpuState]]:
    """Yield a function that reads the state of a GPU, for many readings: starting NVML takes as long as thousands of
    them.

    A lost GPU is reported as a problem and never raised, so that whatever is being measured goes on.
    """
    handles: dict[str, Any] = {}
    with _nvml() as is_available:
        nothing = GpuState(values={}, problem="the NVIDIA driver is not loaded")
        yield lambda uuid: _read_state(uuid, handles) if is_available else nothing


def read_load(uuids: Iterable[str]) -> list[GpuState]:
    """Return the state of each GPU now, and between which limits its clock and its power are."""
    with _nvml():
        return [_read_state(uuid, {}, (*_STATE, *_LIMITS)) for uuid in uuids]


def _read_state(uuid: str, handles: dict[str, Any], readers: "Iterable[Reader] | None" = None) -> GpuState:
    values: dict[str, float] = {}
    try:
        if uuid not in handles:
            handles[uuid] = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        for read in readers or _STATE:
            with suppress(*_NO_SUCH_VALUE):
                values |= read(handles[uuid])
    except pynvml.NVMLError as error:
        return GpuState(values=values, problem=str(error))
    return GpuState(values=values)


def product_label(name: str) -> str:
    """Return the product's name in the spelling of a Kubernetes label."""
    return "-".join(name.split())


@contextmanager
def _nvml() -> Iterator[bool]:
    """Start NVML and yield whether there is a driver; stop it afterwards. Raise Invalid if it has come to grief."""
    try:
        pynvml.nvmlInit()
    except (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded):
        yield False
        return
    except pynvml.NVMLError as error:
        raise _trouble(error) from None
    try:
        yield True
    except pynvml.NVMLError as error:
        raise _trouble(error) from None
    finally:
        pynvml.nvmlShutdown()


def _trouble(error: pynvml.NVMLError) -> Invalid:
    advice = _ADVICE.get(type(error), "see what nvidia-smi says of it")
    return Invalid("this machine", f"NVIDIA's driver can't be asked for its GPUs ({error}); {advice}")


def _memory(gpu: Any) -> dict[str, float]:
    memory = pynvml.nvmlDeviceGetMemoryInfo(gpu)
    return {"memory_total_bytes": memory.total, "memory_used_bytes": memory.used, "memory_free_bytes": memory.free}


def _bar1(gpu: Any) -> dict[str, float]:
    bar1 = pynvml.nvmlDeviceGetBAR1MemoryInfo(gpu)
    return {"bar1_total_bytes": bar1.bar1Total, "bar1_used_bytes": bar1.bar1Used, "bar1_free_bytes": bar1.bar1Free}


def _utilization(gpu: Any) -> dict[str, float]:
    rates = pynvml.nvmlDeviceGetUtilizationRates(gpu)
    return {"busy_percent": rates.gpu, "memory_busy_percent": rates.memory}


# All of these are cheap. Values that NVML measures while it is asked, such as PCIe throughput for 20 ms, are left out.
Reader = Callable[[Any], dict[str, float]]
_STATE: tuple[Reader, ...] = (
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
# Which stay as they are.
_LIMITS: tuple[Reader, ...] = (
    lambda gpu: {"power_limit_w": pynvml.nvmlDeviceGetEnforcedPowerLimit(gpu) / 1000},
    lambda gpu: {"sm_clock_max_mhz": pynvml.nvmlDeviceGetMaxClockInfo(gpu, pynvml.NVML_CLOCK_SM)},
)


def _text(value: str | bytes) -> str:
    """Return the value as text; older bindings return bytes."""
    return value.decode() if isinstance(value, bytes) else value
