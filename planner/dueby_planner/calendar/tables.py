"""What is left of the tables of free devices beside reservations.

A reservation is taken from the tables of all classes. It fits into the one that it was placed on. In the others it may
be where workers run, which give way to it: there nothing is left.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from dueby_api.inference_job import DeadlineClass
from dueby_planner.calendar.free_devices import Taken
from dueby_planner.calendar.pool import Free, less
from dueby_planner.calendar.quotas import Quotas, charged, least_within
from dueby_planner.calendar.reservation import Reservation


class Tables:
    """What is left for each deadline class, while reservations are made."""

    def __init__(self, free: Mapping[DeadlineClass, Free], *, change_us: int = 0) -> None:
        self._free = free
        self._change_us = change_us
        self._claims: defaultdict[str, list[Taken]] = defaultdict(list)
        self._left: dict[DeadlineClass, Free] = {}
        """Only of the classes that were asked for: most jobs fit into the first table that is tried."""

    def left(self, beside: DeadlineClass) -> Free:
        """Return what is left beside the workers of this class and of those above it."""
        if beside not in self._left:
            self._left[beside] = less(self._free[beside], self._claims)
        return self._left[beside]

    def take(self, reservation: Reservation, quotas: Quotas) -> None:
        """Take what is reserved, and what it costs of quotas, from every table."""
        claims = _claims(reservation, quotas, self._change_us)
        for name, of_name in claims.items():
            self._claims[name] += of_name
        for beside, left in self._left.items():
            self._left[beside] = less(left, claims)


def take(free: Free, reservation: Reservation, quotas: Quotas, *, change_us: int = 0) -> Free:
    """Return what is left beside what is reserved, with the time that devices take to change hands, and its quotas."""
    return less(free, _claims(reservation, quotas, change_us))


def are_free(held: Iterable[tuple[Reservation, Quotas]], free: Free) -> bool:
    """Return whether all of these reservations fit on what is free, and within what is free of their quotas."""
    for reservation, quotas in held:
        for lane in reservation:
            for window in lane.taken():
                there = least_within(free, lane.device_class, quotas, window.from_us, window.to_us)
                if there < window.devices:
                    return False
            free = take(free, (lane,), quotas)
    return True


def _claims(reservation: Reservation, quotas: Quotas, change_us: int) -> dict[str, list[Taken]]:
    """Return what the reservation takes of each name and of quotas, with the time that devices take to change hands."""
    claims: defaultdict[str, list[Taken]] = defaultdict(list)
    for lane in reservation:
        for window in lane.taken():
            taken = window._replace(from_us=max(0, window.from_us - change_us), to_us=window.to_us + change_us)
            for name, of_name in charged(lane.device_class, taken, quotas):
                claims[name].append(of_name)
    return claims
