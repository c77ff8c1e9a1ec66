"""The machine and its processes, read with psutil.

The machine's counters count from its boot, which may be any time ago; here they count from the start of the monitor, as
in the study. What is read is in the table of features (host_features.py). Nothing is read that walks a list of unknown
length: memory maps, open files, other processes.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import psutil

from dueby_profiler.monitor.features.host_features import HOST

_LOADS = ("cpu_load_1m_percent", "cpu_load_5m_percent", "cpu_load_15m_percent")
# CPU times that are no work, and those of guests, which are part of user and nice already.
_NOT_COUNTED = ("idle", "iowait", "guest", "guest_nice")
Values = dict[str, float]
Read = TypeVar("Read")


def _fields_of(call: str) -> dict[str, str]:
    """Return the fields of what psutil returns that are features, by the feature's name."""
    return {feature.name: feature.call.rpartition(".")[2] for feature in HOST if feature.call.startswith(f"{call}.")}


_MEMORY, _PROCESS_MEMORY = _fields_of("virtual_memory()"), _fields_of("Process.memory_info()")
_CPU, _DISK, _NETWORK = _fields_of("cpu_stats()"), _fields_of("disk_io_counters()"), _fields_of("net_io_counters()")
# psutil's times of disks are in milliseconds.
_MILLISECONDS = [feature.name for feature in HOST if feature.name in _DISK and feature.unit == "s"]


class Host:
    """The machine, with its counters from now on."""

    def __init__(self) -> None:
        self._cores = psutil.cpu_count() or 1
        self._beginning = _counters()

    def levels(self) -> Values:
        load = {name: 100 * value / self._cores for name, value in zip(_LOADS, psutil.getloadavg(), strict=True)}
        return load | _fields(psutil.virtual_memory(), _MEMORY)

    def counters(self) -> Values:
        """Return how far its counters have moved since this object was made."""
        return {name: value - self._beginning.get(name, 0.0) for name, value in _counters().items()}


class WatchedProcess:
    """A process to read; every reading is empty once it is gone."""

    def __init__(self, pid: int) -> None:
        self._process = _or_none(lambda: psutil.Process(pid))

    def read(self) -> tuple[Values, Values]:
        process = self._process
        values = None if process is None else _or_none(lambda: _read_process(process))
        return values or ({}, {})


def _read_process(process: psutil.Process) -> tuple[Values, Values]:
    with process.oneshot():  # reads /proc/PID/stat and status once for all of these
        cpu, switches = process.cpu_times(), process.num_ctx_switches()
        levels = _fields(process.memory_info(), _PROCESS_MEMORY) | {"process_threads": float(process.num_threads())}
        counters = {
            "process_cpu_s": cpu.user + cpu.system,
            "process_voluntary_ctx_switches": float(switches.voluntary),
            "process_involuntary_ctx_switches": float(switches.involuntary),
        }
    return levels, counters


def _counters() -> Values:
    times = psutil.cpu_times()
    values = {
        **_fields(psutil.cpu_stats(), _CPU),
        "cpu_busy_s": sum(times) - sum(getattr(times, name, 0.0) for name in _NOT_COUNTED),
    }
    if disk := psutil.disk_io_counters():  # a container may have no disk
        disks = _fields(disk, _DISK)
        values |= disks | {name: disks[name] / 1000 for name in _MILLISECONDS if name in disks}
    if network := psutil.net_io_counters():
        values |= _fields(network, _NETWORK)
    return values


def _fields(counters: Any, names: Mapping[str, str]) -> Values:
    """Return those of the fields that this system has."""
    return {name: float(getattr(counters, field)) for name, field in names.items() if hasattr(counters, field)}


def _or_none(read: Callable[[], Read]) -> Read | None:
    """Return what is read, or None if the process is gone or belongs to somebody else."""
    try:
        return read()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None
