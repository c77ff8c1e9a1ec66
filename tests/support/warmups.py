"""Rows of warm-ups whose true relation to their features is known."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dueby_profiler.monitor.sampler import Row
from dueby_profiler.monitor.tables import warmup_table

# Parameters, and operations for an image of 224 px.
MODELS = {"small": (2_000_000, 1e8), "middle": (5_000_000, 6e8), "large": (25_000_000, 4e9)}
SIZES = (1, 2, 4, 8, 16, 32)
_FIXED_US = {"eager": 60_000.0, "openvino": 12_000.0}
_NS_OF_AN_OPERATION = {"eager": 0.025, "openvino": 0.012}


def true_us(row: Row) -> float:
    """Return W without noise: an engine's fixed time plus its operations' time, slower where other processes
    are busy.
    """
    work_us = 1e-3 * _NS_OF_AN_OPERATION[row["engine"]] * row["mini_batch_size"] * row["image_flops"] / row["threads"]
    busy = 1.0 + 0.4 * float(row["cpu_busy_cores"])
    return float((_FIXED_US[row["engine"]] + work_us) * busy)


def a_row(random: np.random.Generator, **fixed: Any) -> Row:
    """Return a row; what is not given is made up."""
    busy = random.uniform(0, 2)
    name = fixed.get("model", "middle")
    image_size = fixed.get("image_size", 224)
    parameters, flops = MODELS[name]
    row: Row = {
        "device_class": "cpu-1",
        "engine": "eager",
        "model": name,
        "precision": "fp32",
        "image_size": image_size,
        "mini_batch_size": 8,
        "parameters": parameters,
        "model_bytes": 4 * parameters + 1000,
        "image_flops": int(flops * (image_size / 224) ** 2),
        "threads": 1,
        "slices": 2,
        "slice": 0,
        "round": 0,
        "node": "n",
        "gpu": False,
        "at_us": int(random.uniform(0, 1e9)),
        "startup_us": int(random.uniform(3e6, 4e6)),
        "build_us": int(random.uniform(1e5, 2e5)),
        "cpu_busy_cores": busy,
        "process_cpu_cores": busy + random.normal(0, 0.02),
        "memory_free_bytes": random.uniform(1e9, 2e9),
        "cpu_load_1m_percent": random.uniform(0, 100),
        "cpu_interrupts": random.uniform(0, 1e5),
    } | fixed
    return row | {"warmup_us": max(1, int(true_us(row) * np.exp(random.normal(0, 0.04))))}


def some_rows(seed: int = 0, *, models: Sequence[str] = tuple(MODELS), sizes: Sequence[int] = SIZES) -> list[Row]:
    """Return every combination of two classes, two engines, the models, two image sizes and the mini-batch sizes."""
    random = np.random.default_rng(seed)
    return [
        a_row(
            random,
            device_class=f"cpu-{threads}",
            threads=threads,
            slices=2 // threads,
            slice=number,
            engine=engine,
            model=model,
            image_size=image_size,
            mini_batch_size=size,
        )
        for threads in (1, 2)
        for engine in ("eager", "openvino")
        for model in models
        for image_size in (128, 224)
        for size in sizes
        for number in range(2 // threads)
    ]


def a_table(rows: Sequence[Row] | None = None) -> Any:
    """Return the rows, or some made-up ones, as a table."""
    return warmup_table(some_rows() if rows is None else rows)
