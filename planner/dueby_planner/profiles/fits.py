"""L between the measured mini-batch sizes: three kinds of curve, and how far each of them is off.

    hinge     max(f, s b)     a GPU's launches take f however little there is to do; beyond that, images decide
    affine    a + s b         a fixed cost a step, and one an image
    spline    a monotone cubic through the points in log b and log L (Fritsch and Carlson's slopes)

A device's own measurements say which kind it follows. Each size except the smallest and the largest is left out in
turn, and the kind is chosen whose curve comes nearest to the measured values there, in relative terms. The remaining
error is the fit's error, and becomes part of the margin wherever such a size is planned. It is a cautious estimate:
sizes are measured by doubling, so the gap that leaving a size out makes is twice as wide as those to be filled.

A fitted time is never below that of a smaller measured size, nor above the largest up to the next larger size. The
curves only say where in between it is. Everything is plain Python, because `dueby plan` has no time to load more.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from math import ceil, exp, log, sqrt
from typing import get_args

from dueby_api.gpu_profile import FitKind
from dueby_planner.small_samples import widening

Point = tuple[int, int]
"""A mini-batch size and the microseconds of a step."""
Curve = Callable[[float], float]
MIN_POINTS = 3
"""With two points there is none to leave out, so nothing would say how far the curve is off."""
# No fit is surer than its points, and a mean is measured only until its 95 % interval is within 2 %.
_MIN_ERROR = 0.01
# A profile's `latencyFit.error` must be below 1.
_MAX_ERROR = 0.99


@dataclass(frozen=True, kw_only=True)
class Fit:
    """L as a function of the mini-batch size, from the smallest measured size to the largest."""

    kind: FitKind
    error: float
    """Relative standard error at a size that was not measured."""
    curve: Curve
    """From a size to microseconds. It raises ValueError outside of the measured sizes."""

    def expected_us(self, size: int) -> int:
        """Return L at this size, rounded up."""
        # A measured value stays what it was, although the curve may exceed it by a rounding error.
        return ceil(self.curve(size) - 1e-6)

    def error_us(self, size: int) -> int:
        """Return the standard error at this size."""
        return ceil(self.error * self.expected_us(size))


@lru_cache(256)  # a control loop asks for the same fits in every pass
def fit_latency(measured: tuple[Point, ...], *, kind: FitKind | None = None, error: float | None = None) -> Fit | None:
    """Return the best fit through the ascending points; None if they are fewer than three.

    A kind and an error that are given are used as they are.
    """
    if len(measured) < MIN_POINTS:
        return None
    errors = {name: left_out_error(measured, name) for name in (get_args(FitKind) if kind is None else (kind,))}
    best = min(errors, key=lambda name: errors[name])
    return Fit(
        kind=best,
        error=errors[best] if error is None else error,
        curve=_held(_CURVES[best], measured),
    )


def left_out_error(points: Sequence[Point], kind: FitKind) -> float:
    """Return the root mean square of the relative errors at inner sizes that are left out, widened if these are few."""
    squares = []
    for number in range(1, len(points) - 1):
        rest = (*points[:number], *points[number + 1 :])
        size, measured_us = points[number]
        squares.append((_held(_CURVES[kind], rest)(size) / measured_us - 1) ** 2)
    error = sqrt(sum(squares) / len(squares)) * widening(len(squares))
    return min(_MAX_ERROR, max(_MIN_ERROR, round(error, 4)))


def _rising(points: Sequence[Point]) -> tuple[Point, ...]:
    """Return the points with each time at least that of all smaller sizes: more images take no less time."""
    highest = accumulate((us for _, us in points), max)
    return tuple((size, us) for (size, _), us in zip(points, highest))


def _held(fit: Callable[[Sequence[Point]], Curve], points: Sequence[Point]) -> Curve:
    """Return the curve through the points, kept between the times of the measured sizes around each size."""
    rising = _rising(points)
    sizes, curve = [size for size, _ in rising], fit(rising)

    def held(size: float) -> float:
        if not sizes[0] <= size <= sizes[-1]:
            raise ValueError(f"mini-batch size {size} is outside of the measured sizes {sizes[0]} to {sizes[-1]}")
        after = bisect_left(sizes, size)
        before = after if sizes[after] == size else after - 1
        return min(max(curve(size), rising[before][1]), rising[after][1])

    return held


def _hinge(points: Sequence[Point]) -> Curve:
    """Return the hinge with the least relative squares, over every way to split the points into flat and steep."""
    candidates = []
    for split in range(len(points) + 1):
        flat, steep = points[:split], points[split:]
        f = sum(1 / us for _, us in flat) / sum(1 / us**2 for _, us in flat) if flat else 0.0
        s = sum(b / us for b, us in steep) / sum(b * b / us**2 for b, us in steep) if steep else 0.0
        loss = sum((max(f, s * b) / us - 1) ** 2 for b, us in points)
        candidates.append((loss, f, s))
    _, f, s = min(candidates)
    return lambda size: max(f, s * size)


def _affine(points: Sequence[Point]) -> Curve:
    """Return the a + s b with the least relative squares, and s at least 0."""
    ones = sum(1 / us**2 for _, us in points)
    first, second = sum(b / us**2 for b, us in points), sum(b * b / us**2 for b, us in points)
    rhs_a, rhs_s = sum(1 / us for _, us in points), sum(b / us for b, us in points)
    s = max(0.0, (ones * rhs_s - first * rhs_a) / (ones * second - first * first))
    a = (rhs_a - s * first) / ones
    return lambda size: a + s * size


def _spline(points: Sequence[Point]) -> Curve:
    """Return the monotone cubic in logarithms, in which a power law is a straight line."""
    xs, ys = [log(b) for b, _ in points], [log(us) for _, us in points]
    widths = [after - before for before, after in pairwise(xs)]
    rises = [(after - before) / width for (before, after), width in zip(pairwise(ys), widths)]
    slopes = _slopes(widths, rises)

    def curve(size: float) -> float:
        x = log(size)
        i = min(max(0, bisect_left(xs, x) - 1), len(widths) - 1)
        t, h = (x - xs[i]) / widths[i], widths[i]
        y = (1 + 2 * t) * (1 - t) ** 2 * ys[i] + t * (1 - t) ** 2 * h * slopes[i]
        y += t * t * (3 - 2 * t) * ys[i + 1] + t * t * (t - 1) * h * slopes[i + 1]
        return exp(y)

    return curve


def _slopes(widths: Sequence[float], rises: Sequence[float]) -> list[float]:
    """Return slopes at the points that keep each piece monotone: weighted harmonic means, three-point ends."""
    if len(rises) == 1:
        return [rises[0], rises[0]]
    inner = []
    for (h, k), (before, after) in zip(pairwise(widths), pairwise(rises)):
        weights = (2 * k + h, k + 2 * h)
        level = before <= 0 or after <= 0
        inner.append(0.0 if level else sum(weights) / (weights[0] / before + weights[1] / after))
    return [
        _end_slope(widths[0], widths[1], rises[0], rises[1]),
        *inner,
        _end_slope(widths[-1], widths[-2], rises[-1], rises[-2]),
    ]


def _end_slope(width: float, next_width: float, rise: float, next_rise: float) -> float:
    """Return the slope at an end of the parabola through three points, kept between 0 and three times the rise."""
    slope = ((2 * width + next_width) * rise - width * next_rise) / (width + next_width)
    return min(max(0.0, slope), 3 * rise)


_CURVES: dict[FitKind, Callable[[Sequence[Point]], Curve]] = {"hinge": _hinge, "affine": _affine, "spline": _spline}
