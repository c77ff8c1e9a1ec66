"""How many times as many images c cores decode as one core does: c where nobody has measured it.

Between measured numbers of cores the speed-up is taken to be linear. Beyond the largest, each core is taken to do as
much as it does there on average. It never falls, even if some measurement says so, and is never more than c.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from math import ceil

from dueby_api.gpu_profile import DecodingRate
from dueby_api.units import MICROS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Speedup:
    """The speed-up by cores."""

    rows: tuple[tuple[int, Fraction], ...] = ((1, Fraction(1)),)
    """(cores, speed-up), ascending in both; the first row is (1, 1)."""

    def at(self, cores: int) -> Fraction:
        """Return s(c)."""
        for (fewer, low), (more, high) in pairwise(self.rows):
            if cores <= more:
                return low + (high - low) * (cores - fewer) / (more - fewer)
        most, highest = self.rows[-1]
        return highest * cores / most

    def fewest_cores(self, speedup: Fraction) -> int:
        """Return the least c with s(c) >= `speedup`; at least 1."""
        for (fewer, low), (more, high) in pairwise(self.rows):
            if speedup <= high:
                return fewer if speedup <= low else fewer + ceil((speedup - low) * (more - fewer) / (high - low))
        most, highest = self.rows[-1]
        return max(1, ceil(speedup * most / highest))

    def step_us(self, core_us: int, cores: int) -> int:
        """Return how long so many cores take for what takes one core `core_us`, rounded up."""
        return ceil(core_us / self.at(cores))


LINEAR = Speedup()
"""That of cores that don't get in each other's way."""


def one_core_us(rates: Sequence[DecodingRate]) -> Fraction:
    """Return how long one core takes for an image, in microseconds, by the fewest cores that were measured."""
    return MICROS_PER_SECOND * rates[0].cores / Fraction(rates[0].images_per_second)


# A profile is planned with in each pass, at each of its sizes.
@lru_cache(maxsize=2**10)
def speedup_of(rates: Sequence[DecodingRate]) -> Speedup:
    """Return the speed-up that was measured; linear if there are no rates."""
    if not rates:
        return LINEAR
    one = MICROS_PER_SECOND / one_core_us(rates)
    rows = list(LINEAR.rows)
    for rate in rates:
        if rate.cores > 1:
            speedup = min(Fraction(rate.cores), Fraction(rate.images_per_second) / one)
            rows.append((rate.cores, max(rows[-1][1], speedup)))
    return Speedup(tuple(rows))
