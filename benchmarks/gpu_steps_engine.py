"""An engine at a precision: how long it takes to build, W, L after five steps and hot, memory, and parity.

    python benchmarks/gpu_steps_engine.py --engine cudagraph --precision fp16 --sizes 256 64 1 --hot-s 15

The first size heats the device: T4 and L4 cards fall to half their clock within seconds. It prints one line of JSON.
"""

import argparse
import json
import os
import resource
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle, pairwise
from math import isfinite
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

import torch
import yaml

from dueby_api.engines import ENGINES, EngineName
from dueby_api.inference_job import Model
from dueby_profiler.machine.nvml import read_gpus, read_load
from dueby_worker.engines.build import build_engine
from dueby_worker.engines.cuda import CudaEngine, used_mib
from dueby_worker.engines.interface import Engine
from dueby_worker.engines.parity import check_parity, made_up_images
from dueby_worker.engines.tensorrt import export_onnx
from dueby_worker.models.loading import LoadedModel, load_model
from gpu_steps_bench import MODEL

FIRST_STEPS = 5


def main() -> None:
    """Measure each size and print what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--engine", required=True, choices=list(ENGINES))
    parser.add_argument("--precision", required=True)
    parser.add_argument("--sizes", type=int, nargs="+", required=True)
    parser.add_argument("--hot-s", type=float, required=True)
    parser.add_argument("--onnx", action="store_true", help="give the engine an ONNX file")
    options = parser.parse_args()
    engine: EngineName = options.engine
    torch_model = load_model(Model(name=MODEL, weights="none", precision=options.precision))
    points = []
    with TemporaryDirectory() as folder:
        for place, size in enumerate(options.sizes):
            loaded = as_onnx(torch_model, size, Path(folder)) if options.onnx else torch_model
            began = time.perf_counter()
            built = build_engine(
                name=engine, loaded=loaded, mini_batch_size=size, precision=options.precision, threads=1
            )
            build_s = time.perf_counter() - began
            points.append({"miniBatchSize": size, "buildSeconds": build_s, "layouts": layouts_of(built)})
            points[-1] |= measure(built, size, loaded, options.hot_s if place == 0 else options.hot_s / 5)
            parity = check_parity(built, loaded)
            points[-1] |= {"parity": parity.sentence, "agrees": parity.ok}
            built.close()
    print(json.dumps({"engine": engine, "precision": options.precision, "points": points}))


def layouts_of(engine: Engine) -> Mapping[str, Any] | None:
    """The layout in which the engine computes, and the steps in those that it tried; None if it knows of none."""
    if not isinstance(engine, CudaEngine):
        return None
    steps = {layout: round(step_us) for layout, step_us in engine.layouts_us.items() if isfinite(step_us)}
    return {"chosen": engine.layout, "stepMicros": steps}


def as_onnx(loaded: LoadedModel, size: int, folder: Path) -> LoadedModel:
    """The same network as an ONNX file for mini-batches of this size."""
    wanted = loaded.preprocessing
    file = folder / f"{size}.onnx"
    images = torch.zeros(size, 3, wanted.crop_side, wanted.crop_side)
    export_onnx(loaded.module, name=loaded.name, images=images, file=file)
    description: dict[str, Any] = {
        "input": {
            "layout": "NCHW",
            "channels": "RGB",
            "size": wanted.crop_side,
            "resize": wanted.resize_side,
            "interpolation": wanted.interpolation,
            "divideBy": 255,
            "mean": list(wanted.mean),
            "std": list(wanted.std),
        },
        "values": "Logits",
        "labels": [str(number) for number in range(1000)],
    }
    file.with_suffix(".yaml").write_text(yaml.safe_dump(description))
    return load_model(Model(name=f"onnx/{MODEL}", weights=str(file)))


def measure(engine: Engine, size: int, loaded: LoadedModel, hot_s: float) -> dict[str, Any]:
    """The first mini-batch, the first steps after it, and steps until the device is hot; times in microseconds."""
    buffers = [engine.buffer() for _ in range(engine.depth + 1)]
    for buffer in buffers:
        buffer[...] = made_up_images(size, loaded.preprocessing.crop_side)
    began = time.perf_counter()
    engine.submit(buffers[0])
    engine.collect()
    warmup_s = time.perf_counter() - began
    cpu_s, ends = time.process_time(), []
    for end in _steps(engine, buffers, time.perf_counter() + hot_s):
        ends.append(end)
    cpu_s = time.process_time() - cpu_s
    state = gpu_state()
    steps = [after - before for before, after in pairwise(ends)]
    hot = steps[len(steps) // 2 :]
    return {
        "warmupMicros": round(1e6 * warmup_s),
        "firstStepsMicros": round(1e6 * fmean(steps[:FIRST_STEPS])),
        "hotMicros": round(1e6 * fmean(hot)),
        "steps": len(steps),
        "imagesPerSecond": size / fmean(hot),
        "cpuMicrosAStep": round(1e6 * cpu_s / len(steps)),
        "gpuMemoryMiB": used_mib() if torch.cuda.is_available() else None,
        "hostMemoryMiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "gpu": state,
    }


def _steps(engine: Engine, buffers: Sequence[Any], until: float) -> Iterator[float]:
    """When each step ended, of more than FIRST_STEPS; nothing is in flight afterwards."""
    turns = cycle(buffers)
    for _ in range(engine.depth - 1):
        engine.submit(next(turns))
    done = 0
    while done <= FIRST_STEPS or time.perf_counter() < until:
        engine.submit(next(turns))
        engine.collect()
        done += 1
        yield time.perf_counter()
    for _ in range(engine.depth - 1):
        engine.collect()


def gpu_state() -> Mapping[str, Any]:
    """Clock, power, limits and what holds the clock down, of the GPU that CUDA computes on; empty without one."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0]
    uuids = [gpu.uuid for gpu in read_gpus()]
    states = read_load([chosen if chosen in uuids else uuids[0]] if uuids else [])
    return {name: value for state in states for name, value in state.values.items()}


if __name__ == "__main__":
    main()
