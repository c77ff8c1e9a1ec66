"""What is left of the tables of free devices beside reservations.

A reservation is taken from the tables of all classes. It fits into the one that it was placed on. In the others it may
be where workers run, which give way to it: there nothing is left.
"""

from collections import defaultdict
from collections.abc import Mapping

from dueby_api.inference_job import DeadlineClass
from dueby_planner.calendar.free_devices import Taken
from dueby_planner.calendar.pool import Free, less
from dueby_planner.calendar.quotas import Quotas, charged
from dueby_planner.calendar.reservation import Reservation

Rivals = Mapping[str, Mapping[str, int]]


class Tables:
    """What is left for each deadline class, while reservations are made."""

    def __init__(self, free: Mapping[DeadlineClass, Free], rivals: Rivals) -> None:
        self._free = free
        self._rivals = rivals
        self._taken: defaultdict[str, list[Taken]] = defaultdict(list)
        self._left: dict[DeadlineClass, Free] = {}
        """Only of the classes that were asked for: most jobs fit into the first table that is tried."""

    def left(self, beside: DeadlineClass) -> Free:
        """Return what is left beside the workers of this class and of those above it."""
        if beside not in self._left:
            self._left[beside] = less(self._free[beside], self._taken)
        return self._left[beside]

    def take(self, reservation: Reservation, quotas: Quotas) -> None:
        """Take what is reserved, and what it costs of quotas, from every table."""
        taken = _takings(reservation, self._rivals, quotas)
        for name, of_name in taken.items():
            self._taken[name] += of_name
        for beside, left in self._left.items():
            self._left[beside] = less(left, taken)


def take(free: Free, reservation: Reservation, rivals: Rivals, quotas: Quotas) -> Free:
    """Return what is left beside the reservation and what it costs of quotas."""
    return less(free, _takings(reservation, rivals, quotas))


def _takings(reservation: Reservation, rivals: Rivals, quotas: Quotas) -> dict[str, list[Taken]]:
    """Return what the reservation takes of each name, of its rivals and of quotas."""
    takings: defaultdict[str, list[Taken]] = defaultdict(list)
    for lane in reservation:
        for taken in lane.taken():
            for name, of_name in charged(lane.device_class, taken, quotas):
                takings[name].append(of_name)
            for rival, lost in rivals.get(lane.device_class, {}).items():
                takings[rival].append(taken._replace(devices=lost * taken.devices))
    return takings
