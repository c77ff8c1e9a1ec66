"""What is left of the tables of free devices beside reservations, and within quotas: what some jobs may hold together.

A quota has units of its own. They are in the tables of what is free (free_devices.py) under a name that no devices
have, and each device that a bound job takes costs so many of them. A job is placed on what its quotas leave of each
name, which is worked out for it alone: where one quota covers several names, that which does most for its units has
what it can, and the others have the rest. At each moment all of it together is within the quota.

A reservation is taken from the tables of all classes. It fits into the one that it was placed on. In the others it may
be where workers run, which give way to it: there nothing is left.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import partial

from dueby_api.inference_job import DeadlineClass
from dueby_planner.schedule.calendar_job import CalendarJob
from dueby_planner.schedule.free_devices import Free, FreeDevices, Taken, always_free, combined, least_free, less
from dueby_planner.schedule.reservation import Reservation

Quotas = Mapping[str, Mapping[str, int]]
"""By quota, how many of its units a device of each name costs."""


def within_quotas(job: CalendarJob, free: Free) -> Free:
    """Return what is free for the job: devices that it may use, as many as its quotas have room for."""
    if not job.quotas:
        return free
    found = {group.device_class: free.get(group.device_class, always_free(0)) for group in job.problem.groups}
    able = {capacity.group.device_class: capacity.images for capacity in reversed(job.problem.capacities())}
    for quota, costs in job.quotas.items():
        units = free.get(quota, always_free(0))
        names = [name for name in found if costs.get(name)]
        for name in sorted(names, key=lambda name: (-able.get(name, 0) / costs[name], name)):
            found[name], units = _within(found[name], units, costs[name])
    return found


def _within(devices: FreeDevices, units: FreeDevices, cost: int) -> tuple[FreeDevices, FreeDevices]:
    """Return the devices for which there are units, and the units that are left beside these."""
    there = combined(devices, units, partial(_affordable, cost))
    return there, combined(units, there, partial(_rest, cost))


def _affordable(cost: int, devices: int, units: int) -> int:
    return min(devices, units // cost)


def _rest(cost: int, units: int, devices: int) -> int:
    return units - cost * devices


def least_within(free: Free, name: str, quotas: Quotas, from_us: int, to_us: int) -> int:
    """Return how many devices of the name are free all the time, and within the quotas."""
    rooms = [
        least_free(free.get(quota, ()), from_us, to_us) // costs[name]
        for quota, costs in quotas.items()
        if costs.get(name)
    ]
    return min([least_free(free.get(name, ()), from_us, to_us), *rooms])


def charged(name: str, taken: Taken, quotas: Quotas) -> Iterator[tuple[str, Taken]]:
    """Yield what is taken of the devices, and with it of each quota."""
    yield name, taken
    for quota, costs in quotas.items():
        if cost := costs.get(name):
            yield quota, taken._replace(devices=cost * taken.devices)


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
                there = least_within(free, lane.group, quotas, window.from_us, window.to_us)
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
            for name, of_name in charged(lane.group, taken, quotas):
                claims[name].append(of_name)
    return claims
