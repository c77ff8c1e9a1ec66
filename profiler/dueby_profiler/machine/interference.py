"""Find out whether another program used the machine while a group of processes measured it.

One core's worth of foreign work makes a mini-batch take up to 15 times as long (two spinning threads on one free core),
and nothing in the steps themselves tells that from a slow machine. So the CPU time of the measured cores is compared
with the CPU time of the profiler and its processes; the difference is foreign. Time stolen by the hypervisor counts as
foreign, too.

Who profiles a busy machine is told what holds other programs back where `nice` doesn't: Linux may schedule each session
as a group (sched(7)). Then a process's nice value counts within its session only, and a group's own is written into
/proc/PID/autogroup. The profiler doesn't raise its own groups'. At -10 a program that wants a whole core gets a tenth
of one, which counts as quiet, and so the profile would promise what workers, who have no such priority, can't keep.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

_PROC, _CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
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


def advice(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> str:
    """Return a sentence for who profiles a busy machine, with a space before it; nothing where `nice` works."""
    if not is_in_effect(proc, cgroups):
        return ""
    return (
        " Here nice holds no program of another session back, since Linux gives each session its share of the cores; "
        "write 19 into /proc/PID/autogroup of such a program, and leave it so while jobs run."
    )


def is_in_effect(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> bool:
    """Return whether sessions are scheduled as groups: the kernel does so, and this process's cgroup has no share of
    the cores for itself, which takes their place.
    """
    try:
        if (proc / "sys/kernel/sched_autogroup_enabled").read_text().strip() != "1":
            return False
        lines = (proc / "self/cgroup").read_text().splitlines()
        return (proc / "self/autogroup").exists() and not any(_has_share(line, cgroups) for line in lines)
    except OSError:
        return False


def _has_share(line: str, cgroups: Path) -> bool:
    """Return whether cores are shared out to a group of /proc/self/cgroup, or to one that it is in."""
    number, controllers, path = line.split(":", 2)
    if number != "0":  # version 1
        return "cpu" in controllers.split(",") and path != "/"
    group = cgroups / path.lstrip("/")
    return any((folder / "cpu.weight").exists() for folder in (group, *group.parents))
