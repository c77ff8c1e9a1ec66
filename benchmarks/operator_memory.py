"""What finished jobs cost the operator: memory and CPU beside none, 1,000 and 3,000 of them, and 10,000 pods of others.

On the real API server of a kind cluster, with nodes and pods made up by kwok (large_cluster.py). The finished jobs have
the status that a job ends with. A fresh operator, a process beside the cluster, is left alone with each number of them
and a job that runs, for which it looks at the cluster every few seconds.

    python benchmarks/operator_memory.py        # 12 minutes; needs Docker, kind, kubectl and kwok

Memory is that of the process, sampled every few seconds: from the first passes to the last it should stay as it is.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path
from statistics import median

import psutil
from rich.table import Table

from dueby_operator import paths
from dueby_operator.handlers import sign_in
from dueby_operator.kube.client import Kube
from large_cluster import OPERATOR, Document, LargeCluster, large_cluster, make_user, until
from large_cluster_fill import each
from operator_scale import console, cpu_s, figures, furnish, made_up_workers, operator
from operator_scale_objects import FILL, finished_job, finished_status, inference_job

RESULTS = Path(__file__).parent / "results"
# Memory of the last third of the time against that of the first.
BAR_GROWTH = 1.05
SAMPLE_S = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--name", default="dueby-benchmark", help="of the kind cluster that is made")
    parser.add_argument("--finished", type=int, nargs="+", default=[0, 1000, 3000], help="ascending (%(default)s)")
    parser.add_argument("--seconds", type=float, default=120, help="with each of them (%(default)s)")
    parser.add_argument("--output", type=Path, default=RESULTS / "operator_memory.json")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the cluster goes with it
    with large_cluster(name=options.name, kubeconfig=None, audit_log=None) as cluster:
        rows = asyncio.run(measure(cluster, options.finished, seconds=options.seconds))
    document = {"nodes": FILL.nodes, "otherPods": FILL.pods, "seconds": options.seconds, "rows": rows}
    options.output.write_text(json.dumps(document, indent=1))
    ok = tell(rows)
    console.print(f"Written: {options.output}", style="dim")
    sys.exit(not ok)


async def measure(cluster: LargeCluster, counts: list[int], *, seconds: float) -> list[Document]:
    """Fill the cluster, then add finished jobs up to each count and watch an operator beside them."""
    kube = Kube(sign_in)
    user = await make_user(cluster, kube, OPERATOR)
    await furnish(cluster, kube)
    await kube.create(paths.jobs_path("default"), inference_job(0))
    there, rows = 0, []
    with made_up_workers():
        for count in counts:
            console.print(f"Beside {count:,} finished jobs ...", style="dim")
            await each([finished_job(number) for number in range(there, count)], kube, finish)
            there = count
            async with operator(cluster, user) as process:
                await until(lambda: runs(kube), "the job runs")
                rows.append({"finishedJobs": count, **await watch(cluster, process, seconds=seconds)})
            console.print(json.dumps(rows[-1]), style="dim")
    await kube.close()
    return rows


async def finish(kube: Kube, job: Document) -> None:
    """Make the job, and say that it has ended."""
    await kube.create(paths.jobs_path("default"), job)
    status = {"status": finished_status(job)}
    await kube.merge(paths.jobs_path("default", job["metadata"]["name"], "status"), status)


async def runs(kube: Kube) -> bool:
    """Whether the job runs that isn't finished."""
    job = await kube.get(paths.jobs_path("default", inference_job(0)["metadata"]["name"]))
    return bool(job.get("status", {}).get("phase") == "Running")


async def watch(cluster: LargeCluster, process: psutil.Process, *, seconds: float) -> Document:
    """What the operator holds in the first and the last third of the time, and what it uses and asks."""
    log_end, began_s, began_cpu_s = cluster.log_end(), time.monotonic(), cpu_s(process)
    samples: list[tuple[float, float]] = []
    while (now_s := time.monotonic() - began_s) < seconds:
        samples.append((now_s, process.memory_info().rss / 2**20))
        await asyncio.sleep(SAMPLE_S)
    requests = cluster.requests_since(log_end, OPERATOR)
    return {
        "firstMiB": round(median(mib for at_s, mib in samples if at_s < seconds / 3), 1),
        "lastMiB": round(median(mib for at_s, mib in samples if at_s > seconds * 2 / 3), 1),
        "peakMiB": figures(process)["peakMiB"],
        "cpuShare": round((cpu_s(process) - began_cpu_s) / seconds, 3),
        "requests": dict(sorted(requests.items())),
        "loadAverage": round(os.getloadavg()[0], 1),
    }


def tell(rows: list[Document]) -> bool:
    """Print the figures; whether memory stays as it is."""
    table = Table(title=f"An operator beside {FILL.pods:,} pods of others", title_justify="left")
    for heading in ("finished jobs", "first third, MiB", "last third, MiB", "peak, MiB", "share of a core"):
        table.add_column(heading, justify="right")
    for row in rows:
        cells = (row["firstMiB"], row["lastMiB"], row["peakMiB"], row["cpuShare"])
        table.add_row(f"{row['finishedJobs']:,}", *map(str, cells))
    console.print(table)
    grown: float = max(row["lastMiB"] / row["firstMiB"] for row in rows)
    holds = grown <= BAR_GROWTH
    console.print(
        f"memory grows by {grown - 1:.1%} at most, {BAR_GROWTH - 1:.0%} allowed  {'ok' if holds else 'MISSED'}"
    )
    return holds


if __name__ == "__main__":
    main()
