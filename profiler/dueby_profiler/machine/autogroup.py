"""Say what holds other programs back where `nice` doesn't: Linux may schedule each session as a group (sched(7)).

Then a process's nice value counts within its session only, and a group's own is written into /proc/PID/autogroup. The
profiler doesn't raise its own groups'. At -10 a program that wants a whole core gets a tenth of one, which counts as
quiet, and so the profile would promise what workers, who have no such priority, can't keep.
"""

from pathlib import Path

_PROC, _CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")


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
