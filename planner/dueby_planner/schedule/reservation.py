"""What a job holds of the pool: devices, the windows in which each of them runs a worker, and what is left beside them.

A device that is taken away between two windows starts again: S + W is lost in each of them. Within a window a worker
runs without interruption, so its capacity is the study's, for the length of the window (model/capacity.py).

A limit has units of its own. They are in the tables of what is free (free_devices.py) under a name that no devices
have, and each device that a bound job takes costs so many of them.

A reservation is taken from the tables of all classes. It fits into the one that it was placed on. In the others it may
be where workers run, which give way to it: there nothing is left.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from dueby_api.inference_job import DeadlineClass
from dueby_planner.model.capacity import DeviceChoice, Margins, capacity
from dueby_planner.model.cost import PlanCost, cost_of_held
from dueby_planner.model.plan import PlanGroup
from dueby_planner.model.probability import confidence_of
from dueby_planner.model.problem import Problem, find_least
from dueby_planner.model.rule import EqualDevices, Rule
from dueby_planner.schedule.free_devices import Free, Taken, least_free, less

EXPECTED = Margins(0.0, run=0.0)
"""S, W and L as they are expected."""


class Window(NamedTuple):
    """A worker's time on one device."""

    from_us: int
    to_us: int
    choice: DeviceChoice
    images: int
    """What it does at the job's confidence."""


@dataclass(frozen=True, kw_only=True)
class Lane:
    """Devices of a group that have the same windows."""

    group: str
    """The name of the device group; in `dueby plan` that is the class."""
    count: int
    windows: tuple[Window, ...]
    """One after the other."""


Reservation = tuple[Lane, ...]


def devices_in(reservation: Reservation) -> int:
    """Return how many devices are held, at whatever time."""
    return sum(lane.count for lane in reservation)


def devices_at_most(reservation: Reservation) -> int:
    """Return the most devices that are held at once."""
    changes = [
        change
        for lane in reservation
        for window in lane.windows
        for change in ((window.from_us, lane.count), (window.to_us, -lane.count))
    ]
    most = held = 0
    for _, change in sorted(changes):  # what ends goes before what begins at the same time
        held += change
        most = max(most, held)
    return most


def device_us(reservation: Reservation) -> int:
    """Return for how long devices are held, added up over all of them."""
    return sum(lane.count * (window.to_us - window.from_us) for lane in reservation for window in lane.windows)


def starts(reservation: Reservation) -> int:
    """Return how many workers are started."""
    return sum(lane.count * len(lane.windows) for lane in reservation)


def windows_stored(reservation: Reservation) -> int:
    """Return how many windows a status would have of it: those that are the same are one there."""
    return len({(lane.group, window) for lane in reservation for window in lane.windows})


def begins_us(reservation: Reservation) -> int:
    """Return when the first window begins."""
    return min(window.from_us for lane in reservation for window in lane.windows)


def ends_us(reservation: Reservation) -> int:
    """Return when the last window ends."""
    return max(window.to_us for lane in reservation for window in lane.windows)


def together(windows: Iterable[int], again: int) -> int:
    """Return what a device does in its windows, of which each one alone does so many images.

    The rule knows of one start of each device. What another one has alone takes `again` images (Rule.again); windows
    that do no more than that don't count.
    """
    images = list(windows)
    return sum(max(0, each - again) for each in images) + min(again, max(images, default=0)) if again else sum(images)


def done_by(
    reservation: Reservation,
    time_us: int,
    max_iterations: int | None,
    margins: Margins | None = None,
    *,
    again: int,
) -> Sequence[EqualDevices]:
    """Return what the devices have done by a time, the largest first; at the job's confidence without `margins`.

    `again` is what the rule takes off for each start of a device after its first.
    """

    def images(window: Window) -> int:
        length_us = min(window.to_us, time_us) - window.from_us
        if length_us <= 0:
            return 0
        return capacity(window.choice, time_us=length_us, max_iterations=max_iterations, margins=margins)

    return sorted(((together(map(images, lane.windows), again), lane.count) for lane in reservation), reverse=True)


def rule_of(reservation: Reservation, problem: Problem) -> Rule:
    """Return the problem's acceptance rule for these devices."""
    return problem.rule_on(lane.group for lane in reservation)


def finish_at_confidence_us(reservation: Reservation, problem: Problem) -> int:
    """Return the least time by which the devices are accepted. By the end of the windows they must be."""
    begin_us, rule = begins_us(reservation), rule_of(reservation, problem)
    return begin_us + _accepted_after_us(_from_its_begin(reservation), rule, problem.max_iterations)


def expected_finish_us(reservation: Reservation, problem: Problem) -> int:
    """Return when N images are expected to be done."""
    begin_us = begins_us(reservation)
    return begin_us + _expected_after_us(_from_its_begin(reservation), problem.images, problem.max_iterations)


