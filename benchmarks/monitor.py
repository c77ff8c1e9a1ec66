"""What the monitor costs: steady steps while it looks over steady steps of the same processes while it doesn't.

    python benchmarks/monitor.py           # about 6 minutes on 2 cores; writes results/monitor.json

Processes differ from each other by more than the monitor takes, so the same ones are watched and not watched in turns
of a second and a half, in an order that alternates; several crews of them, one after the other. What they write on
their boards they write in both turns: that is timed alone. The monitor's own time is what its looks took of a core.
"""

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
from dueby_profiler.measuring.process_group import Crew
from dueby_profiler.monitor.board import Board, Writer
from dueby_profiler.monitor.first_look import follow
from dueby_profiler.monitor.host import Host
from dueby_profiler.monitor.journal import Journal
from dueby_profiler.monitor.samples import Looks
from traces import open_crew

RESULTS = Path(__file__).parent / "results"
MODEL: dict[str, Any] = {"name": "efficientnet_b0", "weights": "none", "imageSize": 224, "precision": "fp32"}
ENGINES: tuple[EngineName, ...] = ("openvino", "eager")
MINI_BATCH = 8
CREWS = 5
PAIRS_A_CREW = 12
TURN_S = 1.5
BOARD_STEPS = 100_000
console = Console(width=110)


def main() -> None:
    layout = next(layout for layout in this_machine().layouts if not layout.is_gpu)
    board_us = time_board()
    console.print(f"A measuring process writes {board_us:.2f} us a step on its board.")
    found = {engine: measure(layout, engine) for engine in ENGINES}
    for engine, row in found.items():
        for name, told in (("ratios", "time of a step"), ("cpuRatios", "CPU time of a step")):
            low, middle, high = quantiles(row[name], n=4)
            least, most = median_interval(row[name])
            console.print(
                f"{engine}: {told}, watched over unwatched, {len(row[name])} pairs: median {middle:.4f} (quartiles "
                f"{low:.4f} to {high:.4f}; 95 % interval of the median {least:.4f} to {most:.4f})"
            )
        console.print(
            f"{engine}: the looks take {row['shareOfACore']:.2%} of a core, of {len(layout.slices)} that are measured; "
            f"the board {board_us / row['stepMicros']:.4%} of a step"
        )
    RESULTS.mkdir(exist_ok=True)
    result = {"model": MODEL, "miniBatchSize": MINI_BATCH, "boardMicros": board_us, "engines": found}
    (RESULTS / "monitor.json").write_text(json.dumps(result, indent=1))


def time_board() -> float:
    """What a step's note on the board takes, in microseconds."""
    with closing(Board.new()) as board:
        writer = Writer(board, now_us=lambda: time.monotonic_ns() // 1000, read_statistics=lambda: None)
        began = time.perf_counter()
        for step in range(BOARD_STEPS):
            writer.step(step, step)
        return 1e6 * (time.perf_counter() - began) / BOARD_STEPS


def measure(layout: Layout, engine: EngineName) -> dict[str, Any]:
    """Ratios of all pairs, the mean step unwatched, and what the looks take of a core."""
    model, ratios, cpu_ratios, steps_us = validate(Model, MODEL), [], [], []
    with tempfile.TemporaryDirectory(prefix="dueby-monitor-") as name, nvml.observe() as ask_gpu:
        folder = Path(name)
        journal = Journal(folder, engine, layout=layout, clock=time.monotonic, period_s=None)
        for number in range(CREWS):
            watched = follow(
                lambda boards: open_crew(layout, model, engine, folder, boards=boards),
                layout=layout,
                host=Host(),
                ask_gpu=ask_gpu,
                clock=time.monotonic,
                facts={},
            )
            with watched as (crew, looks):
                crew.build(MINI_BATCH)
                turn(crew, None, looks)  # the first mini-batches, and the caches
                for pair in range(PAIRS_A_CREW):
                    order = (journal, None) if pair % 2 else (None, journal)
                    costs = {watcher is not None: turn(crew, watcher, looks) for watcher in order}
                    ratios.append(costs[True].step_us / costs[False].step_us)
                    cpu_ratios.append(costs[True].cpu_us / costs[False].cpu_us)
                    steps_us.append(costs[False].step_us)
            console.print(f"{engine}: crew {number + 1} of {CREWS}: {median(ratios[-PAIRS_A_CREW:]):.4f}")
        journal.close()
        return {
            "ratios": ratios,
            "cpuRatios": cpu_ratios,
            "stepMicros": median(steps_us),
            "shareOfACore": journal.share_of_a_core,
        }


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a step took, on average over all processes of a turn."""

    step_us: float
    cpu_us: float


def turn(crew: Crew, journal: Journal | None, looks: Looks) -> Cost:
    """A turn of all processes, watched or not."""
    steps, took_us, end_s, began_s = 0, 0, time.monotonic() + TURN_S, cpu_s(crew)
    with journal.sampled(looks) if journal else nullcontext():
        while (left_s := end_s - time.monotonic()) > 0:  # a point may be over before, once its mean is known
            for point in crew.run(left_s):
                steps += len(point.ended_us)
                took_us += point.ended_us[-1] - point.started_us
    return Cost(step_us=took_us / steps, cpu_us=1e6 * (cpu_s(crew) - began_s) / steps)


def cpu_s(crew: Crew) -> float:
    """CPU time of its processes until now, in seconds; a clock tick is 10 ms."""
    return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in crew.pids)


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """The distribution-free 95 % interval of the median: order statistics of the binomial."""
    ordered, half = sorted(values), 0.98 * len(values) ** 0.5
    middle = (len(values) - 1) / 2
    return ordered[max(0, round(middle - half))], ordered[min(len(values) - 1, round(middle + half))]


if __name__ == "__main__":
    main()
