"""Whether something else used the machine while it was measured.

A foreign core's worth of work makes a mini-batch take up to 15 times longer (two threads that spin, on one free core),
and nothing in the steps themselves tells it from a slow machine. So the CPU time of the cores that are measured, less
that of the profiler and its processes, is watched; time that the hypervisor stole counts as foreign.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

BUSY_CORES = 0.15
"""With more foreign work than this, the profile is marked as measured on a busy machine."""
_IDLE = (3, 4)  # idle and iowait
_COUNTED = 8  # user, nice, system, idle, iowait, irq, softirq, steal; guest time after them is in user already


@dataclass(frozen=True, kw_only=True)
class CpuTimes:
    """Seconds of CPU time up to a moment."""

    at_s: float
    machine_s: float
    """Of the watched cores, by everyone."""
    own_s: float
    """Of this process and its children that have ended."""


def foreign_cores(before: CpuTimes, after: CpuTimes) -> float:
    """How many cores something else used on average between two moments at which no child was alive."""
    wall_s = after.at_s - before.at_s
    foreign_s = (after.machine_s - before.machine_s) - (after.own_s - before.own_s)
    return max(0.0, foreign_s / wall_s) if wall_s > 0 else 0.0


def read_times(cores: Sequence[int], *, clock: Callable[[], float], stat: Path = Path("/proc/stat")) -> CpuTimes:
    """The times now, by the cores' lines in /proc/stat."""
    wanted = {f"cpu{core}" for core in cores}
    ticks = 0
    for line in stat.read_text().splitlines():
        name, *fields = line.split()
        if name in wanted:
            ticks += sum(int(field) for i, field in enumerate(fields[:_COUNTED]) if i not in _IDLE)
    own = os.times()
    return CpuTimes(
        at_s=clock(),
        machine_s=ticks / os.sysconf("SC_CLK_TCK"),
        own_s=own.user + own.system + own.children_user + own.children_system,
    )
