"""When do k devices suffice? The acceptance rule at a confidence, exactly, in integers.

With the capacities C_1 >= C_2 >= ..., P(k) images lost in hand-overs, `run` and `node` the relative spreads between
runs and between nodes, and z the normal quantile of the confidence, k devices are accepted iff

    sum_{i<=k} C_i  -  P(k)  -  z * sqrt( (run * N)^2 + node^2 * sum C_i^2 )  >=  N

A quantile of every step would be wrong both ways: over many steps it over-plans, over many workers it under-plans; so
the margin is on the sum. The spreads are those of times: a run whose steps all take 1 + e times as long does
sum C / (1 + e) images, so `run` is relative to the N that are to be done and not to the sum of what could be, which at
a spread of 0.2 would plan for 1.49 times as many where 1.33 are enough (z = 1.645). What nodes do averages out.

Each device may lose a part in a hand-over, so P(k) is the part size times k. While there is none it is 64 images a
device, but in all no more than 1 % of N, and no less than an image a device: the plan finds a part size for which that
is true.

The left side grows in every C_i while z node < 1: for each k the k largest are the best choice, and "every j < k
fails" certifies that no k - 1 devices of the pool can do it. `reserve` drops the f largest terms from the sums. A
confidence of 0.5 is the study's own model: no margin and no P.

Squared, the rule has no root: with D = sum C_i - P(k) - N it says D >= 0 and D^2 >= z^2 (...), which along a run of
equal devices is a quadratic in their number, wherever P is a line. That makes the search for k exact and independent of
the number of GPUs.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import gcd, isqrt, sqrt
from statistics import NormalDist

from dueby_api.errors import Invalid
from dueby_api.inference_job import MIN_CONFIDENCE

Run = tuple[int, int]
"""Images per device, number of devices."""

# What a hand-over is taken to lose while the part size isn't known: images a device, and the share of N for all.
_ASSUMED_PART, _LOST_SHARE = 64, 100


def quantile(confidence: float) -> float:
    """z of the confidence; 0 for the study's exact mode."""
    return 0.0 if confidence <= MIN_CONFIDENCE else NormalDist().inv_cdf(confidence)


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
    """Of a grid that is fixed; None: not known yet."""

    def __post_init__(self) -> None:
        z, node = quantile(self.confidence), self.spreads.node
        if z * node >= 1:
            raise Invalid(
                "spec.confidence",
                f"{self.confidence} can't be planned with these profiles: their nodes differ by {node}, and a margin "
                f"of {z:.2f} times that is more than a device does. Ask for less, or profile again",
            )

    @property
    def is_exact_study(self) -> bool:
        """Whether there is no margin at all."""
        return self.confidence <= MIN_CONFIDENCE

    def loss(self, devices: int) -> int:
        """P: images that so many devices may lose in hand-overs. It rises most with the first one."""
        if self.is_exact_study:
            return 0
        if self.part_size is not None:
            return self.part_size * devices
        return min(_ASSUMED_PART * devices, max(devices, self.images // _LOST_SHARE))

    @cached_property
    def _variance(self) -> tuple[int, int, int]:
        """(z run)^2 and (z node)^2 as integers over a common denominator."""
        z = Fraction(quantile(self.confidence))
        run, node = (z * Fraction(self.spreads.run)) ** 2, (z * Fraction(self.spreads.node)) ** 2
        scale = run.denominator * node.denominator // gcd(run.denominator, node.denominator)
        return int(run * scale), int(node * scale), scale

    def counted(self, capacity: int) -> int:
        """What a device of this capacity adds: C; in the exact mode with a part size, its whole parts."""
        if self.is_exact_study and self.part_size:
            return capacity // self.part_size * self.part_size
        return capacity

    def accepts(self, runs: Iterable[Run], count: int) -> bool:
        """Whether the first `count` devices of the runs, largest capacities first, are accepted."""
        able, squares, taken = self._sums(runs, count)
        surplus = able - self.loss(taken) - self.images
        return taken + self.reserve == count and surplus >= 0 and self._height(surplus, squares) >= 0

    def fewest(self, runs: Iterable[Run], most: int) -> int | None:
        """The least k <= most that is accepted; None where no k is (the sum need not grow with k, so all are tried)."""
        able, squares, taken = 0, 0, 0
        for capacity, run in self._without_reserve(runs, most):
            for devices, loss, each in self._loss_lines(taken, taken + run):
                more = self._fewest_more(able - loss - self.images, squares, capacity, devices, each)
                if more is not None:
                    return self.reserve + taken + more
                able += devices * self.counted(capacity)
                squares += devices * capacity * capacity
                taken += devices
        return None

    def margin(self, runs: Sequence[Run], count: int) -> int:
        """Images by which N must be raised so that the plain sum of the first `count` capacities decides alike."""
        able, squares, taken = self._sums(runs, count)
        everything = sum(c * n for c, n in first_devices(runs, count))
        run, node, scale = self._variance
        spread = -(-(run * self.images * self.images + node * squares) // scale)
        root = isqrt(spread)
        return everything - able + self.loss(taken) + root + (root * root < spread)

    def surplus(self, runs: Iterable[Run], z: float) -> float:
        """Images by which these devices do more than the rule asks for at z; below 0 it does not accept them."""
        able, squares, taken = 0, 0, 0
        for capacity, devices in self._without_reserve(runs, None):
            able += devices * capacity
            squares += devices * capacity * capacity
            taken += devices
        return (
            able
            - self.loss(taken)
            - self.images
            - z * sqrt((self.spreads.run * self.images) ** 2 + self.spreads.node**2 * squares)
        )

    def _sums(self, runs: Iterable[Run], count: int) -> tuple[int, int, int]:
        """What the first `count` devices, less the f largest, can do; the squares of their C; how many they are."""
        able, squares, taken = 0, 0, 0
        for capacity, devices in self._without_reserve(runs, count):
            able += devices * self.counted(capacity)
            squares += devices * capacity * capacity
            taken += devices
        return able, squares, taken

    def _without_reserve(self, runs: Iterable[Run], count: int | None) -> Iterable[Run]:
        """The first `count` devices, less the f largest."""
        spare = self.reserve
        for capacity, devices in runs if count is None else first_devices(runs, count):
            dropped = min(spare, devices)
            spare -= dropped
            if devices > dropped:
                yield capacity, devices - dropped

    def _height(self, surplus: int, squares: int) -> int:
        """D^2 - z^2 (...), times the common denominator."""
        run, node, scale = self._variance
        return surplus * surplus * scale - run * self.images * self.images - node * squares

    def _loss_lines(self, taken: int, end: int) -> Iterator[tuple[int, int, int]]:
        """P from `taken` to `end` devices as lines: (devices, P at their beginning by the line, what each adds)."""
        if self.is_exact_study:
            lines = [(end, 0, 0)]
        elif self.part_size is not None:
            lines = [(end, 0, self.part_size)]
        else:
            all_of_them = self.images // _LOST_SHARE
            lines = [(all_of_them // _ASSUMED_PART, 0, _ASSUMED_PART), (all_of_them, all_of_them, 0), (end, 0, 1)]
        for last, base, each in lines:
            if taken < min(last, end):
                yield min(last, end) - taken, base + each * taken, each
                taken = min(last, end)

    def _fewest_more(self, surplus: int, squares: int, capacity: int, devices: int, each: int) -> int | None:
        """The least j in 1..devices such that j devices of this capacity, added to what is there, are accepted."""
        gain = self.counted(capacity) - each
        reach = _nonnegative_range(surplus, gain, devices)
        if reach is None:
            return None
        # D less the root is convex in j: below zero at first, it crosses once at the most.
        return _first_at_least_zero(
            lambda j: self._height(surplus + j * gain, squares + j * capacity * capacity), *reach
        )


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
