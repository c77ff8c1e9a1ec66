"""The ways that pipeline.py compares, the commands of each, and one run of one.

DueBy's ways are the processes and configurations of `dueby run`: index, a worker on each slice of cores, finish. The
peers' are loops of pipeline_peers.py on all cores. Each run has a folder of its own, and gives what it cost, how fast
it was once it ran, and the class that it found for each photo.
"""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from dueby_api.grid import Grid
from dueby_planner.model.shares import cut_shares
from dueby_worker.engines.host import process_environment
from metering import Command, Cost, run_metered

MODEL = "efficientnet_b0"
BATCH = 32
CORES = sorted(os.sched_getaffinity(0))
# How many of them each of DueBy's workers has: two workers of one core are a quarter faster than one of two, here as in
# the profiles by which `dueby run` chooses.
WORKER_CORES = 1
# Workers that load their model while the index step runs, which has a core to itself.
EARLY = max(1, len(CORES) - 1)
HERE = Path(__file__).parent


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
    device: str = "cpu"
    """The peers' device."""
    batch: int = BATCH
    """The peers' mini-batches."""
    workers: int | None = None
    """The peers' processes that decode; None: as many as by their defaults."""
    limit_s: float | None = None
    """How long each program may take."""

    @property
    def pictures(self) -> Path:
        """The folder of photos."""
        return self.folder / "photos"

    def weights(self, loop: str) -> Path:
        """The same tensors by torchvision's or timm's names."""
        return self.folder / f"{'timm' if loop == 'timm' else 'torchvision'}.pth"


def run(way: Way, bench: Bench, *, label: str) -> Run:
    """Run one way in a folder of its own, with its log."""
    folder = bench.folder / f"{way.name}-{label}"
    folder.mkdir()
    stages = dueby_stages(way, bench, folder) if way.engine else [[peer_command(way, bench, folder)]]
    cost = run_metered(stages, folder / "log.txt", limit_s=bench.limit_s)
    said = [json.loads(output.splitlines()[-1]) for output in cost.outputs]
    steady = sum(map(_steady_of_worker, said[1:-1])) if way.engine else said[0]["imagesPerSecond"]
    rows = rows_of_dueby(folder / "out") if way.engine else _rows_of_peer(folder)
    if len(rows) != bench.photos:
        sys.exit(f"pipeline: {way.title} gave {len(rows)} rows for {bench.photos} photos; see {folder}")
    return Run(cost=cost, steady=steady, top1=rows)


def peer_command(way: Way, bench: Bench, folder: Path) -> Command:
    """A peer's loop, on all cores."""
    arguments = ["--photos", bench.pictures, "--weights", bench.weights(way.loop), "--precision", bench.precision]
    arguments += ["--output", folder / "rows.parquet", "--batch", bench.batch, "--device", bench.device]
    arguments += ["--workers", bench.workers] if bench.workers else []
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
    """index, a worker on each slice, finish: the processes and configurations of `dueby run`.

    Where N is known, it starts some of the workers with the index, as here.
    """
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
        [_step("work", worker, folder, environment, is_early=rank < EARLY) for rank, worker in enumerate(workers)],
        [_step("finish", finish, folder, {})],
    ]


def _step(
    step: str, config: Mapping[str, Any], folder: Path, environment: Mapping[str, str], *, is_early: bool = False
) -> Command:
    path = folder / f"{step}-{config.get('worker', '')}.json"
    path.write_text(json.dumps(config))
    arguments = [sys.executable, "-m", "dueby_worker", step, "--config", str(path)]
    if is_early:
        early = path.with_suffix(".early")
        early.write_text(json.dumps({name: config[name] for name in ("model", "engine", "threads", "cores")}))
        arguments += ["--early", str(early)]
    return Command(arguments=arguments, environment=environment, is_early=is_early)


def _steady_of_worker(summary: Mapping[str, Any]) -> float:
    seen = summary["progress"]
    return float((seen["imagesDone"] - BATCH) * 1e6 / (seen["stepMicrosMean"] * (seen["batches"] - 1)))


def _rows_of_peer(folder: Path) -> dict[str, tuple[int, float]]:
    rows = pq.read_table(folder / "rows.parquet").to_pylist()
    return {row["name"]: (row["classes"][0], row["scores"][0]) for row in rows}


def rows_of_dueby(sink: Path) -> dict[str, tuple[int, float]]:
    """Class and probability by file name."""
    rows = pq.read_table(sink).to_pylist()
    return {row["uri"].rpartition("/")[2]: (row["classes"][0], row["scores"][0]) for row in rows}
