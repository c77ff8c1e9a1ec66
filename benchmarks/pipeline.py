"""End to end: the same photos, model, weights and precision through DueBy, torchvision's DataLoader and timm's loop.

    python benchmarks/pipeline.py [--quick] [--precision fp32|bf16]

Every way is run in fresh processes and timed from nothing to the last row on disk, imports included; DueBy with its
three steps (index, one worker for each core, finish) as `dueby run` starts them. The peers run twice: as a user would
write them, and with all of our tuning that they can take. DueBy runs twice as well: with the engine that the tuned
DataLoader loop has, which shows what the pipeline is worth, and with OpenVINO, which shows what the engine adds.

Rounds are interleaved, so that a change of the machine hits all alike, and ratios are taken within a round. Writes
results/pipeline.json and results/pipeline.png.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from dueby_api.grid import Grid
from dueby_planner.model.shares import cut_shares
from dueby_worker.engines.host import process_environment
from metering import Command, Cost, run_metered
from photos import ORIGINALS, QUALITY, SIZE, write_photos
from pipeline_chart import draw_chart
from random_weights import write_weights

PHOTOS, ROUNDS = 1_500, 4
QUICK_PHOTOS, QUICK_ROUNDS = 400, 3
MODEL = "efficientnet_b0"
BATCH = 32
# Photos that the weights are made from.
FITTED_PHOTOS = 128
# The ways to do it. `cores` is how many of them DueBy's workers have each: two workers of one core are a quarter faster
# than one of two, here as in the profiles by which `dueby run` chooses.
CORES = sorted(os.sched_getaffinity(0))
WORKER_CORES = 1
# More than this of others' work in a round makes its figures doubtful.
QUIET_CORES = 0.15
HERE = Path(__file__).parent
RESULTS = HERE / "results"
console = Console(width=None if sys.stdout.isatty() else 160)


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to classify the photos."""

    name: str
    title: str
    note: str
    engine: str | None = None
    """DueBy's engine; None: a peer's loop."""
    loop: str = ""
    tuned: bool = False


WAYS = (
    Way(name="torchvision", title="torchvision DataLoader", note="as users write it", loop="torchvision"),
    Way(name="timm", title="timm inference.py", note="its defaults, batch 32", loop="timm"),
    Way(name="timm-tuned", title="timm inference.py, tuned", note="channels_last, allocator", loop="timm", tuned=True),
    Way(
        name="torchvision-tuned",
        title="torchvision DataLoader, tuned",
        note="with DueBy's network, allocator, uint8",
        loop="torchvision",
        tuned=True,
    ),
    Way(name="dueby-eager", title="DueBy, eager", note="the same network: the pipeline's gain", engine="eager"),
    Way(name="dueby-openvino", title="DueBy, OpenVINO", note="and the engine's", engine="openvino"),
)
REFERENCE = WAYS[0]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One way, once."""

    cost: Cost
    steady: float
    """Images per second without start-up and first mini-batches."""
    top1: Mapping[str, tuple[int, float]]
    """Class and probability by file name."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where everything lies, and how much there is of it."""

    folder: Path
    photos: int
    precision: str

    @property
    def pictures(self) -> Path:
        """The folder of photos."""
        return self.folder / "photos"

    def weights(self, loop: str) -> Path:
        """The same tensors by torchvision's or timm's names."""
        return self.folder / f"{'timm' if loop == 'timm' else 'torchvision'}.pth"


def main() -> None:
    """Prepare, warm up, measure round by round, compare, report."""
    options = _parse()
    photos, rounds = (QUICK_PHOTOS, QUICK_ROUNDS) if options.quick else (PHOTOS, ROUNDS)
    require_precision(options.precision)
    with tempfile.TemporaryDirectory(prefix="dueby-pipeline-") as folder:
        bench = Bench(folder=Path(folder), photos=options.photos or photos, precision=options.precision)
        console.print(f"{bench.photos} photos of {SIZE[0]}x{SIZE[1]}, JPEG quality {QUALITY}, and weights ...")
        prepare(bench)
        # Not counted: files come from the page cache and the converted network from DueBy's cache from now on.
        console.print("a first round, not counted ...")
        cold = {way.name: run(way, bench, label="cold") for way in WAYS}
        measured: dict[str, list[Run]] = {way.name: [] for way in WAYS}
        for number in range(options.rounds or rounds):
            # Each round begins with another way.
            for way in WAYS[number % len(WAYS) :] + WAYS[: number % len(WAYS)]:
                done = run(way, bench, label=str(number))
                measured[way.name].append(done)
                console.print(
                    f"  round {number + 1}: {way.title}: {done.cost.wall_s:.1f} s, {done.steady:.1f} images/s steady"
                )
        result = summarise(bench, measured, cold)
    report(result)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_PHOTOS} photos, {QUICK_ROUNDS} rounds")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--photos", type=int, help="how many, instead")
    parser.add_argument("--rounds", type=int, help="how many, instead")
    return parser.parse_args()


def require_precision(precision: str) -> None:
    """bf16 without instructions for it is twenty times slower than fp32 and says nothing about any program."""
    flags = Path("/proc/cpuinfo").read_text()
    if precision == "bf16" and not ("avx512_bf16" in flags or "amx_bf16" in flags):
        sys.exit("pipeline: this CPU has no bf16 instructions (avx512_bf16, amx_bf16); measure fp32 here")


