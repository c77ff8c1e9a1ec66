"""What a handful of measurements says about a time: its mean, how well that is known, its quantiles and its spread.

Planning on a quantile of each step errs by up to +57 % over a run, so the mean is what is measured well: a point is
done when the mean's 95 % interval inside the process is within 2 %. Neighbouring steps are alike (caches, clocks,
other tenants), so the plain standard error would be too small: it is widened by the correlation of neighbours.

Fresh processes differ by more than steps do (sd 2.6-6.4 % on a small virtual machine), so a profile pools several.
Quantiles are nearest rank, never interpolated: with few values the p95 is the largest one seen, not something below.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, sqrt
from statistics import fmean, stdev

WANTED_ERROR = 0.02
MIN_STEPS = 5
# Half of a normal distribution's 95 % interval, in standard errors.
_HALF_INTERVAL = 1.96


def quantile(values: Iterable[int], share: float) -> int:
    """The least value with at least this share of all values at or below it; share in (0, 1]."""
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered) - 1e-9) - 1)]


def relative_error(values: Sequence[int]) -> float:
    """Half of the mean's 95 % interval, relative to the mean; infinite while there are too few values to tell."""
    if len(values) < MIN_STEPS:
        return float("inf")
    correlation = min(0.9, max(0.0, neighbour_correlation(values)))
    widened = sqrt((1 + correlation) / (1 - correlation))
    return _HALF_INTERVAL * widened * stdev(values) / sqrt(len(values)) / fmean(values)


def neighbour_correlation(values: Sequence[int]) -> float:
    """How much each value is like the one before it: -1 to 1, and 0 where nothing varies."""
    mean = fmean(values)
    away = [value - mean for value in values]
    total = sum(a * a for a in away)
    return sum(a * b for a, b in pairwise(away)) / total if total else 0.0


def is_known(values: Sequence[int], *, within: float = WANTED_ERROR) -> bool:
    """Whether the mean of the values is known within this relative error."""
    return relative_error(values) <= within


def pooled_spread(means: Mapping[int, Sequence[float]]) -> float | None:
    """The relative standard deviation of processes' means, pooled over mini-batch sizes; None where none has two.

    Each size has its own mean over the processes, so each gives away one degree of freedom.
    """
    squares, freedom = 0.0, 0
    for processes in means.values():
        if len(processes) >= 2:
            middle = fmean(processes)
            squares += sum((mean / middle - 1) ** 2 for mean in processes)
            freedom += len(processes) - 1
    return sqrt(squares / freedom) if freedom else None


def slowness(means: Mapping[int, Mapping[int, float]]) -> list[float]:
    """How much slower than the others each process was, over all mini-batch sizes that it shares with another.

    `means` are by size and by process; a process that shares no size is left out.
    """
    deviations: defaultdict[int, list[float]] = defaultdict(list)
    for processes in means.values():
        if len(processes) >= 2:
            middle = fmean(processes.values())
            for process, mean in processes.items():
                deviations[process].append(mean / middle - 1)
    return [fmean(own) for own in deviations.values()]


@dataclass(frozen=True, kw_only=True)
class Line:
    """y = base + slope x."""

    base: float
    slope: float

    def at(self, x: float) -> float:
        """y at x."""
        return self.base + self.slope * x


def fit_line(points: Sequence[tuple[float, float]]) -> Line:
    """The least-squares line through (x, y) points of at least two different x; ValueError with fewer."""
    if len({x for x, _ in points}) < 2:
        raise ValueError("a line needs points at two different x")
    mean_x, mean_y = fmean(x for x, _ in points), fmean(y for _, y in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)
    return Line(base=mean_y - slope * mean_x, slope=slope)
