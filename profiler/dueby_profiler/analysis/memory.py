"""The largest mini-batch that fits, MB, from the memory of a few sizes.

Peak memory is linear in the mini-batch size (3.5 MiB an image with OpenVINO, 16 with eager torch, at 224 px), so a few
sizes say where it ends, and what was not reached is marked as extrapolated. A process's peak is read as VmHWM and in a
fresh process: `ru_maxrss` is inherited over fork, and an allocator keeps what a larger size before has taken.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor

from dueby_profiler.measuring.sweep import MAX_SIZE

# What is left for everything else: the worker's decoded images and open parts, and the rest of the machine.
USABLE_SHARE = 0.9


@dataclass(frozen=True, kw_only=True)
class Largest:
    """MB."""

    mini_batch_size: int
    extrapolated: bool


def usable_mib(limit_mib: int, slices: int) -> int:
    """What one of the slices may take of memory that they share."""
    return floor(USABLE_SHARE * limit_mib / slices)


def fitting_size(peak_mib: Mapping[int, int], limit_mib: int) -> int | None:
    """The largest size that fits, going on as steeply as it ever rose to the largest size that was measured.

    None while the peaks don't show what an image takes. Not the best line through them: start-up alone takes 50 MiB
    more or less from process to process, which hides what the images take in a few small sizes.
    """
    last = max(peak_mib, default=0)
    slopes = [(peak_mib[last] - mib) / (last - size) for size, mib in peak_mib.items() if size < last]
    steepest = max(slopes, default=0.0)
    return max(0, last + floor((limit_mib - peak_mib[last]) / steepest)) if steepest > 0 else None


def largest(sizes: Sequence[int], peak_mib: Mapping[int, int], limit_mib: int, *, failed: int | None) -> Largest:
    """MB, at least the largest size measured, and below the size that memory ended at, if one did."""
    measured = max(sizes)
    if failed is not None:
        return Largest(mini_batch_size=measured, extrapolated=False)
    fitting = min(MAX_SIZE, fitting_size(peak_mib, limit_mib) or measured)
    return Largest(mini_batch_size=max(measured, fitting), extrapolated=fitting > measured)
