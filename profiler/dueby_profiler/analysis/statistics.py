"""What a handful of measurements says about a time: its mean, how well the mean is known, quantiles and spread.

Planning with a quantile of each step is off by up to +57 % over a whole run, so the mean is what has to be known well:
a point is done when the mean's 95 % interval within the process is at most 2 % to either side. Neighbouring steps
resemble each other (caches, clocks, other tenants), so the plain standard error would be too small; it is widened by
the correlation of neighbours.

Fresh processes differ by more than steps do (standard deviation 2.6-6.4 % on a small virtual machine), so a profile
pools several processes. Quantiles are nearest rank and never interpolated: of few values the p95 is the largest one
seen, not a number below it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import ceil, sqrt
from statistics import fmean, stdev

WANTED_ERROR = 0.02
# With fewer steps the standard deviation itself is a guess.
MIN_STEPS = 5
# On a GPU steps are so even that a few, of some milliseconds, would do, and the clocks would have no time to settle.
MIN_GPU_STEPS, MIN_GPU_S = 30, 0.5
# Half the width of a normal distribution's 95 % interval, in standard errors.
_HALF_INTERVAL = 1.96
# Standard error of a spread relative to the spread: that of nine samples. They widen the spread by a fifth, where five
# widen it by two fifths, and each further one would save a plan only a fiftieth of its spare time.
WANTED_SPREAD_ERROR = 0.25


def quantile(values: Iterable[int], share: float) -> int:
    """Return the smallest value with at least this share of all values at or below it; `share` is in (0, 1]."""
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered) - 1e-9) - 1)]


def relative_error(values: Sequence[int]) -> float:
    """Return half the width of the mean's 95 % interval relative to the mean; infinite with fewer than MIN_STEPS
    values.
    """
    if len(values) < MIN_STEPS:
        return float("inf")
    # Steps that alternate are not better known than independent ones, so negative correlation counts as none. The cap
    # of 0.9 is there because the widening grows without bound towards 1.
    correlation = min(0.9, max(0.0, neighbour_correlation(values)))
    widened = sqrt((1 + correlation) / (1 - correlation))
    return _HALF_INTERVAL * widened * stdev(values) / sqrt(len(values)) / fmean(values)


def neighbour_correlation(values: Sequence[int]) -> float:
    """Return how much each value resembles the one before it, from -1 to 1; 0 if all values are equal."""
    mean = fmean(values)
    away = [value - mean for value in values]
    total = sum(a * a for a in away)
    return sum(a * b for a, b in pairwise(away)) / total if total else 0.0


def is_known(values: Sequence[int], *, within: float = WANTED_ERROR) -> bool:
    """Return whether the mean of the values is known within this relative error."""
    return relative_error(values) <= within


def pooled_spread(means: Mapping[int, Sequence[float]]) -> float | None:
    """Return the relative standard deviation of processes' means, pooled over mini-batch sizes.

    Each size has its own mean over the processes, which takes one degree of freedom. Return None if no size was
    measured by two processes.
    """
    squares, freedom = 0.0, 0
    for processes in means.values():
        if len(processes) >= 2:
            middle = fmean(processes)
            squares += sum((mean / middle - 1) ** 2 for mean in processes)
            freedom += len(processes) - 1
    return sqrt(squares / freedom) if freedom else None


def spread_error(samples: int) -> float:
    """Return the standard error of this many normal samples' standard deviation (of two at least), relative to it."""
    return 1 / sqrt(2 * (samples - 1))


def slowness(means: Mapping[int, Mapping[int, float]]) -> list[float]:
    """Return for each process how much slower it was than the others, averaged over the sizes it shares with another
    one.

    `means` are by size and by process. A process that shares no size is omitted.
    """
    deviations: defaultdict[int, list[float]] = defaultdict(list)
    for processes in means.values():
        if len(processes) >= 2:
            middle = fmean(processes.values())
            for process, mean in processes.items():
                deviations[process].append(mean / middle - 1)
    return [fmean(of_process) for of_process in deviations.values()]
