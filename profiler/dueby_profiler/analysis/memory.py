"""MB, the largest mini-batch that fits, computed from the peak memory at a few sizes.

Peak memory is linear in the mini-batch size (3.5 MiB an image with OpenVINO, 16 MiB with eager torch, at 224 px). So a
few sizes show where memory ends; an MB above the measured sizes is marked as extrapolated. Peaks are read as VmHWM of
fresh processes: `ru_maxrss` is inherited over a fork, and an allocator keeps the memory that an earlier, larger size
has taken.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor

from dueby_profiler.measuring.sweep import MAX_SIZE

# The rest is for the worker's decoded images and open parts, and for everything else on the machine.
USABLE_SHARE = 0.9


@dataclass(frozen=True, kw_only=True)
class Largest:
    """MB, the largest mini-batch size that fits."""

    mini_batch_size: int
    extrapolated: bool
    """Whether it was computed from smaller sizes rather than measured."""


def usable_mib(limit_mib: int, slices: int) -> int:
    """Return the memory that one of `slices` equal slices may use."""
    return floor(USABLE_SHARE * limit_mib / slices)


def fitting_size(peak_mib: Mapping[int, int], limit_mib: int) -> int | None:
    """Return the largest size that fits if memory goes on growing at the steepest rate seen up to the largest measured
    size.

    Return None if the peaks don't show how much an image takes. The steepest rate is used rather than a fitted line:
    start-up alone varies by 50 MiB from process to process, which in a few small sizes hides what the images take.
    """
    last = max(peak_mib, default=0)
    slopes = [(peak_mib[last] - mib) / (last - size) for size, mib in peak_mib.items() if size < last]
    steepest = max(slopes, default=0.0)
    return max(0, last + floor((limit_mib - peak_mib[last]) / steepest)) if steepest > 0 else None


def largest(sizes: Sequence[int], *memories: tuple[Mapping[int, Sequence[int]], int], failed: int | None) -> Largest:
    """Return MB: at least the largest measured size, and below the size `failed` that ran out of memory, if one did.

    `memories` are the peaks by size, and the limit, of each memory that a process takes: the device's, and the host's.
    """
    measured = max(sizes)
    if failed is not None:  # the end of memory was found, so nothing has to be computed
        return Largest(mini_batch_size=measured, extrapolated=False)
    fits = [fitting_size({size: max(of) for size, of in peaks.items()}, limit) for peaks, limit in memories]
    fitting = min([MAX_SIZE, *filter(None, fits)]) if any(fits) else measured
    return Largest(mini_batch_size=max(measured, fitting), extrapolated=fitting > measured)
