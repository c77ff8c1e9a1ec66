"""What stores serve, as limits of the schedule: jobs that read below one prefix share its requests and bytes a second.

What one job's own workers take together is bounded by its problem (model/feed.py), which also says at which pace each
of them works. A device costs that pace, and never more than the whole limit: a fast one still starts on a slow store.
What running workers take is used. A store that one job reads alone needs no limit beside its problem.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from math import floor
from typing import NamedTuple

from dueby_api.units import parse_time_us
from dueby_api.words import counted
from dueby_planner.model.feed import MICRO, StoreFeed, rate_of_group, rate_of_step
from dueby_planner.model.problem import Problem
from dueby_planner.schedule.devices import DeviceGroups, Limit
from dueby_planner.schedule.job import JobKey, PromisedJob

_MARK = "/s of "
"""No name of another limit has it: those are of Kubernetes' resources."""


class StoreUse(NamedTuple):
    """What a job takes of one thing that a store serves."""

    limit: str
    """As people are told: `5,500 requests/s of s3://photos`."""
    units: int
    """Millionths of a request or of a byte a second, in all."""
    costs: Mapping[str, int]
    """What a device takes of them, by its name in the job's problem."""


def is_store(limit: str) -> bool:
    """Return whether the name of a limit is that of a store."""
    return _MARK in limit


def shares_store(feed: StoreFeed | None) -> bool:
    """Return whether a limit of the job's store binds other jobs, too."""
    return feed is not None and bool(_shared(feed))


def store_uses(problem: Problem) -> tuple[StoreUse, ...]:
    """Return what a device takes of each store limit that binds other jobs, too.

    It is the pace at which the problem's devices work if the store feeds as many of them as it can. With a reserve
    there are more devices, and together they take no more.
    """
    feed = problem.feed
    if feed is None:
        return ()
    within = problem.within_feed()
    rates = {group.device_class: min(feed.rate, rate_of_group(group)) for group in problem.pool.groups}
    rates |= {group.device_class: rate_of_group(group) for group in within.pool.groups}
    return _uses(feed, rates, among=within.fed if problem.reserve else None)


def window_uses(job: PromisedJob) -> tuple[StoreUse, ...]:
    """Return what a device takes in the windows of a job that is left alone, at the pace that these were planned at."""
    if job.feed is None:
        return ()
    rates: dict[str, int] = {}
    for window in job.windows:
        length_us = parse_time_us(window.to_time) - parse_time_us(window.from_time)
        rate = rate_of_step(-(-window.images // window.count), max(1, length_us))
        rates[window.device_class] = min(job.feed.rate, max(rate, rates.get(window.device_class, 0)))
    return _uses(job.feed, rates)


def shared_units(uses: Collection[Sequence[StoreUse]]) -> dict[str, int]:
    """Return the units of each store limit that several jobs take of, by name."""
    readers = Counter(use.limit for of_job in uses for use in of_job)
    return {use.limit: use.units for of_job in uses for use in of_job if readers[use.limit] > 1}


def with_stores(
    groups: DeviceGroups, uses: Mapping[JobKey, Sequence[StoreUse]], working: Mapping[JobKey, Iterable[str]]
) -> DeviceGroups:
    """Return the groups with a limit for each store that several of these jobs read.

    `uses` are by device class, and `working` has the class of each worker that a job has now.
    """
    sharing: dict[str, dict[JobKey, StoreUse]] = defaultdict(dict)
    for key, of_job in uses.items():
        for use in of_job:
            sharing[use.limit][key] = use
    limits = [
        Limit(
            name=name,
            units=min(use.units for use in by_job.values()),
            used=sum(use.costs.get(worker, 0) for key, use in by_job.items() for worker in working.get(key, ())),
            others=0,
            costs={key: use.costs for key, use in by_job.items()},
        )
        for name, by_job in sorted(sharing.items())
        if len(by_job) > 1
    ]
    return replace(groups, limits=(*groups.limits, *limits)) if limits else groups


def _uses(feed: StoreFeed, rates: Mapping[str, int], *, among: int | None = None) -> tuple[StoreUse, ...]:
    """Return what devices of these rates take; `among`: so many of them take all that there is, and no more."""
    return tuple(
        StoreUse(
            limit=name,
            units=units,
            # Rounded down, as paces are: as many devices as the store feeds are within it.
            costs={
                device: max(1, min(units // max(1, among or 1), floor(rate * each))) for device, rate in rates.items()
            },
        )
        for name, units, each in _shared(feed)
    )


def _shared(feed: StoreFeed) -> list[tuple[str, int, Fraction]]:
    """Return the name, the units and what an image costs of each limit that other jobs share."""
    asked = [
        (limit.name, count, noun, per_image)
        for limit in feed.limits
        if not limit.is_own
        for count, noun, per_image in (
            (limit.requests_per_s, "request", feed.requests_per_image),
            (limit.bytes_per_s, "byte", feed.bytes_per_image),
        )
    ]
    return [
        (f"{counted(count, noun)}{_MARK}{store}", count * MICRO, per_image)
        for store, count, noun, per_image in asked
        if count is not None and per_image
    ]
