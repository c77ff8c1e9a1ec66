"""What takes the operator's CPU time in operator_running.py, by samples of its stacks that py-spy takes.

A sample counts for the first of these that is on the stack; one of a thread that waits does not count. Asyncio's own
work, and that of the sockets, is on no coroutine's stack, so it can't be told for whom it is.
"""

import asyncio
import shutil
import sys
from collections import Counter
from pathlib import Path

import psutil

SECONDS, RATE = 30, 200
# By what is on the stack, from the innermost to the outermost that may be on one.
PARTS = {
    "calendar": ("make_calendar (", "verify_calendar ("),
    "device groups": ("find_groups (",),
    "other planning": ("schedule (",),
    "other decisions": ("decide (dueby_operator/control/decide.py",),
    "nodes less pods": ("take_pods (",),
    "lists": ("_list (", "read (dueby_operator/kube/scope.py", "read (dueby_operator/kube/job_list.py"),
    "workers' answers": ("_ask_one (", "ask (dueby_operator/gathering/worker"),
    "other observation": ("(dueby_operator/gathering/progress.py",),
    "statuses": ("_write_status (",),
    "watches": ("_follow (",),
    "metrics": ("record_reconcile (", "collect ("),
    "sockets": ("_read_ready", "data_received (", "_write_ready", "_SelectorSocketTransport"),
}
OTHER = "asyncio and the rest"
# What a thread that has nothing to do is in.
WAITING = ("select (selectors.py", "_worker (concurrent/futures/thread.py", "wait (threading.py")


def find_py_spy() -> str | None:
    """py-spy, beside this Python or on the path."""
    return shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")


async def split(process: psutil.Process, folder: Path) -> dict[str, float]:
    """The share of each part in the process's CPU time, the largest first."""
    file = folder / f"stacks-{process.pid}"
    command = [find_py_spy() or "py-spy", "record", "--format", "raw", "--rate", str(RATE), "--duration", str(SECONDS)]
    sampling = await asyncio.create_subprocess_exec(
        *command, "--output", str(file), "--pid", str(process.pid), stdout=asyncio.subprocess.DEVNULL
    )
    if await sampling.wait():
        raise SystemExit("py-spy has failed: it may need root.")
    samples: Counter[str] = Counter()
    for line in file.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        if any(mark in stack.rpartition(";")[2] for mark in WAITING):
            continue
        part = next((name for name, marks in PARTS.items() if any(mark in stack for mark in marks)), OTHER)
        samples[part] += int(count)
    return {name: round(count / samples.total(), 3) for name, count in samples.most_common()}
