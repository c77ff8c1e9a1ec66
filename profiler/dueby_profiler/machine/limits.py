"""What a process may use on this machine: cores, by quota and affinity, and memory, by cgroup and by what is free.

`os.cpu_count()` returns the host's cores. In a container the quota counts: with more threads than it allows, a step
takes either 35 or 130 ms, and neither is a latency. Both versions of cgroups are read. Each limit is the smallest one
on the way from the process's own group up to the root, since a parent may allow less than the group itself.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path, PurePosixPath

MIB = 1024 * 1024
# cgroup v1 writes "no limit" as the largest multiple of a page below 2^63.
_UNLIMITED = 2**62


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a process may use here."""

    cores: tuple[int, ...]
    """Numbers of the cores that this process may run on."""
    usable: float
    """Cores' worth of time that it gets; at most the number of cores."""
    memory_mib: int
    """Memory that it may take now."""

    @property
    def owns_cores(self) -> bool:
        """Whether cores can be assigned one by one. With a quota below their number, time is shared instead."""
        return self.usable >= len(self.cores)


def read_limits(*, root: Path = Path("/"), cores: frozenset[int] | None = None) -> Limits:
    """Return the limits of this process.

    `root` is the folder that holds proc and sys; `cores` are those of the process's affinity by default.
    """
    allowed = sorted(os.sched_getaffinity(0) if cores is None else cores)
    quota = min(_quotas(root), default=inf)
    memory = min([_available_mib(root), *_memory_limits_mib(root)])
    return Limits(cores=tuple(allowed), usable=min(float(len(allowed)), quota), memory_mib=int(memory))


def _quotas(root: Path) -> Iterator[float]:
    """Yield the cores' worth of time that each group on the way to the root allows."""
    for group in _groups(root, "cpu"):
        period, quota = _read(group / "cpu.cfs_period_us"), _read(group / "cpu.cfs_quota_us")
        if period and quota and int(quota) > 0:  # -1: no quota
            yield int(quota) / int(period)
    for group in _groups(root, ""):
        allowed, _, period = _read(group / "cpu.max").partition(" ")
        if allowed and allowed != "max":
            yield int(allowed) / int(period or 100_000)  # the kernel's default period


def _memory_limits_mib(root: Path) -> Iterator[float]:
    for group in _groups(root, "memory"):
        limit = _read(group / "memory.limit_in_bytes")
        if limit and int(limit) < _UNLIMITED:
            yield int(limit) / MIB
    for group in _groups(root, ""):
        limit = _read(group / "memory.max")
        if limit and limit != "max":
            yield int(limit) / MIB


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders from the process's own group up to the controller's root; the controller "" is cgroup v2.

    Inside a container the path may be the host's and not exist; then the root of the mount is the container's group.
    """
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, names, path = line.split(":", 2)
        if controller not in names.split(","):
            continue
        # v2 is mounted at the root, or beside v1 as `unified`. v1 has a folder for each controller, or for several
        # mounted together, such as cpu,cpuacct.
        folders = ("", "unified") if controller == "" else dict.fromkeys((controller, names))
        for folder in folders:
            mount = root / "sys/fs/cgroup" / folder
            inside = PurePosixPath(path.lstrip("/"))
            yield from (mount / part for part in [inside, *inside.parents] if (mount / part).is_dir())


def _available_mib(root: Path) -> float:
    for line in _read(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 1024
    return inf


def _read(path: Path) -> str:
    """Return the file's text; "" if there is no such file, as with the other version of cgroups."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
