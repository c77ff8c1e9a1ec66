"""Factors that widen a spread which is known from only a few samples.

The planner multiplies a relative standard deviation by the normal quantile of a confidence, as if the mean and the
deviation were known exactly. Estimates from n samples are uncertain: (next value - sample mean) / sample deviation
follows Student's t distribution with n - 1 degrees of freedom, times sqrt(1 + 1/n). The factors below turn a sample
deviation into one that may be multiplied by a normal quantile. They are exact at the confidence 0.95, the default.
"""

from collections.abc import Sequence
from math import inf, sqrt
from statistics import fmean, variance

from dueby_planner.model.rule import quantile

Z95 = quantile(0.95)
"""The normal quantile at 0.95, the default confidence."""
# Student's t at 0.95. The series below is too coarse for so few degrees of freedom.
_EXACT = {1: 6.3138, 2: 2.9200}
_FEWEST_GROUPS = 2


def student95(freedom: int) -> float:
    """Return Student's t at 0.95 for this many degrees of freedom; infinity for none.

    From three degrees of freedom on this is Fisher and Cornish's series, which is within 0.3 %.
    """
    if freedom < 1:
        return inf
    if freedom in _EXACT:
        return _EXACT[freedom]
    z, n = Z95, freedom
    first, second = z**3 + z, 5 * z**5 + 16 * z**3 + 3 * z
    third = 3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z
    return z + first / (4 * n) + second / (96 * n**2) + third / (384 * n**3)


def widening(freedom: int) -> float:
    """Return the factor for a standard deviation with this many degrees of freedom around a mean that is known."""
    return student95(freedom) / Z95


def foresight(samples: int) -> float:
    """Return the factor for the standard deviation of this many samples that predicts one more sample from their mean.

    It is infinite for fewer than two samples.
    """
    return widening(samples - 1) * sqrt(1 + 1 / samples) if samples > 1 else inf


def own_share(groups: Sequence[tuple[Sequence[float], int]]) -> float | None:
    """Return which share of the variance each value has alone, beside what those of its group have in common.

    A group is some values of it and how many there were. This is the analysis of variance with one random factor: the
    groups' means differ by what is common and by the own part, of which a mean of n values keeps 1/n. What they have
    shown is widened to what foresees the next group's mean, so that few groups show less that is own. None if fewer
    than two groups have several values.
    """
    several = [(values, size) for values, size in groups if len(values) > 1]
    if len(several) < _FEWEST_GROUPS:
        return None
    freedom = sum(len(values) - 1 for values, _ in several)
    own = sum((len(values) - 1) * variance(values) for values, _ in several) / freedom
    between = variance([fmean(values) for values, _ in several]) * foresight(len(several)) ** 2
    common = max(0.0, between - own * fmean(1 / size for _, size in several))
    return own / (own + common) if own else 0.0
