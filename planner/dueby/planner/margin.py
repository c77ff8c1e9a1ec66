"""When do k devices suffice? The acceptance rule at a confidence, exactly, in integers.

With the capacities C_1 >= C_2 >= ..., P images lost per hand-over, `run` and `node` the relative spreads between runs
and between nodes, and z the normal quantile of the confidence, k devices are accepted iff

    sum_{i<=k} (C_i - P)  -  z * sqrt( (run * sum C_i)^2 + node^2 * sum C_i^2 )  >=  N

A quantile of every step would be wrong both ways: over many steps it over-plans, over many workers it under-plans; so
the margin is on the sum. The left side grows in every C_i while z (run + node) < 1: for each k the k largest are the
best choice, and "every j < k fails" certifies that no k - 1 devices of the pool can do it. `reserve` drops the f
largest terms from the sums. A confidence of 0.5 is the study's own model: no margin and no P.

Squared, the rule has no root: with D = sum (C_i - P) - N it says D >= 0 and D^2 >= z^2 (...), which along a run of
equal devices is a quadratic in their number. That makes the search for k exact and independent of the number of GPUs.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import gcd, isqrt, sqrt
from statistics import NormalDist

from dueby.planner.errors import Invalid
from dueby.planner.job import LEAST_CONFIDENCE

Run = tuple[int, int]
"""Images per device, number of devices."""


def quantile(confidence: float) -> float:
    """z of the confidence; 0 for the study's exact mode."""
    return 0.0 if confidence <= LEAST_CONFIDENCE else NormalDist().inv_cdf(confidence)


