"""Quotas: what some jobs may hold together, of devices of several names.

A quota has units of its own. They are in the tables of what is free (pool.py) under a name that no devices have, and
each device that a bound job takes costs so many of them. A job is placed on what its quotas leave of each name, which
is worked out for it alone: where one quota covers several names, that which does most for its units has what it can,
and the others have the rest. At each moment all of it together is within the quota.
"""

from collections.abc import Iterator, Mapping
from functools import partial

from dueby_planner.calendar.free_devices import FreeDevices, Taken, always_free, combined, least_free
from dueby_planner.calendar.jobs import CalendarJob
from dueby_planner.calendar.pool import Free

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
