"""What the worker costs beside the model, and whether its memory depends on the number of images.

    python benchmarks/worker.py            # about 6 minutes on 2 cores; writes results/worker.json and worker.png

1. The worker's loop (synthetic input, feed, rows, commits to a folder) against the bare loop submit, collect, submit,
   ... of the same engine object, everything on the same core, in pairs whose order alternates. The ratio is that of
   steady steps, images a second; `whole` counts all from the first mini-batch to the last commit, the parity check too.
2. Peak memory (VmHWM) of worker processes over 2,000 and over 20,000 JPEGs.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from PIL import Image

from dueby_api.engines import EngineName
from dueby_api.grid import Share
from dueby_api.inference_job import Model
from dueby_api.schema import validate
from dueby_api.step_config import IndexConfig, WorkConfig
from dueby_worker.engines.build import available_engines, build_engine
from dueby_worker.engines.host import pin_to_cores, process_environment
from dueby_worker.engines.interface import Engine
from dueby_worker.models.loading import LoadedModel, load_model
from dueby_worker.steps.index_step import index_source
from dueby_worker.steps.job_network import LoadedNetwork
from dueby_worker.steps.worker_run import WorkerRun
from dueby_worker.storage.stores import open_store
from dueby_worker.telemetry.progress import ProgressTracker
from support.worker_config import share_of_everything

matplotlib.use("Agg")
import matplotlib.pyplot as plt

RESULTS = Path(__file__).parent / "results"
BAR = 0.98

MODEL: dict[str, Any] = {"name": "efficientnet_b0", "weights": "none", "imageSize": 224, "precision": "fp32"}
# One engine of each kind that the machine has.
ENGINES: tuple[EngineName, ...] = ("openvino", "eager", "cudagraph")
MINI_BATCH = 16
CORE = min(os.sched_getaffinity(0))
PAIRS = 9
SECONDS_A_RUN = 6.0
PART_SIZE = 64

MEMORY_MODEL: dict[str, Any] = {"name": "mobilenet_v3_small", "weights": "none", "imageSize": 64, "precision": "fp32"}
MEMORY_MINI_BATCH = 32
MEMORY_IMAGES = (2_000, 20_000)
MEMORY_RUNS = 2
MEMORY_BAR = 0.10
PHOTO_SIDE = 96


def main() -> None:
    """Both measurements, as a table, a JSON document and a picture."""
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    # Variables that libraries read when they are loaded: start again with them.
    wanted = process_environment("eager", 1)
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **wanted})
    pin_to_cores([CORE])
    loaded = load_model(validate(Model, MODEL))
    engines = [name for name in ENGINES if name in available_engines("fp32")]
    ratios: dict[str, dict[str, list[float]]] = {name: compare_loops(name, loaded) for name in engines}
    print_ratios(ratios)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    memory = measure_memory()
    print_memory(memory)
    RESULTS.mkdir(exist_ok=True)
    document = {"model": MODEL, "miniBatchSize": MINI_BATCH, "cores": 1, "loops": ratios, "peakMemoryMiB": memory}
    (RESULTS / "worker.json").write_text(json.dumps(document, indent=1))
    draw(ratios, memory)


def compare_loops(name: EngineName, loaded: LoadedModel) -> dict[str, list[float]]:
    """Images a second of both loops in each pair."""
    engine = build_engine(name=name, loaded=loaded, mini_batch_size=MINI_BATCH, precision="fp32", threads=1)
    steps = max(10, int(SECONDS_A_RUN * run_bare(engine, 10) / MINI_BATCH))
    rates: dict[str, list[float]] = {"bare": [], "worker": [], "whole": []}
    for pair in range(PAIRS):
        for turn in ("bare", "worker") if pair % 2 else ("worker", "bare"):
            if turn == "bare":
                rates["bare"].append(run_bare(engine, steps))
            else:
                steady, whole = run_worker(engine, loaded, steps)
                rates["worker"].append(steady)
                rates["whole"].append(whole)
        print(f"{name}: pair {pair + 1} of {PAIRS}: {rates['worker'][-1] / rates['bare'][-1]:.3f}", file=sys.stderr)
    engine.close()
    return rates


def run_bare(engine: Engine, steps: int) -> float:
    """Images a second of the model alone, as many mini-batches in flight as the engine takes."""
    buffers = [engine.buffer() for _ in range(engine.depth)]
    for buffer in buffers:
        buffer[...] = np.random.default_rng(0).integers(0, 256, size=buffer.shape, dtype=np.uint8)
    for buffer in buffers:
        engine.submit(buffer)
    engine.collect()
    began = time.perf_counter()
    for step in range(steps):
        engine.submit(buffers[step % len(buffers)])
        engine.collect()
    elapsed = time.perf_counter() - began
    for _ in buffers[1:]:
        engine.collect()
    return steps * MINI_BATCH / elapsed


def run_worker(engine: Engine, loaded: LoadedModel, steps: int) -> tuple[float, float]:
    """Images a second of the worker: in its steady steps, and from the first mini-batch to the last commit."""
    with tempfile.TemporaryDirectory(prefix="dueby-benchmark-") as folder:
        job = {"job": "benchmark", "model": MODEL, "source": {"synthetic": {}}, "sink": {"uri": f"{folder}/sink"}}
        images = (steps + 1) * MINI_BATCH
        index_source(validate(IndexConfig, {**job, "images": images}))
        config = validate(WorkConfig, {**job, **share_of_everything(images, PART_SIZE, MINI_BATCH, engine.name)})
        progress = ProgressTracker(worker="w0", share=Share(first=0, end=config.grid.parts))
        network = LoadedNetwork(config, loaded, engine=engine)
        worker = WorkerRun(config, network=network, store=open_store(config.sink.uri), progress=progress)
        began: list[float] = []

        def start() -> int:
            began.append(time.perf_counter())
            return 0

        worker.run(process_age_us=start)
        whole = images / (time.perf_counter() - began[0])
    return progress.steps.count * MINI_BATCH * 1e6 / progress.steps.total_us, whole


def measure_memory() -> dict[str, list[int]]:
    """Peak memory in MiB of every run, by the number of images."""
    folder = Path(tempfile.mkdtemp(prefix="dueby-benchmark-"))
    try:
        write_photos(folder / "photos", max(MEMORY_IMAGES))
        return {
            str(images): [
                run_process(folder / f"{images}-{run}", folder / "photos", images) for run in range(MEMORY_RUNS)
            ]
            for images in MEMORY_IMAGES
        }
    finally:
        shutil.rmtree(folder)


def write_photos(folder: Path, count: int) -> None:
    """So many small JPEGs."""
    folder.mkdir()
    noise = np.random.default_rng(0)
    for number in range(count):
        pixels = noise.integers(0, 256, (PHOTO_SIDE // 8, PHOTO_SIDE // 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((PHOTO_SIDE, PHOTO_SIDE)).save(folder / f"{number:06d}.jpg")


def run_process(folder: Path, photos: Path, images: int) -> int:
    """Peak memory in MiB of a worker's process over the first so many photos."""
    folder.mkdir()
    job = {"job": "benchmark", "model": MEMORY_MODEL, "source": {"uri": str(photos)}, "sink": {"uri": f"{folder}/sink"}}
    index_source(validate(IndexConfig, {**job, "images": images}))
    config = folder / "config.json"
    config.write_text(json.dumps({**job, **share_of_everything(images, 1024, MEMORY_MINI_BATCH, "eager")}))
    command = [sys.executable, "-m", "dueby_worker", "work", "--config", str(config)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    summary = json.loads(done.stdout.splitlines()[-1])
    print(f"{images} images: {summary['peakMemoryMiB']} MiB in {summary['seconds']:.0f} s", file=sys.stderr)
    return int(summary["peakMemoryMiB"])


def print_ratios(ratios: dict[str, dict[str, list[float]]]) -> None:
    """The table of the first measurement."""
    print(f"{MODEL['name']}, mini-batches of {MINI_BATCH}, one core, {PAIRS} pairs of {SECONDS_A_RUN:.0f} s")
    print(f"{'engine':10} {'bare img/s':>11} {'worker img/s':>13} {'ratio':>7} {'quartiles':>15} {'whole':>7}")
    for name, rates in ratios.items():
        steady, whole = pairwise_ratios(rates, "worker"), pairwise_ratios(rates, "whole")
        low, middle, high = statistics.quantiles(steady, n=4)
        print(
            f"{name:10} {statistics.median(rates['bare']):11.1f} {statistics.median(rates['worker']):13.1f} "
            f"{middle:7.3f} {low:7.3f}-{high:.3f} {statistics.median(whole):7.3f}  "
            f"{'ok' if middle >= BAR else 'BELOW'} (bar {BAR})"
        )


def pairwise_ratios(rates: dict[str, list[float]], loop: str) -> list[float]:
    """Rate of the loop over that of the bare loop beside it."""
    return [rate / bare for rate, bare in zip(rates[loop], rates["bare"], strict=True)]


def print_memory(memory: dict[str, list[int]]) -> None:
    """The table of the second measurement."""
    few, many = (statistics.mean(memory[str(images)]) for images in MEMORY_IMAGES)
    for images, peaks in memory.items():
        print(f"{int(images):>7,} images: peak memory {', '.join(f'{peak} MiB' for peak in peaks)}")
    verdict = "ok" if abs(many / few - 1) <= MEMORY_BAR else "MORE"
    print(f"difference {many / few - 1:+.1%}  {verdict} (bar {MEMORY_BAR:.0%})")


def draw(ratios: dict[str, dict[str, list[float]]], memory: dict[str, list[int]]) -> None:
    """Both as a picture."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for place, (_, rates) in enumerate(ratios.items()):
        pairs = pairwise_ratios(rates, "worker")
        left.plot([place] * len(pairs), pairs, "o", alpha=0.5, color="C0")
        left.plot([place - 0.2, place + 0.2], [statistics.median(pairs)] * 2, color="C0", linewidth=2)
    left.axhline(BAR, color="C3", linestyle="--", linewidth=1)
    left.set_xticks(range(len(ratios)), list(ratios))
    left.set_xlim(-0.6, len(ratios) - 0.4)
    left.set_title("Worker over the bare model loop")
    left.set_ylabel("images a second, ratio")
    right.bar(
        [f"{int(images):,}" for images in memory], [statistics.mean(peaks) for peaks in memory.values()], width=0.5
    )
    right.set_title("Peak memory of a worker")
    right.set_xlabel("images")
    right.set_ylabel("MiB")
    figure.savefig(RESULTS / "worker.png", dpi=150)


if __name__ == "__main__":
    main()
