"""What feeds the devices: how many images a second the store gives all of them together, and how that is shared.

A store serves R images a second, however many devices there are (dueby_api/store_limits.py). Each device takes its
steady rate, rate(b) = b / L(b). So that nothing waits, and the margins of a plan hold as they are,

    sum of the rates of the plan's devices  <=  R

With r_1 >= r_2 >= ... the largest rates of the pool's devices, let m be the first number with r_1 + ... + r_m >= R: the
store feeds m devices, and more are of no use. Any m - 1 devices keep to R, so fewer than m are planned as if there was
no limit, and what is proved of them holds. If m devices would take more than R, each of them takes at most one pace p,
the largest with sum min(r_i, p) <= R:

    L_p(b) = max(L(b), b / p),   and W(b) grows by the same, to at least b / p

Then any m devices of the pool keep to R, and the m largest capacities decide as ever.

In a pool of several classes, a few fast devices that come free late must not bar many slow ones. So the same is asked
of the pool without its fastest class, without its two fastest, and so on: each gives one or two plain problems, and the
answer is the best of theirs (`ways_within`). Which these are doesn't depend on time or N. So a later deadline or fewer
images never make a job harder.

Rates are integers, in millionths of an image a second: rounded up for devices, down for the store.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from math import ceil, floor
from typing import NamedTuple

from dueby_api.inference_job import JobSpec
from dueby_api.input_cost import FREE, InputCost
from dueby_api.store_limits import (
    SourceLimit,
    StoreLimits,
    is_of_single_objects,
    limits_of,
    requests_in_runs,
    requests_per_image,
)
from dueby_planner.model.capacity import DeviceChoice, PoolGroup

MICRO = 10**6
_MICRO_RATE = MICRO * MICRO
"""A rate of one image in a microsecond."""
_LEAST_RATE = 1000
"""An image in a thousand seconds, so that steps of the largest mini-batches still have a bounded length."""
_ENOUGH = Fraction(999, 1000)
"""Devices that take this share of R take all of it: nobody adds one for the rest."""


@dataclass(frozen=True, kw_only=True)
class StoreFeed:
    """What binds a job's workers together, and what an image asks of it. At least one limit binds."""

    limits: tuple[SourceLimit, ...]
    requests_per_image: Fraction
    bytes_per_image: Fraction
    """0: unknown, and no limit on bytes binds."""
    is_of_single_objects: bool = True
    """Whether tars would need far fewer requests."""

    @cached_property
    def rate(self) -> int:
        """R: what the store gives all devices together, in millionths of an image a second, rounded down."""
        return max(_LEAST_RATE, floor(self._rate_of(self.narrowest) * MICRO))

    def at(self, rate: int) -> "StoreFeed":
        """Return the same as if the narrowest limit was such that the store gives this rate, and no other bound."""
        requests = ceil(Fraction(rate, MICRO) * self.requests_per_image)
        size = ceil(Fraction(rate, MICRO) * self.bytes_per_image)
        by_bytes = self.is_bound_by_bytes
        limit = replace(
            self.narrowest,
            requests_per_s=None if by_bytes else max(1, requests),
            bytes_per_s=max(1, size) if by_bytes else None,
        )
        return replace(self, limits=(limit,))

    def in_tars(self) -> "StoreFeed":
        """Return the same for the same images in tars, of which a worker reads many with one request."""
        requests = requests_in_runs(float(self.bytes_per_image))
        return replace(self, requests_per_image=requests, is_of_single_objects=False)

    @property
    def images_per_s(self) -> float:
        """R in images a second."""
        return self.rate / MICRO

    @cached_property
    def narrowest(self) -> SourceLimit:
        """The limit that gives R."""
        return min(self.limits, key=self._rate_of)

    @property
    def is_bound_by_bytes(self) -> bool:
        """Whether R comes from a limit on bytes."""
        return self._by_bytes(self.narrowest) < self._by_requests(self.narrowest)

    def least_us(self, images: int) -> int:
        """Return N / R in microseconds: in less time the store doesn't give so many images, to any devices."""
        return -(-images * _MICRO_RATE // self.rate)

    def _rate_of(self, limit: SourceLimit) -> Fraction:
        return min(self._by_requests(limit), self._by_bytes(limit))

    def _by_requests(self, limit: SourceLimit) -> Fraction:
        if limit.requests_per_s is None or not self.requests_per_image:
            return _UNLIMITED
        return limit.requests_per_s / self.requests_per_image

    def _by_bytes(self, limit: SourceLimit) -> Fraction:
        if limit.bytes_per_s is None or not self.bytes_per_image:
            return _UNLIMITED
        return limit.bytes_per_s / self.bytes_per_image


_UNLIMITED = Fraction(10**30)
"""Images a second that are no limit."""


class Within(NamedTuple):
    """A bound on the rates of some devices together, for the solver and the exact checks."""

    rates: tuple[int, ...]
    """Of a device of each class, in the order of the classes."""
    most: int


def feed_of(
    spec: JobSpec,
    cost: InputCost | None = None,
    *,
    stores: Sequence[StoreLimits] = (),
    observed: float | None = None,
) -> StoreFeed | None:
    """Return what feeds the job's devices; None if nothing that is known limits it.

    `observed` are the requests a second that its workers got together when the store refused more.
    """
    size = (cost or FREE).bytes_per_image
    feed = StoreFeed(
        limits=limits_of(spec, stores, observed=observed),
        requests_per_image=requests_per_image(spec.source, size),
        bytes_per_image=Fraction(size),
        is_of_single_objects=is_of_single_objects(spec.source),
    )
    binding = tuple(limit for limit in feed.limits if feed._rate_of(limit) < _UNLIMITED)
    return replace(feed, limits=binding) if binding else None


def rate_of(choice: DeviceChoice) -> int:
    """Return b / L in millionths of an image a second, rounded up."""
    return rate_of_step(choice.mini_batch_size, choice.latency_us)


def rate_of_step(images: int, step_us: int) -> int:
    """Return the rate of steps of so many images, in millionths of an image a second, rounded up."""
    return -(-images * _MICRO_RATE // step_us)


def rate_of_group(group: PoolGroup) -> int:
    """Return the largest steady rate of a device of the group, whichever of its choices is planned."""
    return max(map(rate_of, group.choices), default=0)


def paced(choice: DeviceChoice, pace: int) -> DeviceChoice:
    """Return the choice with a rate of at most `pace`: itself, or with longer steps, the first one among them.

    What its workers show is still compared with the measured L: `step_ratio` has what was added.
    """
    latency_us = -(-choice.mini_batch_size * _MICRO_RATE // pace)
    if latency_us <= choice.latency_us:
        return choice
    # The first mini-batch is read from the store like any other, however short a W was measured.
    grown_us = latency_us - min(choice.latency_us, choice.expected_warmup_us)
    return replace(
        choice,
        latency_us=latency_us,
        start_us=choice.start_us + grown_us,
        expected_start_us=choice.expected_start_us + grown_us,
        expected_warmup_us=choice.expected_warmup_us + grown_us,
        step_ratio=choice.step_ratio * latency_us / choice.latency_us,
        unpaced=choice.unpaced or choice,
    )


def read_rates(feed: StoreFeed, choices: Sequence[DeviceChoice], *, taken: int = 0) -> tuple[int, ...]:
    """Return how fast each of these devices may read the store beside others that take so much of it.

    All are rates in millionths of an image a second. Devices that take a part of what the store gives read at the rates
    that are planned, and others faster by a common factor, so that all together read as fast as the store gives.
    """
    rates = [rate_of(choice) for choice in choices]
    spare = max(Fraction(1), Fraction(feed.rate, max(1, taken + sum(rates))))
    return tuple(rate if choice.unpaced else floor(rate * spare) for rate, choice in zip(rates, choices, strict=True))


def paced_groups(groups: Sequence[PoolGroup], pace: int) -> tuple[PoolGroup, ...]:
    """Return the groups with rates of at most `pace` a device; those that keep to it as they are."""
    return tuple(
        replace(group, choices=tuple(paced(each, pace) for each in group.choices))
        if rate_of_group(group) > pace
        else group
        for group in groups
    )


def more_fed(feed: StoreFeed, groups: Sequence[PoolGroup], taken: Iterable[int]) -> int:
    """Return how many devices more the store feeds beside those that take these rates.

    A device of which the store could give less than a half of what it can take is not one more: workers that share the
    store never take all of it to the last image.
    """
    left = feed.rate - sum(taken)
    each = min(feed.rate, max((rate_of_group(group) for group in groups if group.count), default=0))
    return max(0, (2 * left + each) // (2 * each)) if each else 0


class Way(NamedTuple):
    """A plain problem: at most so many devices of these groups, which keep to R whichever they are."""

    groups: tuple[PoolGroup, ...]
    most: int | None
    """None: all that there are."""
    is_paced: bool = False
    """Whether they share what the store gives; otherwise each takes what it can, at most all of that."""


def ways_within(rate: int, groups: Sequence[PoolGroup], *, reserve: int = 0) -> tuple[Way, ...]:
    """Return the plain problems that a pool is within R; their best answer is the pool's.

    Devices of a reserve come on top of those that the store feeds: while they are there, all together do what the
    store gives, and without them the others do.
    """
    alone = paced_groups(groups, rate)
    rates = {group.device_class: 0 for group in groups}
    for group in groups:
        rates[group.device_class] = max(rates[group.device_class], min(rate, rate_of_group(group)))
    ways: list[Way] = []
    for fastest in sorted(set(rates.values()), reverse=True):
        names = {name for name, each in rates.items() if each <= fastest}
        there = [(rates[group.device_class], group.count) for group in groups if group.device_class in names]
        fed = _fed(rate, sorted(there, reverse=True))
        within = tuple(group for group in alone if group.device_class in names)
        if fed.has_all:
            ways.append(Way(within, None))
        elif fed.pace is None:
            ways.append(Way(within, fed.devices + reserve))
        else:
            if fed.devices > 1:
                ways.append(Way(within, fed.devices - 1 + reserve))
            ways.append(Way(paced_groups(within, fed.pace), fed.devices + reserve, is_paced=True))
        if fed.has_all:
            break
    return tuple(ways)


class _Fed(NamedTuple):
    """How many devices the store feeds."""

    devices: int
    """m."""
    pace: int | None
    """What each of m devices may take; None: all that it can."""
    has_all: bool
    """Whether it feeds all that there are."""


def _fed(rate: int, there: Sequence[tuple[int, int]]) -> _Fed:
    """Return m and the pace for devices as (rate each, count), the fastest first."""
    enough = ceil(rate * _ENOUGH)
    taken = devices = 0
    runs: list[tuple[int, int]] = []
    for each, count in there:
        more = min(count, -(-(enough - taken) // each)) if each else count
        runs.append((each, more))
        taken, devices = taken + each * more, devices + more
        if taken >= enough:
            pace = None if taken <= rate else _pace(rate, runs)
            return _Fed(devices, pace, has_all=False)
    return _Fed(devices, None, has_all=True)


def _pace(rate: int, runs: Sequence[tuple[int, int]]) -> int:
    """Return the largest p with sum min(r_i, p) <= R, for devices as (rate each, count), the fastest first."""
    slower = sum(each * count for each, count in runs)
    at_pace = 0
    for place, (each, count) in enumerate(runs):
        at_pace, slower = at_pace + count, slower - each * count
        pace = (rate - slower) // at_pace
        if pace >= (runs[place + 1][0] if place + 1 < len(runs) else 0):
            return max(1, pace)
    raise ValueError("the store feeds none of the devices")
