"""The operator in a large cluster: 1,000 nodes of 4 GPUs, 10,000 pods of others, 100 jobs applied at once.

On the real API server of a kind cluster, with nodes and pods made up by kwok (large_cluster.py) and workers that answer
as planned (made_up_workers.py); the operator is the real one, as a process beside it. In turns with it, what one would
do without it: 100 Jobs with about as many pods, written by hand, applied by the same kubectl.

    python benchmarks/operator_scale.py                # 12 minutes; needs Docker, kind, kubectl and kwok
    python benchmarks/operator_scale.py --kubeconfig FILE --audit-log FILE       # another fresh cluster, with that log

Times are those at which a watch beside the operator hears of an object. Requests are counted in the API server's audit
log. Then the operator is left alone while the jobs run: what it asks in a minute, and what that costs.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import yaml
from rich.console import Console

from dueby_operator import paths
from dueby_operator.handlers import sign_in
from dueby_operator.jobs import names
from dueby_operator.jobs.pod_templates import PORT
from dueby_operator.kube.client import Kube
from dueby_operator.objects.meta import HasIdentity
from dueby_operator.objects.parse import parse
from large_cluster import BY_HAND, OPERATOR, REPOSITORY, Document, LargeCluster, large_cluster, make_user, until
from large_cluster_fill import NODES_OF_A_NET, fill, list_all
from operator_scale_objects import DEVICES, FILL, JOBS, SIZES, inference_job, job_by_hand, latency_us, profile
from operator_scale_table import BAR_MIB, BAR_S, tell

RESULTS = Path(__file__).parent / "results"
METRICS_PORT = 18_083
QUIET_S = 60.0
console = Console(width=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--name", default="dueby-benchmark", help="of the kind cluster that is made")
    parser.add_argument("--kubeconfig", help="of a fresh cluster, instead")
    parser.add_argument("--audit-log", help="the file that its API server writes, by the policy in large_cluster.py")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS / "operator.json")
    options = parser.parse_args()
    began_s = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the cluster goes with it
    with large_cluster(name=options.name, kubeconfig=options.kubeconfig, audit_log=options.audit_log) as cluster:
        document = asyncio.run(measure(cluster, rounds=options.rounds, output=options.output))
    ok = tell(console, document)
    console.print(f"{time.monotonic() - began_s:.0f} s. Written: {options.output}", style="dim")
    sys.exit(not ok)


async def measure(cluster: LargeCluster, *, rounds: int, output: Path) -> Document:
    """Fill the cluster, then every round both ways, in an order that alternates; the quiet minute in the last one."""
    kube = Kube(sign_in)
    users = {user: await make_user(cluster, kube, user) for user in (OPERATOR, BY_HAND)}
    pod_bytes = await furnish(cluster, kube)
    document: Document = {
        "jobs": JOBS,
        "nodes": FILL.nodes,
        "gpusEach": FILL.gpus_each,
        "otherPods": FILL.pods,
        "bytesOfAPod": round(pod_bytes),
        "barSeconds": BAR_S,
        "barMiB": BAR_MIB,
        "cores": os.cpu_count(),
        "rounds": [],
    }
    with made_up_workers():
        for number in range(rounds):
            console.print(f"Round {number + 1} of {rounds} ...", style="dim")
            ways = [with_operator, by_hand]
            row: Document = {"loadAverage": round(os.getloadavg()[0], 1)}
            for way in ways if number % 2 == 0 else reversed(ways):
                row |= await way(cluster, kube, users, is_last=number == rounds - 1)
            document["rounds"].append(row)
            output.write_text(json.dumps(document, indent=1))
            console.print(json.dumps(row), style="dim")
    await kube.close()
    return document


async def furnish(cluster: LargeCluster, kube: Kube) -> float:
    """Make what there is beside the jobs; the mean size of a pod in bytes of JSON."""
    cluster.kubectl("apply", "-f", str(REPOSITORY / "crds"))
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(profile(name) for name in DEVICES))
    console.print(f"Filling: {len(FILL.products):,} nodes, {FILL.pods:,} pods ...", style="dim")
    return await fill(kube, FILL)


# ---- one way and the other


async def with_operator(cluster: LargeCluster, kube: Kube, users: dict[str, Path], *, is_last: bool) -> Document:
    """100 InferenceJobs: until each has all the Jobs of its plan."""
    file = cluster.folder / "inferencejobs.yaml"
    file.write_text(yaml.safe_dump_all(inference_job(number) for number in range(JOBS)))
    async with operator(cluster, users[OPERATOR]) as process:
        idle = figures(process)
        log_end = cluster.log_end()
        async with heard(kube, paths.jobs_path()) as asked, heard(kube, paths.batch_path(), step="work") as made:
            began_s, began_cpu_s = time.monotonic(), cpu_s(process)
            applied_s = await apply(cluster, users[BY_HAND], file)
            await until(lambda: is_planned(kube, made), "every job has its workers' Jobs")
            last_s = max(made.values()) - began_s
            used_s = cpu_s(process) - began_cpu_s

        async def all_run() -> bool:
            return all(
                job.get("status", {}).get("phase") == "Running" for job in await list_all(kube, paths.jobs_path())
            )

        await until(all_run, "every job runs", pause_s=1.0)
        row: Document = {
            "kubectlSeconds": round(applied_s, 2),
            "lastInferenceJobSeconds": round(max(asked.values()) - began_s, 2),
            "firstWorkerJobSeconds": round(min(made.values()) - began_s, 2),
            "lastWorkerJobSeconds": round(last_s, 2),
            "workerJobs": len(made),
            "workers": sum(
                job["spec"]["completions"] for job in await list_all(kube, paths.batch_path(), labelSelector=names.JOB)
            ),
            "cpuSeconds": round(used_s, 2),
            "idle": idle,
            "requestsUntilAllRun": dict(sorted(cluster.requests_since(log_end, OPERATOR).items())),
        }
        if is_last:
            row["quiet"] = await quiet_minute(cluster, kube, process)
        row["peakMiB"] = figures(process)["peakMiB"]
    await clear(cluster, kube, "infj")
    return {"operator": row}


async def by_hand(cluster: LargeCluster, kube: Kube, users: dict[str, Path], *, is_last: bool) -> Document:
    """The same number of Jobs and pods, written by somebody who knew how many: until the last Job is there."""
    file = cluster.folder / "jobs.yaml"
    file.write_text(yaml.safe_dump_all(document for number in range(JOBS) for document in job_by_hand(number)))
    log_end = cluster.log_end()
    async with heard(kube, paths.batch_path()) as made:
        began_s = time.monotonic()
        applied_s = await apply(cluster, users[BY_HAND], file)

        async def all_there() -> bool:
            return len(made) == JOBS

        await until(all_there, "the Jobs by hand are there")
    row = {
        "kubectlSeconds": round(applied_s, 2),
        "lastJobSeconds": round(max(made.values()) - began_s, 2),
        "requests": dict(sorted(cluster.requests_since(log_end, BY_HAND).items())),
    }
    await clear(cluster, kube, "jobs,configmaps")
    return {"byHand": row}


async def quiet_minute(cluster: LargeCluster, kube: Kube, process: psutil.Process) -> Document:
    """What is asked, and what it costs, in the second minute after all workers run."""
    await asyncio.sleep(QUIET_S)
    log_end, before_s = cluster.log_end(), cpu_s(process)
    await asyncio.sleep(QUIET_S)
    requests = cluster.requests_since(log_end, OPERATOR)
    jobs = await list_all(kube, paths.jobs_path())
    return {
        "seconds": QUIET_S,
        "cpuShare": round((cpu_s(process) - before_s) / QUIET_S, 3),
        "requests": dict(sorted(requests.items())),
        "replans": sum(len(job["status"].get("replans", ())) for job in jobs),
    }


async def is_planned(kube: Kube, made: dict[str, float]) -> bool:
    """Whether every job has a plan and a Job for each of its classes."""
    jobs = await list_all(kube, paths.jobs_path())
    plans = [job.get("status", {}).get("plan") for job in jobs]
    if len(plans) < JOBS or not all(plans):
        return False
    return len(made) >= sum(len({group["deviceClass"] for group in plan["groups"]}) for plan in plans if plan)


# ---- processes


@contextlib.asynccontextmanager
async def operator(
    cluster: LargeCluster, kubeconfig: Path, *, checkout: Path = REPOSITORY
) -> AsyncIterator[psutil.Process]:
    """The operator of this checkout, once it has looked at the cluster."""
    command = [sys.executable, "-m", "dueby_operator", "--worker-image", "dueby/worker:benchmark"]
    command += ["--metrics-port", str(METRICS_PORT)]
    sources = ":".join(str(checkout / name) for name in ("api", "operator", "planner"))
    environment = os.environ | {"KUBECONFIG": str(kubeconfig), "PYTHONPATH": sources}
    with (cluster.folder / "operator.log").open("wb") as log:
        started = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    async def has_looked() -> bool:
        if started.poll() is not None:
            raise SystemExit(f"The operator has ended:\n{(cluster.folder / 'operator.log').read_text()}")
        return read_metric("dueby_last_successful_reconcile_timestamp_seconds") > 0

    try:
        await until(has_looked, "the operator has looked at the cluster")
        await asyncio.sleep(3.0)
        yield psutil.Process(started.pid)
    finally:
        started.terminate()
        started.wait()


def read_metric(name: str) -> float:
    """Of the operator; 0 while it shows none."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{METRICS_PORT}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) for line in lines if line.startswith(f"{name} ")), 0.0)


