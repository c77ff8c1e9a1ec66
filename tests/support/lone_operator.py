"""The operator's tables, gatherer, decision and writes in a process of their own, of which memory and time are told.

    python -m support.lone_operator SERVER PASSES

Prints one line of JSON: the memory before the first pass and the most there ever was, in MiB, and the processor time of
each pass, in seconds.
"""

import asyncio
import json
import os
import re
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from dueby_operator.gathering.gather import Gatherer
from dueby_operator.gathering.progress import JobObserver
from dueby_operator.kube.client import Kube
from dueby_operator.kube.tables import WatchedTables
from dueby_operator.kube.trouble import Trouble
from dueby_operator.objects.pods import Pod
from dueby_operator.passes.reconciler import Reconciler
from support.api import Open
from support.decisions import NOW, SECOND, SETTINGS

# A pass for which a server answers so much that the test has failed anyway.
ANSWER_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What the passes have cost."""

    before_mib: float
    peak_mib: float
    pass_s: list[float]
    """Processor time of each."""


def run(server: str, passes: int) -> Cost:
    """Run so many passes beside a server, ten seconds of the jobs' time apart."""
    before_mib = psutil.Process().memory_info().rss / 2**20
    pass_s = asyncio.run(_reconcile(server, passes))
    return Cost(before_mib=before_mib, peak_mib=_peak_mib(), pass_s=pass_s)


async def cost_beside(server: str, passes: int = 3) -> Cost:
    """Return what so many passes cost in a process of their own."""
    command = (sys.executable, "-m", "support.lone_operator", server, str(passes))
    place = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env=place)
    told, _ = await process.communicate()
    assert process.returncode == 0
    return Cost(**json.loads(told.splitlines()[-1]))


async def _reconcile(server: str, passes: int) -> list[float]:
    kube = Kube(lambda: Open(server), answer_s=ANSWER_S)
    tables = WatchedTables(kube, SETTINGS, wake=lambda: None, outage=Trouble("", ""))
    tasks = [asyncio.create_task(table.run()) for table in tables.all()]
    gatherer = Gatherer(
        kube, SETTINGS, observer=JobObserver(kube, ask=_no_answer), nodes=tables.nodes, scope=tables.scope
    )
    now_us, seconds = NOW, []
    reconciler = Reconciler(kube, gatherer, now_us=lambda: now_us)
    for _ in range(passes):
        began_s = time.process_time()
        await reconciler.reconcile()
        seconds.append(time.process_time() - began_s)
        now_us += 10 * SECOND
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await kube.close()
    return seconds


def _peak_mib() -> float:
    """The most memory that this process ever had; getrusage also counts the one that it was forked from."""
    most = re.search(r"VmHWM:\s+([0-9]+) kB", Path("/proc/self/status").read_text())
    assert most
    return int(most[1]) / 2**10


async def _no_answer(pod: Pod, page: str) -> bytes | None:
    return None


if __name__ == "__main__":
    print(json.dumps(asdict(run(sys.argv[1], int(sys.argv[2])))))
