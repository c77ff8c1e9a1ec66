"""What 100 running jobs cost the operator: its share of a core, while its calendar keeps devices for 24 more.

On the real API server of a kind cluster, with 1,000 nodes and pods made up by kwok (large_cluster.py) and workers that
answer as planned (made_up_workers.py). The jobs are of all four deadline classes (operator_running_jobs.py). Once they
run, a fresh operator, a process beside the cluster, is left alone with them for some minutes, several times.

    python benchmarks/operator_running.py                      # 14 minutes; needs Docker, kind, kubectl and kwok
    python benchmarks/operator_running.py --before CHECKOUT    # in turns with the operator of another checkout

CPU time is that of the process, a stretch after the other. What takes it is sampled after them, if py-spy is installed
(operator_running_split.py).
"""

import argparse
import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from statistics import median

import psutil
import yaml
from rich.table import Table

from dueby_operator import paths
from dueby_operator.handlers import sign_in
from dueby_operator.kube.client import Kube
from large_cluster import BY_HAND, OPERATOR, REPOSITORY, Document, LargeCluster, large_cluster, make_user, until
from large_cluster_fill import list_all
from operator_running_jobs import RUNNING, WAITING, running_job, waiting_job
from operator_running_split import find_py_spy, split
from operator_scale import apply, console, cpu_s, figures, furnish, made_up_workers, operator, read_metric
from operator_scale_objects import FILL

RESULTS = Path(__file__).parent / "results"
# Of a core, in the median stretch.
BAR_SHARE = 0.10
# From the first pass of a fresh operator until it is in its stride: it writes every job's progress once before.
SETTLE_S = 30.0
PASSES = "dueby_reconcile_duration_seconds"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--name", default="dueby-benchmark", help="of the kind cluster that is made")
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="of another version, in turns with this one")
    parser.add_argument("--rounds", type=int, default=3, help="fresh operators of each version (%(default)s)")
    parser.add_argument("--stretches", type=int, default=4, help="for each of them (%(default)s)")
    parser.add_argument("--seconds", type=float, default=30, help="of each stretch (%(default)s)")
    parser.add_argument("--output", type=Path, default=RESULTS / "operator_running.json")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the cluster goes with it
    versions = {**({"before": options.before.resolve()} if options.before else {}), "now": REPOSITORY}
    with large_cluster(name=options.name, kubeconfig=None, audit_log=None) as cluster:
        rounds = asyncio.run(measure(cluster, versions, options))
    document = {
        "nodes": FILL.nodes,
        "otherPods": FILL.pods,
        "barShare": BAR_SHARE,
        "secondsOfAStretch": options.seconds,
        "cores": os.cpu_count(),
        "rounds": rounds,
    }
    options.output.write_text(json.dumps(document, indent=1))
    ok = tell(rounds, seconds=options.seconds)
    console.print(f"Written: {options.output}", style="dim")
    sys.exit(not ok)


async def measure(
    cluster: LargeCluster, versions: Mapping[str, Path], options: argparse.Namespace
) -> list[dict[str, Document]]:
    """Have the jobs run, then watch an operator of each version in turns; each round's figures by version."""
    kube = Kube(sign_in)
    users = {user: await make_user(cluster, kube, user) for user in (OPERATOR, BY_HAND)}
    await furnish(cluster, kube)
    rounds = []
    with made_up_workers():
        async with operator(cluster, users[OPERATOR]):
            await start(cluster, kube, users[BY_HAND])
        for number in range(options.rounds):
            console.print(f"Round {number + 1} of {options.rounds} ...", style="dim")
            row: dict[str, Document] = {}
            for name, checkout in versions.items():
                async with operator(cluster, users[OPERATOR], checkout=checkout) as process:
                    row[name] = await watch(
                        cluster, kube, process, stretches=options.stretches, seconds=options.seconds
                    )
                console.print(name, json.dumps(row[name]), style="dim")
            rounds.append(row)
    await kube.close()
    return rounds


