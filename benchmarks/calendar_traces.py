"""What planning all jobs together is worth: job traces on a simulated cluster, under DueBy and under what one has now.

    python benchmarks/calendar_traces.py                        # both traces in benchmarks/data
    python benchmarks/calendar_traces.py --jobs 300             # the same on their first jobs, in minutes
    python benchmarks/calendar_traces.py --trace FILE --gpus 50 --load 0.9

The jobs of a trace arrive one after the other, and every policy serves the same jobs with the same noise: S + W, 60 s
in the median, differs by 30 % between workers, and their speed by 5 %. DueBy is the operator's own decide(snapshot),
with all jobs Hard (calendar_traces_dueby.py); the others are in calendar_traces_peers.py and
calendar_traces_elasticflow.py.

- late: jobs that were not refused, and ended after their deadline.
- GPU time: of a job's workers, over its work and one start on each of the fewest GPUs that could be in time; the mean
  over the jobs that were not refused.
- stops: workers that were stopped while there was work left, for each job; of DueBy's, in parentheses, those that were
  stopped because their job was planned again, and not to hand devices over to a job that had no place.
- load: the work of all jobs over what the GPUs could do while they arrive. With --load the times between arrivals are
  stretched or cut; how long a job may take stays as it is.
"""

import argparse
import csv
import gzip
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, quantiles
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from calendar_traces_cluster import LATENCY_US, LOST_US, MINI_BATCH, START_US, Job, Noise, Policy, TraceJob, simulate
from calendar_traces_dueby import DueBy
from calendar_traces_elasticflow import ElasticFlow
from calendar_traces_peers import AloneByDeadline, Fifo, Preempting
from dueby_api.units import MICROS_PER_SECOND

