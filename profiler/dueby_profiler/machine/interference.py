"""Find out whether another program used the machine while a group of processes measured it.

One core's worth of foreign work makes a mini-batch take up to 15 times as long (two spinning threads on one free core),
and nothing in the steps themselves tells that from a slow machine. So the CPU time of the measured cores is compared
with the CPU time of the profiler and its processes; the difference is foreign. Time stolen by the hypervisor counts as
foreign, too.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

# A process group that met more foreign work than this is disturbed.
BUSY_CORES = 0.15
# Columns of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal, and then guest times, which are part of
# user and nice already.
_IDLE = (3, 4)
_COUNTED = 8


@dataclass(frozen=True, kw_only=True)
class CpuTimes:
    """CPU time used up to a moment, in seconds."""

    at_s: float
    machine_s: float
    """Used by everyone on the watched cores."""
    own_s: float
    """Used by this process and its children that have ended."""


def foreign_cores(before: CpuTimes, after: CpuTimes) -> float:
    """Return how many cores other programs used on average between two moments at which no child process was alive."""
    wall_s = after.at_s - before.at_s
    foreign_s = (after.machine_s - before.machine_s) - (after.own_s - before.own_s)
    return max(0.0, foreign_s / wall_s) if wall_s > 0 else 0.0


def read_times(cores: Sequence[int], *, clock: Callable[[], float], stat: Path = Path("/proc/stat")) -> CpuTimes:
    """Return the times now, from the cores' lines in /proc/stat."""
    wanted = {f"cpu{core}" for core in cores}
    ticks = 0
    for line in stat.read_text().splitlines():
        name, *fields = line.split()
        if name in wanted:
            ticks += sum(int(field) for i, field in enumerate(fields[:_COUNTED]) if i not in _IDLE)
    times = os.times()
    return CpuTimes(
        at_s=clock(),
        machine_s=ticks / os.sysconf("SC_CLK_TCK"),
        own_s=times.user + times.system + times.children_user + times.children_system,
    )
