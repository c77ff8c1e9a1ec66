"""The acceptance rule: whether k devices are enough at a confidence, decided exactly, in integers.

With the capacities C_1 >= C_2 >= ..., P(k) images lost in hand-overs, `run` and `node` the relative spreads between
runs and between nodes, `start` the images that one device does more or less because its start differs from the others',
and z the normal quantile of the confidence, k devices are accepted iff

    sum_{i<=k} C_i  -  P(k)  -  Q  -  z * sqrt( (run * N)^2 + node^2 * sum C_i^2 + k * start^2 )  >=  N

Q is what the loss of spot devices costs (losses.py), which depends on N and not on k; 0 where none may be lost.

The margin is on the sum, because a quantile of every step would be wrong both ways: it over-plans many steps and
under-plans many workers. The spreads are spreads of times. A run whose steps all take 1 + e times as long does
sum C / (1 + e) images, so `run` is relative to the N that have to be done. Relative to the sum of what could be done,
a spread of 0.2 would ask for 1.49 N where 1.33 N are enough (z = 1.645). The differences between nodes average out,
and so does what each start has alone. What starts have in common is in the capacities (capacity.py), and so is what a
device's own start may cost it beyond `start`. So `start` may be any number, and the same for all devices: the choice of
the k devices doesn't change that term.

Each device may lose a part in a hand-over, so P(k) is the part size times k. Before the part size is known, P(k) is 64
images a device, but at most 1 % of N in all, and at least one image a device. The plan then finds a part size that
loses no more than that.

The left side grows in every C_i while z node < 1. So for each k the k largest devices are the best choice, and "every
j < k fails" certifies that no k - 1 devices of the pool are enough. `reserve` drops the f largest terms from the sums.
A confidence of 0.5 is the study's own model, with neither margin nor P nor Q.

Squared, the rule has no root: with D = sum C_i - P(k) - Q - N it says D >= 0 and D^2 >= z^2 (...). Along a run of equal
devices, and wherever P is a straight line, that is a quadratic in their number. So the search for k is exact, and its
time does not depend on the number of GPUs.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from math import ceil, isqrt, lcm, sqrt
from statistics import NormalDist

from dueby_api.errors import Invalid
from dueby_api.inference_job import MIN_CONFIDENCE
from dueby_planner.model.losses import Losses

EqualDevices = tuple[int, int]
"""Devices with the same capacity: the images that each can do, and the number of devices."""

# What hand-overs are assumed to lose while the part size is unknown: images a device, and the share of N (1 / 100) that
# all devices together lose at most. Without the share, 12 devices would lose 12 % of a job of 6,000 images.
_ASSUMED_PART, _LOST_SHARE = 64, 100


def quantile(confidence: float) -> float:
    """Return z of the confidence; 0 for the study's exact mode."""
    return 0.0 if confidence <= MIN_CONFIDENCE else NormalDist().inv_cdf(confidence)


@dataclass(frozen=True, kw_only=True)
class Spreads:
    """Relative standard deviations of a pool: the largest among its classes."""

    run: float
    """Between runs, which all devices have in common."""
    node: float
    """Between the nodes of a class."""
    start: float = 0.0
    """Of the images that one device does, because of what its start has alone: in images, not relative."""