def prepare(bench: Bench) -> None:
    """Photos and weights."""
    photos = write_photos(bench.pictures, bench.photos)
    fitted = write_photos(bench.folder / "fitted", FITTED_PHOTOS) if len(photos) < FITTED_PHOTOS else photos
    write_weights(
        fitted[:FITTED_PHOTOS],
        len(ORIGINALS),
        torchvision_file=bench.weights("torchvision"),
        timm_file=bench.weights("timm"),
    )


def run(way: Way, bench: Bench, *, label: str) -> Run:
    """Run one way in a folder of its own, with its log."""
    folder = bench.folder / f"{way.name}-{label}"
    folder.mkdir()
    stages = dueby_stages(way, bench, folder) if way.engine else [[peer_command(way, bench, folder)]]
    cost = run_metered(stages, folder / "log.txt")
    said = [json.loads(output.splitlines()[-1]) for output in cost.outputs]
    steady = sum(map(_steady_of_worker, said[1:-1])) if way.engine else said[0]["imagesPerSecond"]
    rows = _rows_of_dueby(folder) if way.engine else _rows_of_peer(folder)
    if len(rows) != bench.photos:
        sys.exit(f"pipeline: {way.title} gave {len(rows)} rows for {bench.photos} photos; see {folder}")
    return Run(cost=cost, steady=steady, top1=rows)


def peer_command(way: Way, bench: Bench, folder: Path) -> Command:
    """A peer's loop, on all cores."""
    arguments = ["--photos", bench.pictures, "--weights", bench.weights(way.loop), "--precision", bench.precision]
    arguments += ["--output", folder / "rows.parquet", "--batch", BATCH]
    return Command(
        arguments=[
            sys.executable,
            str(HERE / "pipeline_peers.py"),
            way.loop,
            *map(str, arguments),
            *(["--tuned"] if way.tuned else []),
        ],
        environment=process_environment("eager", len(CORES)) if way.tuned else {},
    )


def dueby_stages(way: Way, bench: Bench, folder: Path) -> list[list[Command]]:
    """index, a worker on each slice, finish: the processes and configurations of `dueby run`."""
    common = {
        "job": "pipeline",
        "model": {"name": MODEL, "weights": str(bench.weights("torchvision")), "precision": bench.precision},
        "source": {"uri": str(bench.pictures)},
        "sink": {"uri": str(folder / "out")},
    }
    slices = [CORES[first : first + WORKER_CORES] for first in range(0, len(CORES), WORKER_CORES)]
    # As a plan cuts it: the largest power of two that is at most 1 % of a worker's images.
    grid = Grid(images=bench.photos, part_size=1 << max(0, (bench.photos // len(slices) // 100).bit_length() - 1))
    shares = [[share.first, share.end] for share in cut_shares(grid.parts, [1] * len(slices))]
    work = {
        "revision": 1,
        "deviceClass": f"cpu-{WORKER_CORES}",
        "engine": way.engine,
        "threads": WORKER_CORES,
        "decodeThreads": WORKER_CORES,
        "miniBatchSize": BATCH,
        "iterations": -(-bench.photos // len(slices) // BATCH) - 1,
        "shares": shares,
        "images": bench.photos,
        "partSize": grid.part_size,
        "cacheDir": str(bench.folder / "cache"),
    }
    workers = [
        common | work | {"worker": f"w{rank}", "rank": rank, "share": share, "cores": cores}
        for rank, (share, cores) in enumerate(zip(shares, slices, strict=True))
    ]
    finish = {"job": common["job"], "sink": common["sink"]}
    environment = process_environment("openvino" if way.engine == "openvino" else "eager", WORKER_CORES)
    return [
        [_step("index", common, folder, {})],
        [_step("work", worker, folder, environment) for worker in workers],
        [_step("finish", finish, folder, {})],
    ]


def _step(step: str, config: Mapping[str, Any], folder: Path, environment: Mapping[str, str]) -> Command:
    path = folder / f"{step}-{config.get('worker', '')}.json"
    path.write_text(json.dumps(config))
    return Command(
        arguments=[sys.executable, "-m", "dueby_worker", step, "--config", str(path)], environment=environment
    )


def _steady_of_worker(summary: Mapping[str, Any]) -> float:
    seen = summary["progress"]
    return float((seen["imagesDone"] - BATCH) * 1e6 / (seen["stepMicrosMean"] * (seen["batches"] - 1)))


def _rows_of_peer(folder: Path) -> dict[str, tuple[int, float]]:
    rows = pq.read_table(folder / "rows.parquet").to_pylist()
    return {row["name"]: (row["classes"][0], row["scores"][0]) for row in rows}


def _rows_of_dueby(folder: Path) -> dict[str, tuple[int, float]]:
    rows = pq.read_table(folder / "out").to_pylist()
    return {row["uri"].rpartition("/")[2]: (row["classes"][0], row["scores"][0]) for row in rows}


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


def report(result: Mapping[str, Any]) -> None:
    """Table, file and chart."""
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
    RESULTS.mkdir(exist_ok=True)
    stem = "pipeline" if settings["precision"] == "fp32" else f"pipeline-{settings['precision']}"
    (RESULTS / f"{stem}.json").write_text(json.dumps(result, indent=1) + "\n")
    draw_chart(result, RESULTS / f"{stem}.png")
    console.print(f"{RESULTS / stem}.json and .png")


def say(found: Mapping[str, float], form: str) -> str:
    """Median, and least to most below it."""
    return f"{found['median']:{form}}\n[dim]{found['min']:{form}}-{found['max']:{form}}[/dim]"


if __name__ == "__main__":
    main()
