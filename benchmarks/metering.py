"""What a program costs, with all processes that it starts: wall time, CPU time, memory, and who else was computing.

Memory is the proportional set size (what is shared counts once) of the whole tree, looked at twice a second: enough for
programs that hold it for seconds. CPU time is what the kernel charged to the processes when they ended. What the rest
of the machine computed meanwhile is measured too: a figure taken beside other work is worth little, and should say so.
"""

import contextlib
import os
import resource
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import psutil

_EVERY_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Command:
    """A program to run."""

    arguments: Sequence[str]
    environment: Mapping[str, str]
    """On top of this process's."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What some programs cost together."""

    wall_s: float
    stages_s: tuple[float, ...]
    cpu_s: float
    peak_mib: float
    foreign_cores: float
    """Cores that others kept busy on average."""
    outputs: tuple[str, ...]
    """stdout of each program, in order."""


def run_metered(stages: Sequence[Sequence[Command]], log: Path) -> Cost:
    """Run the stages one after another, the programs of a stage side by side; stderr goes to the log."""
    watch, outputs, ends = _Watch(), [], [time.perf_counter()]
    cpu_s, busy_s = _children_cpu_s(), _machine_busy_s()
    own_s = time.process_time()
    with log.open("ab") as errors, watch:
        for stage in stages:
            running = [_start(command, errors.fileno()) for command in stage]
            watch.pids = [process.pid for process in running]
            outputs += [_finish(process, log) for process in running]
            ends.append(time.perf_counter())
    wall_s = ends[-1] - ends[0]
    cpu_s = _children_cpu_s() - cpu_s
    foreign_s = _machine_busy_s() - busy_s - cpu_s - (time.process_time() - own_s)
    return Cost(
        wall_s=wall_s,
        stages_s=tuple(end - begin for begin, end in pairwise(ends)),
        cpu_s=cpu_s,
        peak_mib=watch.peak / 2**20,
        foreign_cores=max(0.0, foreign_s / wall_s),
        outputs=tuple(outputs),
    )


class _Watch:
    """A thread that looks at the memory of process trees."""

    def __init__(self) -> None:
        self.pids: Sequence[int] = ()
        self.peak = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(_EVERY_S):
            self.peak = max(self.peak, sum(_tree_pss(pid) for pid in self.pids))


def _tree_pss(pid: int) -> int:
    """Bytes; 0 for what has ended meanwhile."""
    with contextlib.suppress(psutil.NoSuchProcess):
        tree = [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
        return sum(_pss(member) for member in tree)
    return 0


def _pss(pid: int) -> int:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return int(rollup.partition("\nPss:")[2].split(maxsplit=1)[0]) * 1024


def _start(command: Command, errors: int) -> subprocess.Popen[str]:
    environment = {**os.environ, **command.environment}
    return subprocess.Popen(command.arguments, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True)


def _finish(process: subprocess.Popen[str], log: Path) -> str:
    output, _ = process.communicate()
    if process.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-10:])
        raise SystemExit(f"{process.args!r} ended with code {process.returncode}:\n{tail}")
    return output


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _machine_busy_s() -> float:
    """Since the machine started, all cores together, waiting for disks not counted."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)
