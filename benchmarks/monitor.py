"""What the monitor costs: steady steps of processes that are watched over those of processes that aren't.

    python benchmarks/monitor.py           # about 5 minutes on 2 cores; writes results/monitor.json

Two crews of fresh processes are there at the same time on the same cores, one watched and one not, and take turns of a
second, in an order that alternates; then two new crews, since processes differ. The ratio of a pair is that of the two
turns' mean steps. The monitor's own time is the CPU time of this process, in which its thread runs and which only waits
otherwise, over the time that passed.
"""

import json
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from rich.console import Console

from dueby.planner.job import EngineName, Model
from dueby.planner.schema import validate
from dueby.profiler.layouts import Layout
from dueby.profiler.machine import Machine, this_machine
from dueby.profiler.monitor.monitor import Monitor
from dueby.profiler.rounds import Measuring
from traces import open_crew

RESULTS = Path(__file__).parent / "results"
BAR = 0.01
MODEL: dict[str, Any] = {"name": "efficientnet_b0", "weights": "none", "imageSize": 224, "precision": "fp32"}
ENGINES: tuple[EngineName, ...] = ("openvino", "eager")
MINI_BATCH = 8
CREWS = 6
PAIRS_A_CREW = 10
TURN_S = 1.0
# Processes settle within their first turns.
SETTLING = 2
console = Console(width=110)


def main() -> None:
    machine = this_machine()
    layout = next(layout for layout in machine.layouts if not layout.is_gpu)
    found = {engine: measure(machine, layout, engine) for engine in ENGINES}
    for engine, row in found.items():
        low, middle, high = quantiles(row["ratios"], n=4)
        lowest, highest = median_interval(row["ratios"])
        console.print(
            f"{engine}: watched over unwatched, {len(row['ratios'])} pairs: median {middle:.4f} (quartiles {low:.4f} "
            f"to {high:.4f}; 95 % interval of the median {lowest:.4f} to {highest:.4f}); the monitor takes "
            f"{row['cores']:.2%} of a core"
        )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "monitor.json").write_text(json.dumps({"model": MODEL, "miniBatchSize": MINI_BATCH, **found}, indent=1))


def measure(machine: Machine, layout: Layout, engine: EngineName) -> dict[str, Any]:
    """Ratios of all pairs, and the cores that the monitor takes."""
    model = validate(Model, MODEL)
    ratios: list[float] = []
    cpu_s, wall_s = 0.0, 0.0
    with tempfile.TemporaryDirectory(prefix="dueby-monitor-") as name, ExitStack() as stack:
        folder = Path(name)
        monitor = stack.enter_context(
            Monitor(folder, model=model, node=machine.node, clock=machine.clock, tell=lambda _: None)
        )
        for number in range(CREWS):
            with ExitStack() as crews:
                unwatched: Measuring = crews.enter_context(open_crew(layout, model, engine, folder))
                watched = crews.enter_context(
                    monitor.watch(
                        lambda boards: open_crew(layout, model, engine, folder, boards=boards),
                        layout=layout,
                        engine=engine,
                    )
                )
                for crew in (unwatched, watched):
                    crew.build(MINI_BATCH)
                for _ in range(SETTLING):
                    turn(unwatched)
                    turn(watched)
                began_cpu_s, began_s = time.process_time(), time.monotonic()
                ratios += [pair(watched, unwatched, is_first=bool(n % 2)) for n in range(PAIRS_A_CREW)]
                cpu_s += time.process_time() - began_cpu_s
                wall_s += time.monotonic() - began_s
            console.print(f"{engine}: crews {number + 1} of {CREWS}: {median(ratios[-PAIRS_A_CREW:]):.4f}")
    return {"ratios": ratios, "cores": cpu_s / wall_s}


def pair(watched: Measuring, unwatched: Measuring, *, is_first: bool) -> float:
    """The watched crew's mean step over the other's; `is_first`: whether it has the first turn."""
    if is_first:
        mean_us = turn(watched)
        return mean_us / turn(unwatched)
    other_us = turn(unwatched)
    return turn(watched) / other_us


def turn(crew: Measuring) -> float:
    """The mean step of all processes in a turn."""
    points = crew.run(TURN_S)
    return sum((p.ended_us[-1] - p.started_us) / len(p.ended_us) for p in points) / len(points)


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """The distribution-free 95 % interval of the median: order statistics of the binomial."""
    ordered, half = sorted(values), 0.98 * len(values) ** 0.5
    middle = (len(values) - 1) / 2
    return ordered[max(0, round(middle - half))], ordered[min(len(values) - 1, round(middle + half))]


if __name__ == "__main__":
    main()
