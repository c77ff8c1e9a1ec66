"""A job's devices and cost over its deadline or its images, as `dueby plan --curve -o json` prints them."""

from typing import Literal

from dueby_api.schema import LenientSpec, field


class CurveDevices(LenientSpec, frozen=True, kw_only=True):
    """So many devices, and what they are expected to cost."""

    gpus: int
    """Devices."""
    cost: float | None = None
    """Cost in units of the currency; null without a price."""


class PlannedPoint(LenientSpec, frozen=True, kw_only=True):
    """What one deadline and one number of images takes."""

    deadline_seconds: float
    """T, from now."""
    images: int
    """N."""
    fewest: CurveDevices | None
    """The fewest devices; null if none are enough."""
    cheapest: CurveDevices | None
    """The cheapest devices that were found; null without prices."""
    lower_bound: float | None
    """No devices cost less; null without prices."""
    alone: dict[str, CurveDevices]
    """Of each class that is enough alone, its fewest devices."""


class CurveAnswer(LenientSpec, frozen=True, kw_only=True):
    """What `dueby plan --curve -o json` prints."""

    over: Literal["time", "images"]
    """What differs from point to point."""
    deadline_seconds: float
    """The job's T, from now."""
    images: int
    """The job's N."""
    confidence: float
    """Probability with which each deadline is to be met."""
    currency: str | None
    """The currency; null without prices."""
    knee_seconds: float | None
    """The shortest deadline from which on waiting longer saves less than a tenth; null over images."""
    store_seconds: float | None = field(default=None)
    """No number of devices is faster, since the store gives no more; null if nothing limits it."""
    points: tuple[PlannedPoint, ...]
    """By T, or by N."""
    warnings: tuple[str, ...] = ()
    """What makes them less sure than they look."""