DATA, RESULTS = Path(__file__).parent / "data", Path(__file__).parent / "results"
GPUS = {"elasticflow-cluster02.csv.gz": 100, "elasticflow-cluster03.csv.gz": 200}
POLICIES: Mapping[str, Callable[[Noise], Policy]] = {
    "FIFO, GPUs as asked for": lambda noise: Fifo(),
    "priority with preemption, as Kueue": lambda noise: Preempting(),
    "each job alone, by deadline": AloneByDeadline,
    "ElasticFlow's minimum share": lambda noise: ElasticFlow(knows_starts=False),
    "the same, with start costs": lambda noise: ElasticFlow(knows_starts=True),
    "DueBy": DueBy,
}
Document = dict[str, Any]
console = Console(width=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trace", type=Path, nargs="+", default=[DATA / name for name in GPUS], help="CSV, or gzip")
    parser.add_argument("--gpus", type=int, help="of the cluster (for the traces in benchmarks/data: 100 and 200)")
    parser.add_argument("--load", type=float, help="(default: as the jobs arrived)")
    parser.add_argument("--jobs", type=int, help="how many of the first jobs (default: all)")
    parser.add_argument("--rate-noise", type=float, default=Noise.rate, help="(default: %(default)s)")
    parser.add_argument("--start-noise", type=float, default=Noise.start, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=RESULTS / "calendar_traces.json")
    options = parser.parse_args()
    noise = Noise(rate=options.rate_noise, start=options.start_noise)
    runs = []
    for path in options.trace:
        gpus = options.gpus or GPUS.get(path.name)
        if gpus is None:
            parser.error(f"say with --gpus how many GPUs {path} is for")
        jobs = read_trace(path)[: options.jobs]
        if options.load:
            jobs = at_load(jobs, options.load, gpus=gpus)
        runs.append({"trace": path.name, **compare(jobs, gpus=gpus, noise=noise, seed=options.seed)})
        tell(runs[-1])
    document = {"seed": options.seed, "rateNoise": noise.rate, "startNoise": noise.start, "runs": runs}
    options.output.write_text(json.dumps(document, indent=1))
    console.print(f"Written: {options.output}", style="dim")


# ---- the trace


def read_trace(path: Path) -> list[TraceJob]:
    """Return the jobs of a CSV file with the columns submitted_s, deadline_s, gpus and gpu_seconds."""
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [
        TraceJob(
            name=f"job-{number:05d}",
            submitted_us=int(row["submitted_s"]) * MICROS_PER_SECOND,
            deadline_us=int(row["deadline_s"]) * MICROS_PER_SECOND,
            gpus=int(row["gpus"]),
            images=int(row["gpu_seconds"]) * MICROS_PER_SECOND // LATENCY_US * MINI_BATCH,
        )
        for number, row in enumerate(csv.DictReader(text.decode().splitlines()))
    ]


def load_of(jobs: Sequence[TraceJob], *, gpus: int) -> float:
    """Return the work of all jobs over what the GPUs could do from the first arrival to the last."""
    span_us = max(job.submitted_us for job in jobs) - min(job.submitted_us for job in jobs)
    return sum(job.work_us for job in jobs) / (gpus * max(1, span_us))


def at_load(jobs: Sequence[TraceJob], load: float, *, gpus: int) -> list[TraceJob]:
    """Return the jobs with other times between their arrivals, so that this is their load."""
    stretch = load_of(jobs, gpus=gpus) / load
    moves_us = [round(job.submitted_us * stretch) - job.submitted_us for job in jobs]
    return [
        replace(job, submitted_us=job.submitted_us + move_us, deadline_us=job.deadline_us + move_us)
        for job, move_us in zip(jobs, moves_us)
    ]


# ---- what comes of it


def compare(jobs: Sequence[TraceJob], *, gpus: int, noise: Noise, seed: int) -> Document:
    """Return what comes of the jobs under each policy."""
    rows = []
    with Progress(console=console, transient=True) as progress:
        for name, make in POLICIES.items():
            task, policy = progress.add_task(name, total=len(jobs)), make(noise)
            began_s = time.perf_counter()

            def show(over: int, task: Any = task) -> None:
                progress.update(task, completed=over)

            over = simulate(jobs, policy, gpus=gpus, noise=noise, seed=seed, show=show)
            row = {"policy": name, **summary(over), "seconds": round(time.perf_counter() - began_s, 1)}
            if isinstance(policy, DueBy):
                row["replanned"] = round(policy.replanned / len(over), 3)
                refused = [job.asked.name for job in over if job.is_refused]
                for key, shares in (("leastRefused", policy.demand), ("leastRefusedPromised", policy.promised)):
                    row[key] = round(min(shares[name] for name in refused), 4) if refused else None
                row["decisions"] = len(policy.decide_s)
                row["decideMs"] = round(1e3 * mean(policy.decide_s), 2)
                row["decideMs95"] = round(1e3 * quantiles(policy.decide_s, n=20)[-1], 2)
            rows.append(row)
    return {"jobs": len(jobs), "gpus": gpus, "load": round(load_of(jobs, gpus=gpus), 3), "policies": rows}


def summary(over: Sequence[Job]) -> Document:
    """Return what came of all jobs."""
    ran = [job for job in over if not job.is_refused]
    late = [job for job in ran if job.ended_us is None or job.ended_us > job.asked.deadline_us]
    return {
        "inTime": len(ran) - len(late),
        "late": len(late),
        "refused": len(over) - len(ran),
        "gpuTime": round(sum(job.held_us for job in ran) / sum(least_us(job.asked) for job in ran), 4) if ran else None,
        "gpuTimeOfAJob": round(mean(job.held_us / least_us(job.asked) for job in ran), 4) if ran else None,
        "stops": round(mean(job.stops for job in over), 3),
        "starts": round(mean(len(job.workers) for job in over), 3),
    }


def least_us(job: TraceJob) -> int:
    """Return the GPU time of the work, and of one start on each of the fewest GPUs that could be in time."""
    mini_batches = max(0, (job.deadline_us - job.submitted_us - START_US) // LATENCY_US + 1)
    fewest = -(-job.work_us // (mini_batches * LATENCY_US)) if mini_batches else job.gpus
    return job.work_us + fewest * LOST_US


def tell(run: Document) -> None:
    """Print the table of one trace."""
    title = f"{run['trace']}: {run['jobs']:,} jobs on {run['gpus']:,} GPUs, load {run['load']:.2f}"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for column in ("in time", "late", "refused", "GPU time", "of a job", "stops", "ms a decision, 95th"):
        table.add_column(column, justify="right")
    for row in run["policies"]:
        table.add_row(
            row["policy"],
            f"{row['inTime'] / run['jobs']:.1%}",
            f"{row['late']:,}",
            f"{row['refused']:,}",
            *("" if row[key] is None else f"{row[key]:.3f}" for key in ("gpuTime", "gpuTimeOfAJob")),
            f"{row['stops']:.2f}" + (f" ({row['replanned']:.2f})" if "replanned" in row else ""),
            f"{row['decideMs']:.1f}, {row['decideMs95']:.1f}" if "decideMs" in row else "",
        )
    console.print(table)
    of_dueby = run["policies"][-1]
    if of_dueby.get("leastRefused"):
        console.print(
            f"No job was refused where it and others needed less than {of_dueby['leastRefused']:.1%} of the GPU time "
            f"that there was, or {of_dueby['leastRefusedPromised']:.1%} with the margins of a promise."
        )


if __name__ == "__main__":
    main()
