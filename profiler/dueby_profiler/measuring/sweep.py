"""Which mini-batch size to measure next, and why to stop.

Sizes are doubled from 1 while it pays. It stops paying when the best of the last two doublings is not 3 % faster, in
images per second, than the best before them: on a CPU that is soon (throughput is flat from 4 to 8 on), on a GPU after
the knee where launches no longer dominate. Sizes up to 8 are always taken, since they cost next to nothing and the
first look at a size is rough. Memory ends the growth before a size that would not fit is tried, and a size whose
process is killed for its memory ends it too. So does time, where a few steps of the next size would take too long.
"""

from collections.abc import Mapping, Sequence
from enum import Enum

MIN_GAIN = 0.03
ALWAYS_UP_TO = 8
MAX_SIZE = 65_536
# A warm-up, which may take as long as two steps, and the least number of steps that say anything.
STEPS_OF_A_POINT = 7


class End(Enum):
    """Why the sizes grow no further."""

    FLAT = "throughput gained less than 3 % over two doublings"
    MEMORY = "memory ends"
    TIME = "larger mini-batches take too long to measure"
    LARGEST = "no larger size is tried"


def next_size(latency_us: Mapping[int, float], *, most_memory: int | None, point_s: float) -> int | End:
    """The next size after those measured (1 at least), or why there is none.

    `latency_us` is the mean step by size, `most_memory` the largest size that memory allows where that is known, and
    `point_s` what measuring one more size may take.
    """
    last = max(latency_us)
    size = 2 * last
    if most_memory is not None and size > most_memory:
        return End.MEMORY
    if size > MAX_SIZE:
        return End.LARGEST
    if last >= ALWAYS_UP_TO and is_flat(latency_us):
        return End.FLAT
    if STEPS_OF_A_POINT * 2 * latency_us[last] > point_s * 1e6:
        return End.TIME
    return size


def is_flat(latency_us: Mapping[int, float]) -> bool:
    """Whether the last two doublings gained too little."""
    rates = [size / latency_us[size] for size in sorted(latency_us)]
    return len(rates) > 2 and max(rates[-2:]) < (1 + MIN_GAIN) * max(rates[:-2])


def warmup_sizes(sizes: Sequence[int]) -> list[int]:
    """The three sizes whose warm-up is measured, in the order of their worth.

    The largest first: others take the next larger size's warm-up, so it is the one that can't be missing. Then the
    smallest, where a step is shortest and the warm-up weighs most, and the middle.
    """
    ordered = sorted(sizes)
    return list(dict.fromkeys([ordered[-1], ordered[0], ordered[len(ordered) // 2]]))
