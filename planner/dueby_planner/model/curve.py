"""A job's devices and cost over the deadline, or over the number of images: to look at before one asks.

At each point are the fewest devices of the pool, and of each class alone, with what they cost; and with prices also the
cheapest devices. These are searched for a few steps only, so that hundreds of points take a second or two, and the
curve says how far from the least they may be.

The knee is where more time begins to save little: the shortest deadline beside which no later one saves a tenth, of the
cost, or without prices of the time that devices are held.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from dueby_planner.model.cheapest import Search
from dueby_planner.model.cost import micro_units
from dueby_planner.model.offers import Crew, alone, counts_alone, crew_of, first_counts, offers_of
from dueby_planner.model.problem import NEVER_US, Problem, equal_devices, find_least_near

Over = Literal["time", "images"]
POINTS = 200
"""How many points a curve has."""
_FARTHEST = 8
"""The last deadline is at most so many times the job's, and the first possible one."""
_BOXES = 256
"""How long the cheapest devices are searched at each point (cheapest.py)."""
_SMALL = 10
"""What saves less than this part of it is not worth the wait."""


@dataclass(frozen=True, kw_only=True)
class SomeDevices:
    """So many devices, and what they cost."""

    gpus: int
    cost: int | None = None
    """Millionths of the currency's unit; None without prices."""


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """What one deadline and one number of images takes."""

    time_us: int
    images: int
    fewest: SomeDevices | None
    """The fewest devices; None if none are enough."""
    cheapest: SomeDevices | None
    """The cheapest devices that were found; None without prices, and if none are enough."""
    cost_bound: int | None
    """No devices cost less, in millionths; None as `cheapest`."""
    alone: dict[str, SomeDevices]
    """By class, its fewest devices, if it is enough alone."""


@dataclass(frozen=True, kw_only=True)
class JobCurve:
    """What a job takes over its deadline, or over its images."""

    problem: Problem
    over: Over
    points: tuple[CurvePoint, ...]
    """In the order of their deadlines, or of their images; the job's own is one of them if it is possible."""

    @cached_property
    def currency(self) -> str | None:
        """The currency; None without a cost at any point."""
        tariff = self.problem.tariff
        return tariff.currency if tariff and any(point.cheapest for point in self.points) else None

    @cached_property
    def store_bound_us(self) -> int | None:
        """No number of devices is faster, whatever they are: the store gives no more; None if nothing limits it."""
        problem = self.problem
        return problem.feed.least_us(problem.images) if problem.feed and problem.is_bound_by_store else None

    @cached_property
    def knee(self) -> CurvePoint | None:
        """The first point over time beside which no later one saves a tenth; None over images."""
        if self.over == "images":
            return None
        worths = [(point, worth) for point in self.points if (worth := _worth(point)) is not None]
        least = None
        knee = None
        for point, worth in reversed(worths):
            least = worth if least is None else min(least, worth)
            if worth * (_SMALL - 1) <= least * _SMALL:
                knee = point
        return knee


def _worth(point: CurvePoint) -> int | None:
    """Return what is to be saved: cost, or without prices the time that devices are held."""
    if point.cheapest is not None:
        return point.cheapest.cost
    return None if point.fewest is None else point.fewest.gpus * point.time_us


def curve_of(problem: Problem, *, over: Over = "time", points: int = POINTS) -> JobCurve:
    """Return the curve of a job; without a point if no deadline, or no image, is possible."""
    asked = _times(problem, points) if over == "time" else _numbers(problem, points)
    return JobCurve(
        problem=problem,
        over=over,
        points=tuple(_point(problem.about(images=images, time_us=time_us)) for time_us, images in asked),
    )


def _times(problem: Problem, points: int) -> list[tuple[int, int]]:
    """Return deadlines from the earliest on, each by the same ratio later than the one before, and the job's own."""
    earliest_us = problem.earliest_us()
    if earliest_us is None:
        return []
    farthest_us = _FARTHEST * max(earliest_us, problem.time_us)
    one_us = find_least_near(
        lambda time_us: problem.fewest(time_us) == 1, earliest_us, near=max(1, earliest_us), most=farthest_us
    )
    times = _spread(earliest_us, farthest_us if one_us is None else max(one_us, 2 * problem.time_us), points)
    if problem.time_us >= earliest_us:
        times = sorted({*times, problem.time_us})
    return [(time_us, problem.images) for time_us in times if time_us <= NEVER_US]


def _numbers(problem: Problem, points: int) -> list[tuple[int, int]]:
    """Return numbers of images up to the most that can be done by the deadline, and the job's own."""
    most = problem.largest_images()
    if not most:
        return []
    numbers = _spread(max(1, min(most, problem.images) // 100), most, points)
    if problem.images <= most:
        numbers = sorted({*numbers, problem.images})
    return [(problem.time_us, images) for images in numbers]


def _spread(first: int, last: int, points: int) -> list[int]:
    """Return about so many integers from the first to the last, each by the same ratio more than the one before."""
    ratio = last / first
    return sorted({*(round(first * ratio ** (place / (points - 1))) for place in range(points)), first, last})


def _point(problem: Problem) -> CurvePoint:
    fewest: SomeDevices | None = None
    cheapest: Crew | None = None
    bound: int | None = None
    by_class: dict[str, SomeDevices] = {}
    for way in problem.ways:
        capacities = way.capacities()
        gpus = way.rule.fewest(equal_devices(capacities), way.most)
        offers = offers_of(way, capacities)
        priced = {offer.group.device_class for offer in offers}
        if gpus is not None and (fewest is None or gpus < fewest.gpus):
            is_priced = len(offers) == len(capacities)
            counts = first_counts([c.group.count for c in capacities], gpus)
            fewest = SomeDevices(gpus=gpus, cost=_cost(crew_of(way, offers, counts)) if is_priced else None)
        for name, count in alone(way, capacities).items():
            if name not in by_class or count < by_class[name].gpus:
                crew = crew_of(way, offers, counts_alone(offers, name, count)) if name in priced else None
                by_class[name] = SomeDevices(gpus=count, cost=_cost(crew))
        if offers and way.rule.fewest([(o.best.images, o.group.count) for o in offers], way.most) is not None:
            search = Search(way, offers)
            search.run(_BOXES, patience=1)
            if search.crew is not None and (cheapest is None or search.crew.order < cheapest.order):
                cheapest, bound = search.crew, search.bound
    return CurvePoint(
        time_us=problem.time_us,
        images=problem.images,
        fewest=fewest,
        cheapest=None if cheapest is None else SomeDevices(gpus=cheapest.gpus, cost=_cost(cheapest)),
        cost_bound=None if bound is None else micro_units(bound),
        alone=by_class,
    )


def _cost(crew: Crew | None) -> int | None:
    return None if crew is None else micro_units(crew.charge)