async def start(cluster: LargeCluster, kube: Kube, user: Path) -> None:
    """Apply the jobs, and wait until the first ones run and devices are reserved for the others."""
    for kind, jobs, phase in (
        ("running", [running_job(number) for number in range(RUNNING)], "Running"),
        ("waiting", [waiting_job(number) for number in range(WAITING)], "Scheduled"),
    ):
        file = cluster.folder / f"{kind}.yaml"
        file.write_text(yaml.safe_dump_all(jobs))
        await apply(cluster, user, file)

        async def are_there(phase: str = phase, count: int = len(jobs)) -> bool:
            found = await phases(kube)
            console.print(json.dumps(found), style="dim")
            return found[phase] == count

        await until(are_there, f"every job that is to be {kind} is {phase}", pause_s=5.0)


async def phases(kube: Kube) -> Counter[str]:
    """How many jobs are in each phase, and how many have windows."""
    statuses = [job.get("status", {}) for job in await list_all(kube, paths.jobs_path())]
    found = Counter(status.get("phase", "") for status in statuses)
    found["withWindows"] = sum(bool(status.get("plan", {}).get("windows")) for status in statuses)
    return found


async def watch(
    cluster: LargeCluster, kube: Kube, process: psutil.Process, *, stretches: int, seconds: float
) -> Document:
    """What the operator uses in each stretch, and what it asks and holds."""
    await asyncio.sleep(SETTLE_S)
    log_end, shares, passes, pass_s = cluster.log_end(), [], [], []
    for _ in range(stretches):
        before = cpu_s(process), read_metric(f"{PASSES}_count"), read_metric(f"{PASSES}_sum")
        await asyncio.sleep(seconds)
        after = cpu_s(process), read_metric(f"{PASSES}_count"), read_metric(f"{PASSES}_sum")
        used_s, count, took_s = (b - a for a, b in zip(before, after, strict=True))
        shares.append(round(used_s / seconds, 4))
        passes.append(int(count))
        pass_s.append(round(took_s / max(1, count), 3))
    return {
        "cpuShares": shares,
        "passes": passes,
        "passSeconds": pass_s,
        "requests": dict(sorted(cluster.requests_since(log_end, OPERATOR).items())),
        "jobs": dict(sorted((await phases(kube)).items())),
        "peakMiB": figures(process)["peakMiB"],
        "split": await split(process, cluster.folder) if find_py_spy() else None,
        "loadAverage": round(os.getloadavg()[0], 1),
    }


def _pass_ms(rows: list[Document], seconds: float) -> float:
    """CPU time of a pass, with all that happens until the next one."""
    return 1000 * seconds * sum(sum(row["cpuShares"]) for row in rows) / sum(sum(row["passes"]) for row in rows)


def tell(rounds: list[dict[str, Document]], *, seconds: float) -> bool:
    """Print the figures with their spread; whether the bar is met."""
    table = Table(title=f"{RUNNING} running jobs on {len(FILL.products):,} nodes", title_justify="left")
    for heading in ("operator", "share of a core", "least", "most", "CPU of a pass, ms", "peak, MiB"):
        table.add_column(heading, justify="left" if heading == "operator" else "right")
    for name in rounds[0]:
        rows = [row[name] for row in rounds]
        shares = [share for row in rows for share in row["cpuShares"]]
        peaks = max(row["peakMiB"] for row in rows)
        table.add_row(
            name,
            f"{median(shares):.3f}",
            f"{min(shares):.3f}",
            f"{max(shares):.3f}",
            f"{_pass_ms(rows, seconds):.0f}",
            str(peaks),
        )
    console.print(table)
    for name, row in rounds[-1].items():
        console.print(f"{name}: {json.dumps(row['jobs'])}; of its CPU time: {json.dumps(row['split'])}")
    share: float = median(share for row in rounds for share in row["now"]["cpuShares"])
    console.print(f"{share:.1%} of a core, {BAR_SHARE:.0%} allowed  {'ok' if share < BAR_SHARE else 'MISSED'}")
    return share < BAR_SHARE


if __name__ == "__main__":
    main()
