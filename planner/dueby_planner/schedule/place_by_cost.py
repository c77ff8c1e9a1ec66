"""Place one job of the calendar on the devices that cost least, of those that are free and in time.

The places that are compared, by what they are expected to cost:

    the fewest devices       as for every other job (place.py)
    the cheapest together    each device is held for one window, from when it is free, and all end together: branch and
                             bound, as for a plan (model/cheapest.py), over the devices that are free until the deadline
                             or until others take some of them
    the cheapest classes     alone, then with as few and as late devices as it takes of the next one, and so on

Of equal cost the fewest devices are taken, and then the earliest end. Where all devices are idle, the second kind is
the plan's own, with its cost. Beside other jobs nothing is proved of places of other kinds, such as two windows on each
device: what is proved then is `least_charge`, which no windows are below, whoever has the devices.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from dueby_planner.model.capacity import PoolGroup, capacity
from dueby_planner.model.cheapest import Search
from dueby_planner.model.offers import Crew, offers_of
from dueby_planner.model.problem import Problem
from dueby_planner.schedule.calendar_job import CalendarJob
from dueby_planner.schedule.free_devices import Free, always_free, lasting
from dueby_planner.schedule.place import place, until_finish
from dueby_planner.schedule.reservation import (
    Lane,
    Reservation,
    Window,
    cost_of_windows,
    devices_in,
    expected_finish_us,
)

# So many times at which others take devices are tried as the end, the latest first.
_MAX_ENDS = 4
_BOXES = 64
"""How long the cheapest devices are sought where some come free later: a calendar may have hundreds of such jobs."""


def place_by_cost(job: CalendarJob, free: Free, fewest: Reservation, *, until_us: int) -> Reservation:
    """Return the cheapest place of those that are compared, by `until_us`; `fewest` is that of the fewest devices."""
    others = () if job.fallback_names else _with_cheap_classes(job, free, until_us)
    return min((fewest, *_together(job, free, until_us), *others), key=lambda place: _order(job, place))


def _order(job: CalendarJob, reservation: Reservation) -> tuple[bool, int, int, int]:
    """Return what makes one place better than another. One whose cost isn't known is the worst."""
    cost = cost_of_windows(reservation, job.problem, job.class_of)
    charge = 0 if cost is None else cost.charge
    return cost is None, charge, devices_in(reservation), expected_finish_us(reservation, job.problem)


def _together(job: CalendarJob, free: Free, until_us: int) -> Iterator[Reservation]:
    """Yield the cheapest devices that all end together, for each end that is tried."""
    names = [name for name in free if name in job.device_names - job.fallback_names]
    taken = {
        step.from_us
        for name in names
        for before, step in zip(free[name], free[name][1:], strict=False)
        if step.free < before.free and step.from_us < until_us
    }
    for end_us in [until_us, *sorted(taken, reverse=True)][:_MAX_ENDS]:
        if reservation := _ending_at(job, {name: free[name] for name in names}, end_us):
            yield reservation


def _ending_at(job: CalendarJob, free: Free, end_us: int) -> Reservation | None:
    """Return the cheapest devices of which each is free from some time on until then; None if none are enough."""
    levels = [
        replace(group, count=count, available_us=from_us)
        for group in job.problem.unfed.pool.groups
        for from_us, count in _lasting_from(free, group, end_us)
    ]
    problem = _priced(job, levels, end_us)
    if problem.fewest() is None:
        return None
    search = Search(problem)
    if any(level.available_us for level in levels):
        search.run(_BOXES, patience=1)
    else:  # as for a plan alone
        search.run()
    if search.crew is None:
        return None
    # The groups of the problem are in the order of the levels, and its crew has these very objects.
    names = {id(group): level.device_class for group, level in zip(problem.groups, levels, strict=True)}
    return until_finish(tuple(_lanes(search.crew, names, problem)), job.problem)


def _lasting_from(free: Free, group: PoolGroup, end_us: int) -> Iterator[tuple[int, int]]:
    """Yield from when on how many more devices of the group are free until the end."""
    before = 0
    for step in lasting(free.get(group.device_class, always_free(0)), end_us):
        count = min(step.free, group.count)
        if step.from_us < end_us and count > before:
            yield step.from_us, count - before
            before = count


def _priced(job: CalendarJob, groups: Sequence[PoolGroup], end_us: int) -> Problem:
    """Return the problem on these groups by that end, with the classes that prices are of; no store divides them."""
    plain = job.problem.unfed
    of_class = tuple(replace(group, device_class=job.class_of(group.device_class)) for group in groups)
    return replace(plain, pool=replace(plain.pool, groups=of_class), time_us=end_us)


def _lanes(crew: Crew, names: dict[int, str], problem: Problem) -> Iterator[Lane]:
    for best, count in crew.chosen:
        from_us, most = best.group.available_us, problem.max_iterations
        images = capacity(best.choice, time_us=problem.time_us - from_us, max_iterations=most)
        window = Window(from_us, problem.time_us, best.choice, images)
        yield Lane(group=names[id(best.group)], count=count, windows=(window,))


def _with_cheap_classes(job: CalendarJob, free: Free, until_us: int) -> Iterator[Reservation]:
    """Yield the place on the cheapest class alone, that with as few of the next one as it takes, and so on."""
    pool = job.problem.pool
    rates: dict[str, int] = {}
    for offer in offers_of(_priced(job, pool.groups, until_us)):
        if (rate := offer.rate_by(until_us)) is not None:
            name = offer.group.device_class
            rates[name] = min(rate, rates.get(name, rate))
    cheaper: set[str] = set()
    for name in sorted(rates, key=lambda name: (rates[name], name)):
        groups = tuple(
            replace(group, is_fallback=bool(cheaper) and of_class == name)
            for group in pool.groups
            if (of_class := job.class_of(group.device_class)) in {*cheaper, name}
        )
        problem = replace(job.problem, pool=replace(pool, groups=groups))
        if reservation := place(problem, free, until_us=until_us):
            yield reservation
        cheaper.add(name)


def least_charge(job: CalendarJob) -> int:
    """Return a charge below which no windows do the job's images in time, whoever has the devices that it may use."""
    return Search(_priced(job, job.problem.pool.groups, job.problem.time_us)).least_charge
