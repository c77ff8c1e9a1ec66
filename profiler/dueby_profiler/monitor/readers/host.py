"""The machine and its processes, read with psutil.

The machine's counters count from its boot, which may be any time ago; here they count from the start of the monitor, as
in the study. Nothing is read that walks a list of unknown length: memory maps, open files, other processes.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import psutil

_LOADS = ("cpu_load_1m_percent", "cpu_load_5m_percent", "cpu_load_15m_percent")
_MEMORY = {
    "memory_available_bytes": "available",
    "memory_used_bytes": "used",
    "memory_used_percent": "percent",
    "memory_free_bytes": "free",
    "memory_cached_bytes": "cached",
}
_DISK = {
    "disk_reads": ("read_count", 1.0),
    "disk_writes": ("write_count", 1.0),
    "disk_read_s": ("read_time", 1e-3),
    "disk_write_s": ("write_time", 1e-3),
    "disk_busy_s": ("busy_time", 1e-3),
    "disk_read_bytes": ("read_bytes", 1.0),
    "disk_write_bytes": ("write_bytes", 1.0),
}
_NETWORK = {"network_sent_bytes": "bytes_sent", "network_received_bytes": "bytes_recv"}
_PROCESS_MEMORY = {
    "process_rss_bytes": "rss",
    "process_virtual_bytes": "vms",
    "process_shared_bytes": "shared",
    "process_text_bytes": "text",
    "process_data_bytes": "data",
    "process_library_bytes": "lib",
    "process_dirty_pages": "dirty",
}
# CPU times that are no work, and those of guests, which are part of user and nice already.
_NOT_COUNTED = ("idle", "iowait", "guest", "guest_nice")
Values = dict[str, float]
Read = TypeVar("Read")


class Host:
    """The machine, with its counters from now on."""

    def __init__(self) -> None:
        self._cores = psutil.cpu_count() or 1
        self._beginning = _counters()

    def levels(self) -> Values:
        """Return its load and its memory."""
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
        """Return its levels and its counters."""
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
    stats, times = psutil.cpu_stats(), psutil.cpu_times()
    values = {
        "cpu_ctx_switches": float(stats.ctx_switches),
        "cpu_interrupts": float(stats.interrupts),
        "cpu_soft_interrupts": float(stats.soft_interrupts),
        "cpu_busy_s": sum(times) - sum(getattr(times, name, 0.0) for name in _NOT_COUNTED),
    }
    if disk := psutil.disk_io_counters():  # a container may have no disk
        values |= {
            name: factor * getattr(disk, field) for name, (field, factor) in _DISK.items() if hasattr(disk, field)
        }
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