ASSUMED_SPREADS = Spreads(run=0.02, node=0.03)
"""What is assumed for a profile that does not say how much its runs or nodes differ. The plan has a warning then."""
WIDE_SPREAD = 0.10
"""From this spread between runs on, a plan has a warning, too: it keeps a sixth or more spare, at confidence 0.95."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """The acceptance rule of one job."""

    images: int
    """N."""
    confidence: float
    spreads: Spreads
    reserve: int = 0
    """f: the number of largest capacities that do not count."""
    part_size: int | None = None
    """Images in a part of a grid that is fixed already; None if it is not known yet."""
    losses: Losses | None = None
    """What losses of spot devices may cost; None if no device is spot."""

    def __post_init__(self) -> None:
        z, node = quantile(self.confidence), self.spreads.node
        # Otherwise a device would add more to the margin than to the sum, and the k largest need not be the best.
        if z * node >= 1:
            raise Invalid(
                "spec.confidence",
                f"{self.confidence} is too high for these profiles: the nodes of a class differ by {node:.0%}, and a "
                f"margin of {z:.2f} times that is more than a device does. Lower the confidence, or measure the nodes "
                "again with `dueby profile`.",
            )

    @property
    def is_exact_study(self) -> bool:
        """Whether this is the study's own model, without any margin."""
        return self.confidence <= MIN_CONFIDENCE

    def loss(self, count: int) -> int:
        """Return P: the images that so many devices may lose in hand-overs. It rises most with the first device."""
        if self.is_exact_study:
            return 0
        if self.part_size is not None:
            return self.part_size * count
        return min(_ASSUMED_PART * count, max(count, self.images // _LOST_SHARE))

    @cached_property
    def taken_away(self) -> int:
        """Q: the images that losses of spot devices cost at the confidence."""
        return 0 if self.is_exact_study else self._taken_away(self.confidence)

    def _taken_away(self, confidence: float) -> int:
        return self.losses.taken_away(self.images, confidence, self.loss(1)) if self.losses else 0

    @cached_property
    def _variance(self) -> tuple[int, int, int, int]:
        """(z run)^2, (z node)^2 and (z start)^2 as integers over a common denominator, and the denominator."""
        z, spreads = Fraction(quantile(self.confidence)), self.spreads
        run, node, start = ((z * Fraction(spread)) ** 2 for spread in (spreads.run, spreads.node, spreads.start))
        scale = lcm(run.denominator, node.denominator, start.denominator)
        return int(run * scale), int(node * scale), int(start * scale), scale

    @cached_property
    def again(self) -> int:
        """What each start of a device after its first takes off: its own lateness, as if all were late together."""
        return ceil(quantile(self.confidence) * self.spreads.start)

    @property
    def of_started(self) -> "Rule":
        """The same rule for workers that have started, of which it is known when."""
        return replace(self, spreads=replace(self.spreads, start=0.0))

    @property
    def of_kept(self) -> "Rule":
        """The same rule for devices that nobody takes away."""
        return replace(self, losses=None) if self.losses else self

    def counted(self, capacity: int) -> int:
        """Return what a device of this capacity adds to the sum: C, or its whole parts in the exact mode with a grid.

        Without a margin nothing else makes up for a part that is only just begun.
        """
        if self.is_exact_study and self.part_size:
            return capacity // self.part_size * self.part_size
        return capacity

    def accepts(self, able: Iterable[EqualDevices], count: int) -> bool:
        """Return whether the first `count` devices are accepted. The largest capacities must come first."""
        images, squares, taken = self._add_up(able, count)
        surplus = images - self.loss(taken) - self.taken_away - self.images
        return taken + self.reserve == count and surplus >= 0 and self._height(surplus, squares, taken) >= 0

    def fewest(self, able: Iterable[EqualDevices], most: int) -> int | None:
        """Return the least k <= most that is accepted; None if no k is.

        The left side of the rule need not grow with k, so every k is examined, a run of equal devices at a time.
        """
        images, squares, taken = 0, 0, 0
        for capacity, devices in self._without_reserve(able):
            left = most - self.reserve - taken
            if left <= 0:
                break
            end = taken + min(devices, left)
            if images + (end - taken) * capacity < self.images:  # not enough without any margin: so are most runs
                images += (end - taken) * self.counted(capacity)
                squares += (end - taken) * capacity * capacity
                taken = end
                continue
            for count, loss, each in self._loss_lines(taken, end):
                surplus = images - loss - self.taken_away - self.images
                more = self._fewest_more((surplus, squares, taken), capacity, count, each)
                if more is not None:
                    return self.reserve + taken + more
                images += count * self.counted(capacity)
                squares += count * capacity * capacity
                taken += count
        return None

    def margin(self, able: Sequence[EqualDevices], count: int) -> int:
        """Return by how many images N must be raised for the plain sum of `count` capacities to decide alike."""
        images, squares, taken = self._add_up(able, count)
        everything = sum(c * n for c, n in first_devices(able, count))
        run, node, start, scale = self._variance
        spread = -(-(run * self.images * self.images + node * squares + start * taken) // scale)
        root = isqrt(spread)
        return everything - images + self.loss(taken) + self.taken_away + root + (root * root < spread)

    def least_margin(self, *, smallest: int, fewest: int, most: int) -> int:
        """Return the least margin of the spreads, for `fewest` to `most` devices that each do `smallest` or more.

        Their images are N or more, so the sum of their squares is at least N smallest, and at least N^2 / most.
        """
        run, node, start, scale = self._variance
        squares = max(self.images * smallest, self.images * self.images // max(1, most))
        return isqrt((run * self.images * self.images + node * squares + start * fewest) // scale)

    def surplus(self, able: Iterable[EqualDevices], z: float) -> float:
        """Return how many images these devices do beyond what the rule asks for at z; negative if it rejects them."""
        images, squares, taken = _sums(self._without_reserve(able))
        common, own = self.spreads.run * self.images, self.spreads.node**2 * squares + self.spreads.start**2 * taken
        wanted = self.images + self.loss(taken) + self._taken_away(NormalDist().cdf(z))
        return images - wanted - z * sqrt(common**2 + own)

    def _add_up(self, able: Iterable[EqualDevices], count: int) -> tuple[int, int, int]:
        """Return the sums over the first `count` devices, less the f largest."""
        found = self._without_reserve(first_devices(able, count))
        if self.is_exact_study:
            # Here, where less than C may count, the squares are multiplied by 0.
            found = [(self.counted(c), n) for c, n in found]
        return _sums(found)

    def _without_reserve(self, able: Iterable[EqualDevices]) -> Iterable[EqualDevices]:
        """Return the devices less the f largest."""
        return _less_first(able, self.reserve) if self.reserve else able

    def _height(self, surplus: int, squares: int, devices: int) -> int:
        """Return D^2 - z^2 (...), times the common denominator."""
        run, node, start, scale = self._variance
        return surplus * surplus * scale - run * self.images * self.images - node * squares - start * devices

    def _loss_lines(self, taken: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Yield P from `taken` to `end` devices as straight lines: (devices, P where the line begins, P per device)."""
        if self.is_exact_study:
            lines = [(end, 0, 0)]
        elif self.part_size is not None:
            lines = [(end, 0, self.part_size)]
        else:
            # The three terms of loss(), in the order in which they hold.
            at_most = self.images // _LOST_SHARE
            lines = [(at_most // _ASSUMED_PART, 0, _ASSUMED_PART), (at_most, at_most, 0), (end, 0, 1)]
        for last, base, each in lines:
            if taken < min(last, end):
                yield min(last, end) - taken, base + each * taken, each
                taken = min(last, end)

    def _fewest_more(self, before: tuple[int, int, int], capacity: int, count: int, each: int) -> int | None:
        """Return the least j in 1..count such that j more devices of this capacity are accepted; None if none is.

        `before` has D, sum C^2 and the number of the devices before them, and each one more loses `each` images.
        """
        surplus, squares, devices = before
        gain = self.counted(capacity) - each
        reach = _nonnegative_range(surplus, gain, count)
        if reach is None:
            return None
        # D less the root is convex in j and negative at first, so it crosses zero at most once.
        return _first_at_least_zero(
            lambda j: self._height(surplus + j * gain, squares + j * capacity * capacity, devices + j), *reach
        )


def first_devices(able: Iterable[EqualDevices], count: int) -> Iterable[EqualDevices]:
    """Yield the first `count` devices."""
    for capacity, devices in able:
        if count <= 0:
            break
        taken = min(devices, count)
        count -= taken
        if taken:
            yield capacity, taken


def _less_first(able: Iterable[EqualDevices], count: int) -> Iterable[EqualDevices]:
    """Yield the devices but the first `count`."""
    for capacity, devices in able:
        dropped = min(count, devices)
        count -= dropped
        if devices > dropped:
            yield capacity, devices - dropped


def _sums(able: Iterable[EqualDevices]) -> tuple[int, int, int]:
    """Return sum C, sum C^2 and the number of devices."""
    images, squares, devices = 0, 0, 0
    for capacity, count in able:
        images += count * capacity
        squares += count * capacity * capacity
        devices += count
    return images, squares, devices


def _nonnegative_range(start: int, gain: int, most: int) -> tuple[int, int] | None:
    """Return the j in 1..most with start + j gain >= 0, as (first, last); None if there is none."""
    if gain > 0:
        first = max(1, -(start // gain))
        return (first, most) if first <= most else None
    if start + gain < 0:
        return None
    return (1, most) if gain == 0 else (1, min(most, start // -gain))


def _first_at_least_zero(height: Callable[[int], int], low: int, high: int) -> int | None:
    """Return the least j in low..high with height(j) >= 0, for a height that crosses zero upwards at most once."""
    if height(low) >= 0:
        return low
    if height(high) < 0:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if height(middle) >= 0 else (middle, high)
    return high