def cost_of_windows(reservation: Reservation, problem: Problem, class_of: Callable[[str], str]) -> PlanCost | None:
    """Return what the devices are expected to cost until N images are done; None if the price of one isn't known.

    `class_of` is how devices of the pool are called.
    """
    if problem.tariff is None:
        return None
    end_us, held = expected_finish_us(reservation, problem), []
    windows = [(lane, window) for lane in reservation for window in lane.windows]
    for lane, window in windows:
        if window.from_us >= end_us:
            continue
        # One that has begun shortly before the end is held until it is warm.
        held_us = max(min(window.to_us, end_us) - window.from_us, window.choice.expected_start_us)
        devices = PlanGroup(
            device_class=class_of(lane.group),
            available_us=window.from_us,
            count=lane.count,
            choice=window.choice,
            iterations=(held_us - window.choice.expected_start_us) // window.choice.latency_us,
        )
        held.append((devices, held_us))
    return cost_of_held(held, problem.tariff)


def probability_by(reservation: Reservation, problem: Problem, time_us: int) -> float:
    """Return the probability that the devices do N images by a time: at least the confidence if they are accepted."""
    length_us, rule = time_us - begins_us(reservation), rule_of(reservation, problem)
    return _probability_after(_from_its_begin(reservation), rule, problem.max_iterations, length_us)


# ---- A reservation is looked at in every pass, each time from a later moment. Counted from its own begin, the answers
# are the same each time, and are not worked out again. So many of each kind are remembered.
_REMEMBERED = 1024


def _from_its_begin(reservation: Reservation) -> Reservation:
    """Return the reservation with times that count from its begin."""
    begin_us = begins_us(reservation)

    def moved(window: Window) -> Window:
        return window._replace(from_us=window.from_us - begin_us, to_us=window.to_us - begin_us)

    return tuple(replace(lane, windows=tuple(map(moved, lane.windows))) for lane in reservation)


@lru_cache(_REMEMBERED)
def _accepted_after_us(reservation: Reservation, rule: Rule, max_iterations: int | None) -> int:
    count = devices_in(reservation)

    def suffices(time_us: int) -> bool:
        return rule.accepts(done_by(reservation, time_us, max_iterations, again=rule.again), count)

    return find_least(suffices, 0, ends_us(reservation))


@lru_cache(_REMEMBERED)
def _expected_after_us(reservation: Reservation, images: int, max_iterations: int | None) -> int:
    def suffices(time_us: int) -> bool:
        done = done_by(reservation, time_us, max_iterations, EXPECTED, again=EXPECTED.again)
        return sum(of_one * count for of_one, count in done) >= images

    return find_least(suffices, 0, ends_us(reservation))


@lru_cache(_REMEMBERED)
def _probability_after(reservation: Reservation, rule: Rule, max_iterations: int | None, length_us: int) -> float:
    def suffice(z: float) -> bool:
        margins = Margins(z, run=rule.spreads.run, start=rule.spreads.start)
        return rule.surplus(done_by(reservation, length_us, max_iterations, margins, again=margins.again), z) >= 0

    probability = confidence_of(suffice)
    # The rule decides in integers and this search in floats, which may differ by a hair.
    if rule.accepts(done_by(reservation, length_us, max_iterations, again=rule.again), devices_in(reservation)):
        return max(probability, rule.confidence)
    return probability


Costs = Mapping[str, Mapping[str, int]]
"""By limit, how many of its units a device of each name costs."""


def least_within(free: Free, name: str, limits: Costs, from_us: int, to_us: int) -> int:
    """Return how many devices of the name are free all the time, and within the limits."""
    rooms = [
        least_free(free.get(limit, ()), from_us, to_us) // costs[name]
        for limit, costs in limits.items()
        if costs.get(name)
    ]
    return min([least_free(free.get(name, ()), from_us, to_us), *rooms])


def charged(name: str, taken: Taken, limits: Costs) -> Iterator[tuple[str, Taken]]:
    """Yield what is taken of the devices, and with it of each limit."""
    yield name, taken
    for limit, costs in limits.items():
        if cost := costs.get(name):
            yield limit, taken._replace(devices=cost * taken.devices)


def claims_of(reservation: Reservation, limits: Costs, *, change_us: int = 0) -> list[tuple[str, Taken]]:
    """Return what the reservation takes, with the time that devices take to change hands."""
    return [
        claim
        for lane in reservation
        for from_us, to_us, *_ in lane.windows
        for claim in charged(lane.group, Taken(max(0, from_us - change_us), to_us + change_us, lane.count), limits)
    ]


class Tables:
    """What is left for each deadline class, while reservations are made."""

    def __init__(self, free: Mapping[DeadlineClass, Free]) -> None:
        self._free = free
        self._claims: list[tuple[str, Taken]] = []
        self._left: dict[DeadlineClass, Free] = {}
        """Only of the classes that were asked for: most jobs fit into the first table that is tried."""

    def left(self, beside: DeadlineClass) -> Free:
        """Return what is left beside the workers of this class and of those above it."""
        if beside not in self._left:
            self._left[beside] = less(self._free[beside], self._claims)
        return self._left[beside]

    def take(self, claims: Sequence[tuple[str, Taken]]) -> None:
        """Take what is reserved from every table."""
        self._claims += claims
        for beside, left in self._left.items():
            self._left[beside] = less(left, claims)


def are_free(held: Iterable[tuple[Reservation, Costs]], free: Free) -> bool:
    """Return whether all of these reservations fit on what is free, and within what is free of their limits."""
    for reservation, limits in held:
        for lane in reservation:
            if any(least_within(free, lane.group, limits, *window[:2]) < lane.count for window in lane.windows):
                return False
            free = less(free, claims_of((lane,), limits))
    return True
