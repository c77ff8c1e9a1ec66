"""The figures of pipeline.py, summarised over the rounds, and their table.

A machine is never quite as fast in one round as in the next, so a ratio is that of two ways in the same round, and its
median is over the rounds. Everything has its least and most beside it.
"""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from photos import QUALITY, SIZE
from pipeline_ways import BATCH, CORES, MODEL, REFERENCE, WAYS, WORKER_CORES, Bench, Run

# More than this of others' work in a round makes its figures doubtful.
QUIET_CORES = 0.15


def summarise(bench: Bench, measured: Mapping[str, Sequence[Run]], cold: Mapping[str, Run]) -> dict[str, Any]:
    """The figures as they go into the file."""
    walls = {name: [done.cost.wall_s for done in runs] for name, runs in measured.items()}
    reference = measured[REFERENCE.name][0].top1
    return {
        "machine": machine(),
        "settings": {
            "photos": bench.photos,
            "size": SIZE,
            "jpegQuality": QUALITY,
            "model": MODEL,
            "precision": bench.precision,
            "miniBatchSize": BATCH,
            "workerCores": WORKER_CORES,
            "rounds": len(walls[REFERENCE.name]),
        },
        "ways": [
            {
                "name": way.name,
                "title": way.title,
                "note": way.note,
                "imagesPerSecond": spread([bench.photos / wall_s for wall_s in walls[way.name]]),
                "steadyImagesPerSecond": spread([done.steady for done in measured[way.name]]),
                "wallSeconds": spread(walls[way.name]),
                "cpuSeconds": spread([done.cost.cpu_s for done in measured[way.name]]),
                "peakMiB": spread([done.cost.peak_mib for done in measured[way.name]]),
                "coldWallSeconds": cold[way.name].cost.wall_s,
                "sameTop1": agreement(measured[way.name][0].top1, reference),
                "foreignCores": max(done.cost.foreign_cores for done in measured[way.name]),
                "wallOverDuebyEager": ratio(walls[way.name], walls["dueby-eager"]),
                "wallOverDuebyOpenVINO": ratio(walls[way.name], walls["dueby-openvino"]),
                "steadyOfDuebyEager": ratio(
                    [done.steady for done in measured["dueby-eager"]], [done.steady for done in measured[way.name]]
                ),
                "steadyOfDuebyOpenVINO": ratio(
                    [done.steady for done in measured["dueby-openvino"]], [done.steady for done in measured[way.name]]
                ),
                "runs": [asdict(done.cost) | {"outputs": None, "steady": done.steady} for done in measured[way.name]],
            }
            for way in WAYS
        ],
    }


def machine() -> dict[str, Any]:
    """What the figures belong to."""
    names = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    packages = ("torch", "torchvision", "timm", "openvino", "pillow", "simplejpeg")
    return {
        "cpu": names[0] if names else platform.machine(),
        "cores": len(CORES),
        "python": platform.python_version(),
        "software": {name: version(name) for name in packages},
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and most."""
    return {"median": median(values), "min": min(values), "max": max(values)}


def ratio(values: Sequence[float], others: Sequence[float]) -> dict[str, float]:
    """Round by round."""
    return spread([value / other for value, other in zip(values, others, strict=True)])


def agreement(rows: Mapping[str, tuple[int, float]], reference: Mapping[str, tuple[int, float]]) -> float:
    """Share of photos with the same best class."""
    return sum(rows[name][0] == best for name, (best, _) in reference.items()) / len(reference)


def print_table(console: Console, result: Mapping[str, Any]) -> None:
    """A row for each way, and a warning where the machine was busy."""
    settings = result["settings"]
    table = Table(title=f"{settings['photos']} photos end to end, {MODEL}, {settings['precision']}, {len(CORES)} cores")
    for column in (
        "",
        "images/s",
        "steady",
        "CPU s",
        "peak MiB",
        "same top-1",
        "eager is faster",
        "OpenVINO is faster",
    ):
        table.add_column(column, justify="right" if column else "left")
    for way in result["ways"]:
        table.add_row(
            f"{way['title']}\n[dim]{way['note']}[/dim]",
            say(way["imagesPerSecond"], ".1f"),
            say(way["steadyImagesPerSecond"], ".1f"),
            say(way["cpuSeconds"], ".0f"),
            say(way["peakMiB"], ",.0f"),
            f"{way['sameTop1']:.1%}",
            say(way["wallOverDuebyEager"], ".2f"),
            say(way["wallOverDuebyOpenVINO"], ".2f"),
        )
    console.print(table)
    busy = max(way["foreignCores"] for way in result["ways"])
    if busy > QUIET_CORES:
        console.print(f"[yellow]Others kept up to {busy:.2f} cores busy meanwhile: take the ratios, not the figures.")


def say(found: Mapping[str, float], form: str) -> str:
    """Median, and least to most below it."""
    return f"{found['median']:{form}}\n[dim]{found['min']:{form}}-{found['max']:{form}}[/dim]"
