"""Where sessions are scheduled as groups, a busy machine's message says what holds other programs back there."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from dueby_profiler.machine.interference import advice, is_in_effect
from dueby_profiler.machine.limits import read_limits
from support.run import wait_until

SPIN = "import os, sys\nos.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"


def used_ticks(pid: int) -> int:
    """Return the CPU time that the process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def share_beside_another(hold_back: Callable[[int], object]) -> float:
    """Let two sessions compete for one core, of which one is held back; return its CPU time beside the other's."""
    core = str(read_limits().cores[0])
    with ExitStack() as stack:
        held, other = (
            stack.enter_context(subprocess.Popen([sys.executable, "-c", SPIN, core], start_new_session=True))
            for _ in range(2)
        )
        for process in (held, other):
            stack.callback(process.kill)
        wait_until(lambda: min(used_ticks(process.pid) for process in (held, other)) > 10, "both run")
        hold_back(held.pid)
        before = [used_ticks(process.pid) for process in (held, other)]
        wait_until(
            lambda: sum(used_ticks(process.pid) for process in (held, other)) - sum(before) > 100,
            "a second of the core",
        )
        grown = [used_ticks(process.pid) - begun for process, begun in zip((held, other), before, strict=True)]
    return grown[0] / max(1, grown[1])


# It tells the kernel's word, on cores that have nothing else to do.
@pytest.mark.deep
@pytest.mark.autogroup
def test_what_is_advised_holds_a_program_of_another_session_back_and_nice_does_not() -> None:
    assert "/proc/PID/autogroup" in advice()
    assert share_beside_another(lambda pid: os.setpriority(os.PRIO_PROCESS, pid, 19)) > 0.5
    assert share_beside_another(lambda pid: Path(f"/proc/{pid}/autogroup").write_text("19")) < 0.25


@pytest.mark.parametrize(
    ("enabled", "cgroup", "weighted", "effect"),
    [
        pytest.param("1", "0::/", None, True, id="version 2, no group"),
        pytest.param("1", "0::/user.slice/shell.scope", None, True, id="a group without a share"),
        pytest.param("1", "0::/user.slice/shell.scope", "user.slice", False, id="within a group with a share"),
        pytest.param("1", "0::/", "", False, id="a container"),
        pytest.param("1", "2:cpuacct:/a\n1:cpu:/\n0::/", None, True, id="version 1"),
        pytest.param("1", "3:cpu,cpuacct:/docker/1", None, False, id="version 1, a container"),
        pytest.param("0", "0::/", None, False, id="switched off"),
        pytest.param(None, "0::/", None, False, id="another kernel"),
    ],
)
def test_sessions_count_where_the_kernel_groups_them_and_no_cgroup_does(
    enabled: str | None, cgroup: str, weighted: str | None, effect: bool, tmp_path: Path
) -> None:
    proc, cgroups = tmp_path / "proc", tmp_path / "cgroup"
    for folder in (proc / "sys/kernel", proc / "self", cgroups / "user.slice/shell.scope"):
        folder.mkdir(parents=True)
    (proc / "self/autogroup").write_text("/autogroup-1 nice 0")
    (proc / "self/cgroup").write_text(cgroup + "\n")
    if enabled is not None:
        (proc / "sys/kernel/sched_autogroup_enabled").write_text(enabled + "\n")
    if weighted is not None:
        (cgroups / weighted / "cpu.weight").write_text("100")

    assert is_in_effect(proc, cgroups) == effect
    assert bool(advice(proc, cgroups)) == effect
