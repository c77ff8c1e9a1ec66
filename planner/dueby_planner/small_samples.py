"""What a spread that is known from few samples is worth: by how much it must be widened to be planned with.

The planner multiplies a relative standard deviation with the normal quantile of a confidence, as if it were known
exactly and as if the mean were. From n samples neither is. What is to come, less the samples' mean and over their
standard deviation, follows Student's t with n - 1 degrees of freedom times sqrt(1 + 1/n).
"""

from math import inf, sqrt

from dueby_planner.model.rule import quantile

Z95 = quantile(0.95)
"""The normal quantile at 0.95, the default confidence."""
_FEW = {1: 6.3138, 2: 2.9200}


def student95(freedom: int) -> float:
    """Student's t at 0.95; infinite without a degree of freedom. (Fisher and Cornish's series, within 0.3 %.)"""
    if freedom < 1:
        return inf
    if freedom in _FEW:
        return _FEW[freedom]
    z, n = Z95, freedom
    first, second = z**3 + z, 5 * z**5 + 16 * z**3 + 3 * z
    third = 3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z
    return z + first / (4 * n) + second / (96 * n**2) + third / (384 * n**3)


def widening(freedom: int) -> float:
    """What a standard deviation with so many degrees of freedom is to be multiplied with, the mean being known."""
    return student95(freedom) / Z95


def foresight(samples: int) -> float:
    """What the standard deviation of so many samples is to be multiplied with to foresee one more from their mean."""
    return widening(samples - 1) * sqrt(1 + 1 / samples) if samples > 1 else inf