def first_loss(images: int) -> int:
    """P0: images assumed lost per hand-over while the part size isn't known."""
    return min(64, max(1, images // 100))


@dataclass(frozen=True, kw_only=True)
class Spreads:
    """Relative standard deviations of the pool: the largest among its classes."""

    run: float
    node: float


@dataclass(frozen=True, kw_only=True)
class Rule:
    """The acceptance rule of one job."""

    images: int
    """N."""
    confidence: float
    spreads: Spreads
    reserve: int = 0
    """f: this many of the largest capacities don't count."""
    part_size: int | None = None
    """P where the grid is fixed; None: P0."""

    def __post_init__(self) -> None:
        z, total = quantile(self.confidence), self.spreads.run + self.spreads.node
        if z * total >= 1:
            raise Invalid(
                "spec.confidence",
                f"{self.confidence} can't be planned with these profiles: their spreads (run {self.spreads.run}, "
                f"node {self.spreads.node}) add up to {total:.2f}, and a margin of {z:.2f} of them would outgrow any "
                "number of GPUs. Ask for less, or profile again",
            )

    @property
    def is_exact_study(self) -> bool:
        """Whether there is no margin at all."""
        return self.confidence <= LEAST_CONFIDENCE

    @property
    def loss(self) -> int:
        """P of the rule."""
        if self.is_exact_study:
            return 0
        return first_loss(self.images) if self.part_size is None else self.part_size

    @cached_property
    def _variance(self) -> tuple[int, int, int]:
        """(z run)^2 and (z node)^2 as integers over a common denominator."""
        z = Fraction(quantile(self.confidence))
        run, node = (z * Fraction(self.spreads.run)) ** 2, (z * Fraction(self.spreads.node)) ** 2
        scale = run.denominator * node.denominator // gcd(run.denominator, node.denominator)
        return int(run * scale), int(node * scale), scale

    def counted(self, capacity: int) -> int:
        """What a device of this capacity adds: C - P; in the exact mode with a part size, its whole parts."""
        if self.is_exact_study and self.part_size:
            return capacity // self.part_size * self.part_size
        return capacity - self.loss

    def accepts(self, runs: Iterable[Run], count: int) -> bool:
        """Whether the first `count` devices of the runs, largest capacities first, are accepted."""
        surplus, total, squares, taken = -self.images, 0, 0, 0
        for capacity, devices in self._without_reserve(runs, count):
            surplus += devices * self.counted(capacity)
            total += devices * capacity
            squares += devices * capacity * capacity
            taken += devices
        return taken + self.reserve == count and self._holds(surplus, total, squares)

    def fewest(self, runs: Iterable[Run], most: int) -> int | None:
        """The least k <= most that is accepted; None where no k is (the sum need not grow with k, so all are tried)."""
        surplus, total, squares, taken = -self.images, 0, 0, self.reserve
        for capacity, devices in self._without_reserve(runs, most):
            more = self._fewest_more(surplus, total, squares, capacity, devices)
            if more is not None:
                return taken + more
            surplus += devices * self.counted(capacity)
            total += devices * capacity
            squares += devices * capacity * capacity
            taken += devices
        return None

    def margin(self, runs: Sequence[Run], count: int) -> int:
        """Images by which N must be raised so that the plain sum of the first `count` capacities decides alike."""
        kept, total, squares = 0, 0, 0
        for capacity, devices in self._without_reserve(runs, count):
            kept += devices * self.counted(capacity)
            total += devices * capacity
            squares += devices * capacity * capacity
        everything = sum(c * n for c, n in first_devices(runs, count))
        run, node, scale = self._variance
        spread = -(-(run * total * total + node * squares) // scale)
        root = isqrt(spread)
        return everything - kept + root + (root * root < spread)

    def probability(self, runs: Iterable[Run]) -> float:
        """Probability that these devices do N images in time: the rule, solved for the confidence."""
        surplus, total, squares = -self.images, 0, 0
        for capacity, devices in self._without_reserve(runs, None):
            surplus += devices * (capacity - self.loss)
            total += devices * capacity
            squares += devices * capacity * capacity
        sigma = sqrt((self.spreads.run * total) ** 2 + self.spreads.node**2 * squares)
        if sigma == 0:
            return 1.0 if surplus >= 0 else 0.0
        return NormalDist().cdf(surplus / sigma)

    def _without_reserve(self, runs: Iterable[Run], count: int | None) -> Iterable[Run]:
        """The first `count` devices, less the f largest."""
        spare = self.reserve
        for capacity, devices in runs if count is None else first_devices(runs, count):
            dropped = min(spare, devices)
            spare -= dropped
            if devices > dropped:
                yield capacity, devices - dropped

    def _holds(self, surplus: int, total: int, squares: int) -> bool:
        run, node, scale = self._variance
        return surplus >= 0 and surplus * surplus * scale >= run * total * total + node * squares

    def _fewest_more(self, surplus: int, total: int, squares: int, capacity: int, devices: int) -> int | None:
        """The least j in 1..devices such that j devices of this capacity, added to what is there, are accepted."""
        gain = self.counted(capacity)
        reach = _nonnegative_range(surplus, gain, devices)
        if reach is None:
            return None
        low, high = reach
        run, node, scale = self._variance

        def height(j: int) -> int:
            """D^2 - z^2 (...) for j more devices, times the common denominator."""
            there = total + j * capacity
            return (surplus + j * gain) ** 2 * scale - run * there * there - node * (squares + j * capacity * capacity)

        bend = gain * gain * scale - run * capacity * capacity
        if bend < 0:  # a parabola with a summit: beyond it more devices only add variance
            slope = 2 * (surplus * gain * scale - run * total * capacity) - node * capacity * capacity
            summit = slope // (-2 * bend)
            high = max((min(max(j, low), high) for j in (summit, summit + 1)), key=height)
        return _first_at_least_zero(height, low, high)


def first_devices(runs: Iterable[Run], count: int) -> Iterable[Run]:
    """The first `count` devices of the runs."""
    for capacity, devices in runs:
        taken = min(devices, count)
        count -= taken
        if taken:
            yield capacity, taken


def _nonnegative_range(start: int, gain: int, most: int) -> tuple[int, int] | None:
    """The j in 1..most with start + j gain >= 0, as (first, last)."""
    if gain > 0:
        first = max(1, -(start // gain))
        return (first, most) if first <= most else None
    if start + gain < 0:
        return None
    return (1, most) if gain == 0 else (1, min(most, start // -gain))


def _first_at_least_zero(height: Callable[[int], int], low: int, high: int) -> int | None:
    """The least j in low..high with height(j) >= 0, for a height that crosses zero upwards at most once."""
    if height(low) >= 0:
        return low
    if height(high) < 0:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if height(middle) >= 0 else (middle, high)
    return high
