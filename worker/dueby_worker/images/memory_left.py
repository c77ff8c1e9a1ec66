"""How much more memory this process may take: what the machine has, and what its container's limit leaves.

Only the limit of the process's own container is read, where a container sees it. It is of use beside a limit that the
kernel enforces by ending every process of the container.
"""

from pathlib import Path

# Version 2 of cgroups, then version 1.
_LIMITS = ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_left_bytes(root: Path = Path("/")) -> int:
    """Return how much more this process may take now. `root` is the folder that holds proc and sys."""
    left = [_kib(root / "proc/meminfo", "MemAvailable:")]
    held = _kib(root / "proc/self/status", "VmRSS:")
    for name in _LIMITS:
        try:
            limit = (root / name).read_text().strip()
        except OSError:
            continue
        if limit.isdecimal():
            left.append(int(limit) - held)
    return max(0, min(left))


def data_bytes() -> int:
    """Return what RLIMIT_DATA counts of this process now."""
    return _kib(Path("/proc/self/status"), "VmData:")


def _kib(path: Path, name: str) -> int:
    """Return a value of a file in /proc, in bytes."""
    return int(path.read_text().partition(name)[2].split()[0]) * 1024
