"""How far a step's time at one image size is off when it is predicted from another's, as plans on a prediction do.

    python benchmarks/relatives.py                # 20 minutes on a busy machine; writes results/relatives.json
    python benchmarks/relatives.py --again        # the predictions alone, from the steps in that file

Steps of each engine object are measured one after the other on the same core, without input. Then every image size is
predicted from every other of the same model and engine with the planner's own function, and what was measured there
says how far off that is. The bars at the end are those by which the planner takes its margin.
"""

import argparse
import json
import os
import sys
import time
from collections import defaultdict
from itertools import permutations
from math import log2, sqrt
from pathlib import Path
from statistics import fmean, median, quantiles
from typing import Any

import numpy as np

from dueby_api.engines import EngineName, runs_on_cpu
from dueby_api.inference_job import Model
from dueby_api.schema import validate
from dueby_planner.profiles.size_prediction import error_at, latency_of_images
from dueby_worker.engines.build import available_engines, build_engine
from dueby_worker.engines.host import pin_to_cores, process_environment
from dueby_worker.engines.interface import Engine
from dueby_worker.models.loading import load_model

RESULTS = Path(__file__).parent / "results" / "relatives.json"
MODELS = ("mobilenet_v3_large", "efficientnet_lite0", "efficientnet_b0", "resnet50", "vit_b_16")
# Neighbours differ by about 2 in their pixels; all are multiples of the transformer's patches.
IMAGE_SIZES = (112, 160, 224, 320)
MINI_BATCHES = (1, 2, 4)
ENGINES: tuple[EngineName, ...] = ("openvino", "eager", "cudagraph")
CORE = min(os.sched_getaffinity(0))
SECONDS_A_POINT, FEWEST_STEPS = 0.5, 4
Point = dict[str, Any]


def main() -> None:
    """Measure, predict, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--again", action="store_true", help="predict again from the steps that were measured before")
    if parser.parse_args().again:
        points: list[Point] = json.loads(RESULTS.read_text())["points"]
    else:
        start_with_environment()
        points = measure()
    found = predict_all(points)
    summary = summarise(found)
    for row in summary:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    RESULTS.parent.mkdir(exist_ok=True)
    document = {"cores": 1, "summary": summary, "points": points}
    RESULTS.write_text(json.dumps(document, indent=1) + "\n")


def predict_all(points: list[Point]) -> list[Point]:
    """Every image size from every other of the same model and engine, at each mini-batch size."""
    steps: dict[tuple[str, str], dict[int, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
    for point in points:
        key = point["model"], point["engine"]
        steps[key][point["imageSize"]].append((point["miniBatchSize"], point["stepMicros"]))
    found = []
    for (model, engine), sizes in steps.items():
        for known, wanted in permutations(sorted(sizes), 2):
            curve, ratio = latency_of_images(sizes[known]), (wanted / known) ** 2
            for mini_batch, step_us in sizes[wanted]:
                off = curve(mini_batch * ratio) / step_us - 1
                found.append(
                    {
                        "model": model,
                        "engine": engine,
                        "from": known,
                        "to": wanted,
                        "miniBatchSize": mini_batch,
                        "off": round(off, 4),
                    }
                )
    return found


def summarise(found: list[Point]) -> list[Point]:
    """How far they are off, by how far the sizes' pixels are apart."""
    by_distance: dict[int, list[float]] = defaultdict(list)
    for prediction in found:
        by_distance[abs(round(2 * log2(prediction["to"] / prediction["from"])))].append(prediction["off"])
    return [
        {
            "pixelRatio": 2**distance,
            "predictions": len(offs),
            "standardError": round(sqrt(fmean(off**2 for off in offs)), 3),
            "meanOff": round(fmean(offs), 3),
            "p90": round(quantiles(map(abs, offs), n=10)[-1], 3),
            "planned": error_at(2.0**distance),
        }
        for distance, offs in sorted(by_distance.items())
    ]


def start_with_environment() -> None:
    """Start again with the variables that libraries read when they are loaded, and stay on one core."""
    wanted = process_environment("eager", 1)
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **wanted})
    pin_to_cores([CORE])


def measure() -> list[Point]:
    """The median step of each model, engine, image size and mini-batch size."""
    points = []
    for name in MODELS:
        for image_size in IMAGE_SIZES:
            document = {"name": name, "weights": "none", "imageSize": image_size, "precision": "fp32"}
            loaded = load_model(validate(Model, document))
            for engine_name in [name for name in ENGINES if name in available_engines("fp32")]:
                for mini_batch in MINI_BATCHES:
                    engine = build_engine(
                        name=engine_name, loaded=loaded, mini_batch_size=mini_batch, precision="fp32", threads=1
                    )
                    step_us = median_step_us(engine, is_gpu=not runs_on_cpu(engine_name))
                    engine.close()
                    points.append(
                        {
                            "model": name,
                            "engine": engine_name,
                            "imageSize": image_size,
                            "miniBatchSize": mini_batch,
                            "stepMicros": step_us,
                        }
                    )
                    print(f"{name} {engine_name} {image_size} px x {mini_batch}: {step_us:,} us", file=sys.stderr)
    return points


def median_step_us(engine: Engine, *, is_gpu: bool) -> int:
    """Of steps one after the other; the first is not counted. On a core what the process has used of it."""
    clock_ns = time.perf_counter_ns if is_gpu else time.process_time_ns
    buffers = [engine.buffer() for _ in range(engine.depth)]
    for buffer in buffers:
        buffer[...] = np.random.default_rng(0).integers(0, 256, size=buffer.shape, dtype=np.uint8)
    for buffer in buffers:
        engine.submit(buffer)
    engine.collect()
    steps: list[int] = []
    while len(steps) < FEWEST_STEPS or sum(steps) < SECONDS_A_POINT * 1e9:
        began = clock_ns()
        engine.submit(buffers[len(steps) % len(buffers)])
        engine.collect()
        steps.append(clock_ns() - began)
    for _ in buffers[1:]:
        engine.collect()
    return round(median(steps) / 1000)


if __name__ == "__main__":
    main()
