"""What a job holds of the pool: devices, and the windows in which each of them runs a worker.

A device that is taken away between two windows starts again: S + W is lost in each of them. Within a window a worker
runs without interruption, so its capacity is the study's, for the length of the window (model/capacity.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from dueby_planner.model.capacity import DeviceChoice, Margins, capacity
from dueby_planner.model.probability import confidence_of
from dueby_planner.model.problem import Problem, find_least
from dueby_planner.model.rule import EqualDevices, Rule
from dueby_planner.schedule.free_devices import Taken

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

    def taken(self) -> list[Taken]:
        """Return the devices that it takes."""
        return [Taken(window.from_us, window.to_us, self.count) for window in self.windows]


Reservation = tuple[Lane, ...]


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


def done_by(
    reservation: Reservation, problem: Problem, time_us: int, *, margins: Margins | None = None
) -> Sequence[EqualDevices]:
    """Return what the devices have done by a time, the largest first; at the job's confidence without `margins`."""
    return _done_by(reservation, time_us, problem.max_iterations, margins)


def finish_at_confidence_us(reservation: Reservation, problem: Problem) -> int:
    """Return the least time by which the devices are accepted. By the end of the windows they must be."""
    begin_us = begins_us(reservation)
    return begin_us + _accepted_after_us(_from_its_begin(reservation), problem.rule, problem.max_iterations)


def expected_finish_us(reservation: Reservation, problem: Problem) -> int:
    """Return when N images are expected to be done."""
    begin_us = begins_us(reservation)
    return begin_us + _expected_after_us(_from_its_begin(reservation), problem.images, problem.max_iterations)


def probability_by(reservation: Reservation, problem: Problem, time_us: int) -> float:
    """Return the probability that the devices do N images by a time: at least the confidence if they are accepted."""
    length_us = time_us - begins_us(reservation)
    return _probability_after(_from_its_begin(reservation), problem.rule, problem.max_iterations, length_us)


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
    count = sum(lane.count for lane in reservation)
    return find_least(
        lambda time_us: rule.accepts(_done_by(reservation, time_us, max_iterations), count), 0, ends_us(reservation)
    )


@lru_cache(_REMEMBERED)
def _expected_after_us(reservation: Reservation, images: int, max_iterations: int | None) -> int:
    def suffices(time_us: int) -> bool:
        done = _done_by(reservation, time_us, max_iterations, EXPECTED)
        return sum(of_one * count for of_one, count in done) >= images

    return find_least(suffices, 0, ends_us(reservation))


@lru_cache(_REMEMBERED)
def _probability_after(reservation: Reservation, rule: Rule, max_iterations: int | None, length_us: int) -> float:
    def suffice(z: float) -> bool:
        margins = Margins(z, run=rule.spreads.run)
        return rule.surplus(_done_by(reservation, length_us, max_iterations, margins), z) >= 0

    probability = confidence_of(suffice)
    count = sum(lane.count for lane in reservation)
    # The rule decides in integers and this search in floats, which may differ by a hair.
    if rule.accepts(_done_by(reservation, length_us, max_iterations), count):
        return max(probability, rule.confidence)
    return probability


def _done_by(
    reservation: Reservation, time_us: int, max_iterations: int | None, margins: Margins | None = None
) -> Sequence[EqualDevices]:
    def images(window: Window) -> int:
        length_us = min(window.to_us, time_us) - window.from_us
        if length_us <= 0:
            return 0
        return capacity(window.choice, time_us=length_us, max_iterations=max_iterations, margins=margins)

    return sorted(((sum(map(images, lane.windows)), lane.count) for lane in reservation), reverse=True)
