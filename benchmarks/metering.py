"""What a program costs, with all processes that it starts: wall time, CPU time, memory, and who else was computing.

Memory is the proportional set size (what is shared counts once) of the whole tree, looked at twice a second: enough for
programs that hold it for seconds. CPU time is what the kernel charged to the processes when they ended. What the rest
of the machine computed meanwhile is measured too: a figure taken beside other work is worth little, and should say so.

Some programs (Ray) leave processes behind that end a little later. This process adopts them, so that they are counted,
and the next program starts when they are gone.
"""

import contextlib
import ctypes
import os
import resource
import subprocess
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import psutil

_EVERY_S = 0.5
_PR_SET_CHILD_SUBREAPER = 36
# How long processes that a program left behind may take to end by themselves.
_LEFT_BEHIND_S = 10.0


class Failed(SystemExit):
    """A program did not do its work, and the sentence says which and how."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """A program to run."""

    arguments: Sequence[str]
    environment: Mapping[str, str]
    """On top of this process's."""
    is_early: bool = False
    """Whether it is started with the first stage, and told by a line on its standard input when its own one begins."""
    cores: Collection[int] = ()
    """The only ones that it may use; empty: this process's."""
    codes: Collection[int] = (0,)
    """Exit codes with which it has done its work."""


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


def run_metered(stages: Sequence[Sequence[Command]], log: Path, *, limit_s: float | None = None) -> Cost:
    """Run the stages one after another, the programs of a stage side by side; stderr goes to the log.

    Early commands run beside the first stage, too, and are waited for in their own. `limit_s` is how long each program
    may take.
    """
    _adopt_orphans(True)
    watch, outputs, ends = _Watch(), [], [time.perf_counter()]
    cpu_s, busy_s = _children_cpu_s(), _machine_busy_s()
    own_s = time.process_time()
    others = {child.pid for child in _descendants()}
    with log.open("ab") as errors, watch:
        early: dict[int, subprocess.Popen[str]] = {}
        for stage in stages:
            running = [early.pop(id(each)) if each.is_early else _start(each, errors.fileno()) for each in stage]
            if stage is stages[0]:
                early = {id(each): _start(each, errors.fileno()) for later in stages for each in later if each.is_early}
            for process in running:
                _tell(process)
            for process, command in zip(running, stage, strict=True):
                outputs.append(_finish(process, command.codes, log, limit_s))
            ends.append(time.perf_counter())
        _await_left_behind(others)
    _adopt_orphans(False)
    wall_s = ends[-1] - ends[0]
    cpu_s = _children_cpu_s() - cpu_s
    foreign_s = _machine_busy_s() - busy_s - cpu_s - (time.process_time() - own_s)
    return Cost(
        wall_s=wall_s,
        stages_s=tuple(end - begin for begin, end in pairwise(ends)),
        cpu_s=cpu_s,
        peak_mib=watch.peak / 2**20,
        foreign_cores=max(0.0, foreign_s / (time.perf_counter() - ends[0])),
        outputs=tuple(outputs),
    )


class _Watch:
    """A thread that looks at the memory of this process's descendants."""

    def __init__(self) -> None:
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
            self.peak = max(self.peak, sum(_pss(child.pid) for child in _descendants()))


def _descendants() -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process().children(recursive=True)
    return []


def _adopt_orphans(does: bool) -> None:
    """Have what programs leave behind become this process's children, so that they are waited for, or no longer."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(does), 0, 0, 0)


def _await_left_behind(others: Collection[int]) -> None:
    """Wait for what the programs left behind, and end what is still there then; `others` were there before."""
    until = time.monotonic() + _LEFT_BEHIND_S
    while left := [child for child in _descendants() if child.pid not in others]:
        for child in left:
            with contextlib.suppress(psutil.NoSuchProcess, ChildProcessError):
                if time.monotonic() > until:
                    child.kill()
                # Adopted ones are this process's to reap; theirs is an error that says so.
                os.waitpid(child.pid, os.WNOHANG)
        time.sleep(0.05)


def _pss(pid: int) -> int:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return int(rollup.partition("\nPss:")[2].split(maxsplit=1)[0]) * 1024


def _start(command: Command, errors: int) -> subprocess.Popen[str]:
    environment = {**os.environ, **command.environment}
    with _confined_to(command.cores):
        return subprocess.Popen(
            command.arguments,
            env=environment,
            stdin=subprocess.PIPE if command.is_early else None,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )


def _tell(process: subprocess.Popen[str]) -> None:
    if process.stdin:
        process.stdin.write("\n")
        process.stdin.close()
        process.stdin = None


@contextlib.contextmanager
def _confined_to(cores: Collection[int]) -> Iterator[None]:
    """Confine this thread, and with it the processes that it starts meanwhile."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _finish(process: subprocess.Popen[str], codes: Collection[int], log: Path, limit_s: float | None) -> str:
    try:
        output, _ = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        process.kill()
        process.communicate()
        raise Failed(f"{process.args!r} was not done after {limit_s:.0f} s:\n{_tail(log)}") from None
    if process.returncode not in codes:
        raise Failed(f"{process.args!r} ended with code {process.returncode}:\n{_tail(log)}")
    return output


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-10:])


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _machine_busy_s() -> float:
    """Since the machine started, all cores together, waiting for disks not counted."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)
