"""Decide which mini-batch size to measure next, and when to stop.

Sizes are doubled from 1 while that pays. It no longer pays when the best of the last two doublings is not 3 % faster,
in images per second, than the best before them. On a CPU that is soon (throughput is flat from 4 to 8 on); on a GPU it
is after the knee, where launches no longer dominate. Sizes up to 8 are always measured, since they cost next to nothing
and the first measurement at a size is rough.

On a GPU each size costs a build that takes as long as hundreds of steps, and small sizes are bound by launches: it goes
from 1 to 8, 32 and 64 before it doubles.

Memory ends the growth before a size that would not fit is tried, and so does a process that is killed for its memory.
Time ends it if a few steps of the next size would take too long.
"""

from collections.abc import Mapping, Sequence
from enum import Enum

from dueby_profiler.analysis.statistics import MIN_STEPS

MIN_GAIN = 0.03
ALWAYS_UP_TO = 8
MAX_SIZE = 65_536
# The sizes of a GPU that aren't twice the size before.
_LEAPS = {1: 8, 8: 32}
_GPU_ALWAYS_UP_TO = 64
# A warm-up, which may take as long as two steps, and the smallest number of steps that say anything.
STEPS_OF_A_POINT = 2 + MIN_STEPS


class SweepEnd(Enum):
    """Why no larger size was measured."""

    FLAT = "two doublings gained less than 3 % throughput"
    MEMORY = "larger mini-batches do not fit into memory"
    CRASH = "a process that measured a larger mini-batch crashed"
    TIME = "larger mini-batches take too long to measure"
    LARGEST = "this is the largest size that is ever tried"


def next_size(
    latency_us: Mapping[int, float],
    *,
    max_fitting: int | None,
    point_s: float,
    overhead_s: float = 0.0,
    gpu: bool = False,
) -> int | SweepEnd:
    """Return the next size after those measured (1 at least), or why there is none.

    `latency_us` is the mean step by size, `max_fitting` the largest size that fits into memory, if known, and `point_s`
    the time that measuring one more size may take, of which `overhead_s` are the building of its engine and the like.
    """
    last = max(latency_us)
    size = _LEAPS.get(last, 2 * last) if gpu else 2 * last
    if max_fitting is not None and size > max_fitting:
        size = 2 * last  # what a leap would have left out may fit
        if size > max_fitting:
            return SweepEnd.MEMORY
    if size > MAX_SIZE:
        return SweepEnd.LARGEST
    if last >= (_GPU_ALWAYS_UP_TO if gpu else ALWAYS_UP_TO) and is_flat(latency_us):
        return SweepEnd.FLAT
    if overhead_s + 1e-6 * STEPS_OF_A_POINT * size / last * latency_us[last] > point_s:
        return SweepEnd.TIME
    return size


def is_flat(latency_us: Mapping[int, float]) -> bool:
    """Return whether the last two doublings gained too little throughput."""
    rates = [size / latency_us[size] for size in sorted(latency_us)]
    return len(rates) > 2 and max(rates[-2:]) < (1 + MIN_GAIN) * max(rates[:-2])


def warmup_sizes(sizes: Sequence[int]) -> list[int]:
    """Return the three sizes at which to measure the warm-up, the most valuable first.

    The largest comes first because sizes without a warm-up take that of the next larger size, so the largest must have
    one. Then comes the smallest, where a step is shortest and the warm-up weighs most, and then the middle.
    """
    ordered = sorted(sizes)
    return list(dict.fromkeys([ordered[-1], ordered[0], ordered[len(ordered) // 2]]))
