"""What the monitor costs: steady steps while it takes samples over steady steps of the same processes while it doesn't.

    python benchmarks/monitor.py           # about 6 minutes on 2 cores; writes results/monitor.json

Processes differ from each other by more than the monitor costs, so the same ones are watched and not watched in turns
of a second and a half, in an alternating order; several process groups, one after the other. In both turns the
processes write on their status pages, so that is timed separately. The monitor's own time is the share of a core that
its samples took.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import psutil
from rich.console import Console

from dueby_api.engines import EngineName
from dueby_api.inference_job import Model
from dueby_api.schema import validate
from dueby_profiler.machine import nvml
from dueby_profiler.machine.layouts import Layout
from dueby_profiler.machine.machine import this_machine
from dueby_profiler.measuring.process_group import ProcessGroup
from dueby_profiler.monitor.journal import Journal
from dueby_profiler.monitor.readers.host import Host
from dueby_profiler.monitor.readers.status_page import StatusPage, StatusWriter
from dueby_profiler.monitor.sampler import Sampler
from dueby_profiler.monitor.warmup_rows import open_sampled_group
from traces import open_group

RESULTS = Path(__file__).parent / "results"
MODEL: dict[str, Any] = {"name": "efficientnet_b0", "weights": "none", "imageSize": 224, "precision": "fp32"}
ENGINES: tuple[EngineName, ...] = ("openvino", "eager")
MINI_BATCH = 8
GROUPS = 5
PAIRS_A_GROUP = 12
TURN_S = 1.5
PAGE_STEPS = 100_000
console = Console(width=110)


def main() -> None:
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    layout = next(layout for layout in this_machine().layouts if not layout.is_gpu)
    page_us = time_status_page()
    console.print(f"A measuring process spends {page_us:.2f} us a step on its status page.")
    found = {engine: measure(layout, engine) for engine in ENGINES}
    for engine, row in found.items():
        for name, label in (("ratios", "time of a step"), ("cpuRatios", "CPU time of a step")):
            low, middle, high = quantiles(row[name], n=4)
            least, most = median_interval(row[name])
            console.print(
                f"{engine}: {label}, watched over unwatched, {len(row[name])} pairs: median {middle:.4f} (quartiles "
                f"{low:.4f} to {high:.4f}; 95 % interval of the median {least:.4f} to {most:.4f})"
            )
        console.print(
            f"{engine}: sampling takes {row['shareOfACore']:.2%} of a core, of {len(layout.slices)} that are measured; "
            f"the status page {page_us / row['stepMicros']:.4%} of a step"
        )
    RESULTS.mkdir(exist_ok=True)
    result = {"model": MODEL, "miniBatchSize": MINI_BATCH, "boardMicros": page_us, "engines": found}
    (RESULTS / "monitor.json").write_text(json.dumps(result, indent=1))


def time_status_page() -> float:
    """Return how long it takes to report a step on the status page, in microseconds."""
    with closing(StatusPage.new()) as page:
        writer = StatusWriter(page, now_us=lambda: time.monotonic_ns() // 1000, read_statistics=lambda: None)
        began = time.perf_counter()
        for step in range(PAGE_STEPS):
            writer.step(step, step)
        return 1e6 * (time.perf_counter() - began) / PAGE_STEPS


def measure(layout: Layout, engine: EngineName) -> dict[str, Any]:
    """Return the ratios of all pairs, the mean unwatched step, and the share of a core that samples took."""
    model, ratios, cpu_ratios, steps_us = validate(Model, MODEL), [], [], []
    with tempfile.TemporaryDirectory(prefix="dueby-monitor-") as name, nvml.observe_gpus() as read_gpu:
        folder = Path(name)
        journal = Journal(folder, engine, layout=layout, clock=time.monotonic, period_s=None)
        for number in range(GROUPS):
            sampled_group = open_sampled_group(
                lambda pages: open_group(layout, model, engine, folder, status_pages=pages),
                layout=layout,
                host=Host(),
                read_gpu=read_gpu,
                clock=time.monotonic,
                facts={},
            )
            with sampled_group as (group, sampler):
                group.build(MINI_BATCH)
                turn(group, None, sampler)  # not counted: the first mini-batches, and cold caches
                for pair in range(PAIRS_A_GROUP):
                    order = (journal, None) if pair % 2 else (None, journal)
                    costs = {watcher is not None: turn(group, watcher, sampler) for watcher in order}
                    ratios.append(costs[True].step_us / costs[False].step_us)
                    cpu_ratios.append(costs[True].cpu_us / costs[False].cpu_us)
                    steps_us.append(costs[False].step_us)
            console.print(f"{engine}: group {number + 1} of {GROUPS}: {median(ratios[-PAIRS_A_GROUP:]):.4f}")
        journal.close()
        return {
            "ratios": ratios,
            "cpuRatios": cpu_ratios,
            "stepMicros": median(steps_us),
            "shareOfACore": journal.share_of_a_core,
        }


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Cost of a step, averaged over all processes of a turn."""

    step_us: float
    cpu_us: float


def turn(group: ProcessGroup, journal: Journal | None, sampler: Sampler) -> Cost:
    """Run one turn of all processes, watched if there is a journal."""
    steps, took_us, end_s, began_s = 0, 0, time.monotonic() + TURN_S, cpu_s(group)
    with journal.sampled(sampler) if journal else nullcontext():
        while (left_s := end_s - time.monotonic()) > 0:  # a point ends as soon as its mean is known
            for point in group.run(left_s):
                steps += len(point.ended_us)
                took_us += point.ended_us[-1] - point.started_us
    return Cost(step_us=took_us / steps, cpu_us=1e6 * (cpu_s(group) - began_s) / steps)


def cpu_s(group: ProcessGroup) -> float:
    """Return the CPU time of the group's processes until now, in seconds; a clock tick is 10 ms."""
    return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in group.pids)


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the distribution-free 95 % interval of the median, from order statistics of the binomial distribution."""
    ordered, half = sorted(values), 0.98 * len(values) ** 0.5
    middle = (len(values) - 1) / 2
    return ordered[max(0, round(middle - half))], ordered[min(len(values) - 1, round(middle + half))]


if __name__ == "__main__":
    main()