@contextlib.contextmanager
def made_up_workers() -> Iterator[None]:
    """They answer while this is open."""
    products = FILL.products[::NODES_OF_A_NET]
    rates = [1e6 * SIZES[-1] / latency_us(product, SIZES[-1]) for product in products]
    script = str(Path(__file__).parent / "made_up_workers.py")
    process = subprocess.Popen([sys.executable, script, str(PORT), *map(str, rates)])
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def cpu_s(process: psutil.Process) -> float:
    """What it has used so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


def figures(process: psutil.Process) -> Document:
    """CPU time since its start, and the most memory that it ever held."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return {"cpuSeconds": round(cpu_s(process), 2), "peakMiB": int(status.partition("VmHWM:")[2].split()[0]) // 1024}


async def apply(cluster: LargeCluster, kubeconfig: Path, file: Path) -> float:
    """kubectl apply; how long it took."""
    began_s = time.monotonic()
    await asyncio.to_thread(cluster.kubectl, "apply", "-f", str(file), kubeconfig=kubeconfig)
    return time.monotonic() - began_s


async def clear(cluster: LargeCluster, kube: Kube, kinds: str) -> None:
    """Delete what was applied, and wait until its Jobs and pods are gone."""
    await asyncio.to_thread(cluster.kubectl, "delete", kinds, "-n", "default", "-l", "benchmark", "--wait=false")

    async def is_clear() -> bool:
        found = [
            await list_all(kube, paths.batch_path("default")),
            await list_all(kube, paths.core_path("pods", "default")),
        ]
        return not any(found)

    await until(is_clear, "the Jobs and their pods are gone", pause_s=2.0)


@contextlib.asynccontextmanager
async def heard(kube: Kube, path: str, *, step: str | None = None) -> AsyncIterator[dict[str, float]]:
    """When a watch heard of each new object, by name."""
    query = {"labelSelector": f"{names.STEP}={step}"} if step else {}
    version = (await anext(kube.pages(path, **query))).meta.resource_version
    found: dict[str, float] = {}

    async def listen() -> None:
        async for event in kube.watch(path, version, query):
            if event.type == "ADDED":
                found[parse(HasIdentity, event.object).metadata.name] = time.monotonic()

    task = asyncio.create_task(listen())
    try:
        yield found
    finally:
        task.cancel()


if __name__ == "__main__":
    main()
