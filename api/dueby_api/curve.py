"""A job's devices and cost over its deadline or its images: what `dueby plan --curve -o json` prints, `dueby.curve`
returns, and a run's record keeps.
"""

from typing import Annotated, Literal

from dueby_api.schema import LenientSpec, Meta, field

_Seconds = Annotated[float, Meta(gt=0, le=10**15)]
_Cost = Annotated[float, Meta(ge=0, le=10**15)]


class CurveDevices(LenientSpec, frozen=True, kw_only=True):
    """So many devices, and what they are expected to cost."""

    gpus: Annotated[int, Meta(ge=1, le=10**9)]
    """Devices."""
    cost: _Cost | None = None
    """Cost in units of the currency; null without a price."""


class PlannedPoint(LenientSpec, frozen=True, kw_only=True):
    """What one deadline and one number of images takes."""

    deadline_seconds: _Seconds
    """T, from now."""
    images: Annotated[int, Meta(ge=1, le=10**12)]
    """N."""
    fewest: CurveDevices | None = None
    """The fewest devices; null if none are enough."""
    cheapest: CurveDevices | None = None
    """The cheapest devices that were found; null without prices."""
    lower_bound: _Cost | None = None
    """No devices cost less; null without prices."""
    alone: dict[str, CurveDevices] = field(default_factory=dict)
    """Of each class that is enough alone, its fewest devices."""


class CurveAnswer(LenientSpec, frozen=True, kw_only=True):
    """A job's curve, as a document."""

    job: str
    """The job's name."""
    device: str
    """What a device of the pool is called."""
    over: Literal["time", "images"]
    """What differs from point to point."""
    deadline_seconds: _Seconds
    """The job's T, from now."""
    images: Annotated[int, Meta(ge=1, le=10**12)]
    """The job's N."""
    confidence: Annotated[float, Meta(ge=0, le=1)]
    """Probability with which each deadline is to be met."""
    currency: str | None = None
    """The currency; null without prices."""
    knee_seconds: _Seconds | None = None
    """The shortest deadline from which on waiting longer saves less than a tenth; null over images."""
    store_seconds: _Seconds | None = None
    """No number of devices is faster, since the store gives no more; null if nothing limits it."""
    points: Annotated[tuple[PlannedPoint, ...], Meta(max_length=1000)]
    """By T, or by N."""
    warnings: tuple[str, ...] = ()
    """What makes them less sure than they look."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that do the job alone at some point; that which does so at most of them first."""
        names = {name for point in self.points for name in point.alone}
        return tuple(sorted(names, key=lambda name: (-sum(name in point.alone for point in self.points), name)))

    @property
    def knee(self) -> PlannedPoint | None:
        """The point whose deadline is `knee_seconds`."""
        return next((point for point in self.points if point.deadline_seconds == self.knee_seconds), None)

    @property
    def gap(self) -> float:
        """The largest share of the cheapest devices' cost that others might save."""
        costs = [(point.cheapest.cost, point.lower_bound or 0.0) for point in self.points if point.cheapest]
        return max((1 - bound / cost for cost, bound in costs if cost), default=0.0)

    def is_asked(self, point: PlannedPoint) -> bool:
        """Return whether the point is the job's own."""
        return (point.deadline_seconds, point.images) == (self.deadline_seconds, self.images)
