"""What a job holds of the pool: devices, and the windows in which each of them runs a worker.

A device that is taken away between two windows starts anew: S + W is lost in each of them. Within a window a worker
runs without interruption, so its capacity is the study's, for the length of the window (model/capacity.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dueby_planner.calendar.free_devices import Taken
from dueby_planner.model.capacity import DeviceChoice, Margins, capacity
from dueby_planner.model.probability import confidence_of
from dueby_planner.model.problem import Problem, find_least
from dueby_planner.model.rule import EqualDevices

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
    """Devices of a class that have the same windows."""

    device_class: str
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

    def images(window: Window) -> int:
        length_us = min(window.to_us, time_us) - window.from_us
        if length_us <= 0:
            return 0
        return capacity(window.choice, time_us=length_us, max_iterations=problem.max_iterations, margins=margins)

    return sorted(((sum(map(images, lane.windows)), lane.count) for lane in reservation), reverse=True)


def finish_at_confidence_us(reservation: Reservation, problem: Problem) -> int:
    """Return the least time by which the devices are accepted. By the end of the windows they must be."""
    count = sum(lane.count for lane in reservation)
    return find_least(
        lambda time_us: problem.rule.accepts(done_by(reservation, problem, time_us), count), 0, ends_us(reservation)
    )


def expected_finish_us(reservation: Reservation, problem: Problem) -> int:
    """Return when N images are expected to be done."""

    def suffices(time_us: int) -> bool:
        done = done_by(reservation, problem, time_us, margins=EXPECTED)
        return sum(images * count for images, count in done) >= problem.images

    return find_least(suffices, 0, ends_us(reservation))


def probability_by(reservation: Reservation, problem: Problem, time_us: int) -> float:
    """Return the probability that the devices do N images by a time."""

    def suffice(z: float) -> bool:
        margins = Margins(z, run=problem.pool.spreads.run)
        return problem.rule.surplus(done_by(reservation, problem, time_us, margins=margins), z) >= 0

    return confidence_of(suffice)
