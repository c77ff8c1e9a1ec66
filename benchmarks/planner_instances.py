"""The random pools and jobs that benchmarks/planner.py times plans for."""

import random
from dataclasses import dataclass

from dueby_planner.model.capacity import DeviceChoice, PoolGroup, capacity
from dueby_planner.model.problem import Problem
from dueby_planner.model.rule import Spreads
from dueby_planner.profiles.pool import Pool

SEED = 4
TIME_US = 300_000_000
MAX_N = 10**9
SHARE_OF_POOL = 0.6
SIZES_OF_A_CLASS = range(16, 257, 16)


@dataclass(frozen=True)
class Size:
    """How large an instance is; without `images` N is 60 % of what the pool can do, at most 10^9."""

    gpus: int
    classes: int
    images: int | None = None


SIZES = (
    *(Size(gpus, 4) for gpus in (8, 64, 512, 4096)),
    *(Size(gpus, 16) for gpus in (64, 512, 4096)),
    *(Size(4096, 16, images) for images in (10**6, 10**7, 10**8)),
)
LARGEST = Size(4096, 16)


def instance(size: Size, repetition: int, confidence: float) -> Problem:
    """Return a problem of random classes, whose steps have a fixed part and one per image.

    Every call makes new objects, so that nothing is cached.
    """
    draw = random.Random(f"{SEED}-{size}-{repetition}")
    groups = []
    for number in range(size.classes):
        fixed_us, each_us, start_us = draw.uniform(2e3, 2e4), draw.uniform(1e2, 2e3), draw.uniform(3e6, 9e6)
        choices = [
            choice(b, round(fixed_us + each_us * b * draw.uniform(0.95, 1.05)), round(start_us))
            for b in SIZES_OF_A_CLASS
        ]
        count = size.gpus // size.classes + (number < size.gpus % size.classes)
        groups.append(PoolGroup(device_class=f"class-{number:02}", count=count, choices=tuple(choices)))
    pool = Pool(groups=tuple(groups), spreads=Spreads(run=0.01, node=0.02))
    everything = sum(group.count * max(capacity(c, time_us=TIME_US) for c in group.choices) for group in groups)
    images = size.images or min(MAX_N, int(everything * SHARE_OF_POOL))
    return Problem(pool=pool, images=images, time_us=TIME_US, confidence=confidence)


def choice(mini_batch_size: int, latency_us: int, start_us: int) -> DeviceChoice:
    """Return a size whose start takes a fifth longer at p95 than at p50."""
    warmup_us = 3 * latency_us
    return DeviceChoice(
        engine="cudagraph",
        mini_batch_size=mini_batch_size,
        latency_us=latency_us,
        start_us=start_us * 6 // 5 + warmup_us,
        expected_start_us=start_us + warmup_us,
        expected_warmup_us=warmup_us,
        profile="random",
    )
