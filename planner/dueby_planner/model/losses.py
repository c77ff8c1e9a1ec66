"""Spot devices that are taken away from a job, and what is planned for that.

Each device is taken away lambda times an hour, at any moment and whatever becomes of the others (a Poisson process).
An image takes a device r = L / b. N images take N r of device time, whether few devices have it for long or many for a
short time, so the number of losses doesn't depend on how many devices share the work: it is Poisson with the mean

    Lambda = lambda N r,     and     q = the least number with P(losses <= q) >= confidence

A loss costs one worker the time until it works again on another device, l = a + S + W (a: until that device is there),
in which it would have done l / r images, and at most the part that it has open. No loss costs more than all that a
device does until the deadline, and all losses together not more than all that the spot devices do. So the acceptance
rule (rule.py) asks for

    Q = min( q ( min(l / r, C) + P(1) ),  sum of C over the spot devices )

images more than N. Where the groups of a pool differ, the largest r lambda and the largest l / r count, as with
spreads. At a confidence of 0.5 nothing is added.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, exp, floor, lgamma, log, sqrt

from dueby_api.capacity import NodePool, SpotNodes
from dueby_api.units import MICROS_PER_SECOND

HOUR_US = 3600 * MICROS_PER_SECOND
# So many standard deviations below the mean, probabilities add up to less than a float notices.
_FAR = 12


@dataclass(frozen=True, kw_only=True)
class LossRate:
    """How often a spot device is taken away, and how long until there is another one."""

    per_hour: float
    """lambda: losses of one device in an hour."""
    replaced_us: int
    """a: how long it takes until another device is in its place."""


def loss_rate(spot: SpotNodes, pool: NodePool | None, provision_us: int | None) -> LossRate:
    """Return how often spot nodes of a pool, or of none, are taken away.

    `provision_us` is how long another node of the pool takes to come, if that is known.
    """
    per_hour = spot.losses_per_hour if pool is None or pool.losses_per_hour is None else pool.losses_per_hour
    return LossRate(per_hour=per_hour, replaced_us=spot.replaced_us if provision_us is None else provision_us)


@dataclass(frozen=True, kw_only=True)
class SpotDevices:
    """Equal devices that may be taken away, for one job."""

    rate: LossRate
    image_us: Fraction
    """r, at the size that does most by the deadline."""
    start_us: int
    """S + W at the confidence."""
    images: int
    """C: what one of them does by the deadline."""
    count: int


@dataclass(frozen=True, kw_only=True)
class Losses:
    """What losses of spot devices may cost a job, whatever its N."""

    per_image: Fraction
    """lambda r: losses that are expected while one image is done."""
    images: int
    """What a loss costs beside the part that is open: images that one worker doesn't do meanwhile."""
    most: int
    """What all losses together cost at most."""

    def taken_away(self, images: int, confidence: float, part: int) -> int:
        """Return Q: the images that are lost at the confidence while so many are done, with parts of that size."""
        return min(self.most, most_losses(float(self.per_image * images), confidence) * (self.images + part))


def most_losses(expected: float, confidence: float) -> int:
    """Return q, the number of losses that is not exceeded at this confidence, if so many are expected."""
    if expected <= 0:
        return 0
    losses = max(0, floor(expected - _FAR * sqrt(expected)))
    probability = exp(losses * log(expected) - expected - lgamma(losses + 1))
    total = probability
    # Floats may add up to a little less than 1: then what is left has no weight.
    while total < confidence and (losses < expected or total + probability > total):
        losses += 1
        probability *= expected / losses
        total += probability
    return losses


def largest_losses(devices: Iterable[SpotDevices]) -> Losses | None:
    """Return what losses cost on these devices; None without any, or if none is ever taken."""
    per_image, images, most = Fraction(0), 0, 0
    for spot in devices:
        per_image = max(per_image, Fraction(spot.rate.per_hour) * spot.image_us / HOUR_US)
        without_us = spot.rate.replaced_us + spot.start_us
        images = max(images, min(ceil(without_us / spot.image_us), spot.images))
        most += spot.images * spot.count
    return Losses(per_image=per_image, images=images, most=most) if per_image else None
