"""One job on one pool, and the closed form's answers to questions about it.

The k largest capacities decide whether k devices are enough. So every question here is a search for one number on which
the answer depends monotonically: the least k, the largest N, the earliest time. The searches are over integers, and
therefore exact.

What the store gives all devices together makes of a problem a few plain ones, without a store, whose best answer is the
problem's (feed.py). Every question is put to each of them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

from dueby_api.inference_job import MAX_N
from dueby_api.objectives import OBJECTIVES, ObjectiveName
from dueby_api.output import MAX_PART
from dueby_planner.model.capacity import Capacity, DeviceChoice, PoolGroup, at_confidence, best_capacities, capacity
from dueby_planner.model.cores import enough_cores, in_squares, with_cores
from dueby_planner.model.cost import CostLimit, Tariff
from dueby_planner.model.feed import StoreFeed, Way, paced_groups, ways_within
from dueby_planner.model.losses import Losses, SpotDevices, largest_losses
from dueby_planner.model.rule import EqualDevices, Rule, first_devices
from dueby_planner.profiles.pool import Pool

NEVER_US = 10**18
"""30,000 years: what is not done by then is taken never to be done."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """N images in the time left, on a pool, at a confidence."""

    pool: Pool
    images: int
    """N."""
    time_us: int
    """R: the time left until the deadline."""
    confidence: float
    objective: ObjectiveName = "MinGPUs"
    max_gpus: int | None = None
    """NGPU; None for all there are."""
    reserve: int = 0
    """Devices that are planned but do not count towards N."""
    max_iterations: int | None = None
    """M."""
    part_size: int | None = None
    """P of a grid that is frozen already; None if the plan chooses one."""
    max_part: int = MAX_PART
    """The largest P that a plan may choose: a part is kept in memory until it is whole."""
    feed: StoreFeed | None = None
    """What the store gives all devices together; None: nothing limits it."""
    fed: int | None = None
    """The most devices that the store feeds at the rates of this pool; None: all that there are."""
    tariff: Tariff | None = None
    """What devices cost; None: nobody has said it."""
    cost_limit: CostLimit | None = None
    """What the job may be expected to cost; None: no limit."""

    @property
    def is_by_cost(self) -> bool:
        """Whether the cheapest devices are wanted, and there are prices to know them by."""
        return OBJECTIVES[self.objective].needs_prices and self.tariff is not None

    @property
    def without_prices(self) -> "Problem":
        """The problem as if nobody had said what devices cost."""
        return replace(self, tariff=None)

    @cached_property
    def rule(self) -> Rule:
        """The rule that says which devices are enough."""
        return Rule(
            images=self.images,
            confidence=self.confidence,
            spreads=self.pool.spreads,
            reserve=self.reserve,
            part_size=self.part_size,
            losses=self.losses,
        )

    def rule_on(self, classes: Iterable[str]) -> Rule:
        """Return the acceptance rule for devices of these classes: if none of them is spot, none is taken away."""
        spot = {group.device_class for group in self.groups if group.losses}
        return self.rule if not spot.isdisjoint(classes) else self.rule.of_kept

    @cached_property
    def losses(self) -> Losses | None:
        """What losses of the pool's spot devices may cost; None if none is spot."""
        spot = [group for group in self.groups if group.losses]
        if not spot:
            return None
        best = best_capacities(spot, time_us=self.time_us, max_iterations=self.max_iterations)
        return largest_losses(
            SpotDevices(
                rate=able.group.losses,
                image_us=Fraction(able.choice.planned_latency_us, able.choice.mini_batch_size),
                start_us=able.choice.start_us,
                images=able.images,
                count=able.group.count,
            )
            for able in best
            if able.group.losses
        )

    @cached_property
    def groups(self) -> tuple[PoolGroup, ...]:
        """The pool's groups at the confidence; at 0.5, the study's exact mode, with S and W at p50.

        No device alone takes more than the store gives.
        """
        groups = self.pool.groups if self.feed is None else paced_groups(self.pool.groups, self.feed.rate)
        spreads = self.pool.spreads
        return at_confidence(groups, self.confidence, run=spreads.run, start=spreads.start)

    @cached_property
    def ways(self) -> tuple["Problem", ...]:
        """The plain problems, without a store, whose best answer is this one's: itself if nothing limits the store."""
        if self.feed is None:
            return (self,)
        return tuple(map(self._way, ways_within(self.feed.rate, self.pool.groups, reserve=self.reserve)))

    def _way(self, way: Way) -> "Problem":
        plain = self._plain(way.groups, way.most, feed=None)
        if not way.is_paced:
            # As in with_part_size: most of the work is done already.
            names = {group.device_class for group in way.groups}
            vars(plain)["groups"] = tuple(group for group in self.groups if group.device_class in names)
        return plain

    @cached_property
    def enough_cores(self) -> int:
        """How many cores each GPU's worker must have so that no GPU waits for decoding; 0 if none does now."""
        return enough_cores(self.pool.groups)

    @cached_property
    def is_bound_by_store(self) -> bool:
        """Whether all devices of the pool together could take more than the store gives."""
        return any(way.fed is not None for way in self.ways)

    @cached_property
    def unfed(self) -> "Problem":
        """The problem where the store gives each device what it gives one alone: what no devices do, fewer don't."""
        return self if self.feed is None else self._plain(paced_groups(self.pool.groups, self.feed.rate), feed=None)

    def within_feed(self) -> "Problem":
        """Return the problem as whoever places it beside others may take it.

        Any `most` devices of its pool keep to what the store gives. It is the way with the fewest devices by the
        deadline, or else the one with the most images.
        """
        if self.feed is None:
            return self
        best = self._fewest_way()
        way = max(self.ways, key=lambda each: each.largest_sum) if best is None else best[1]
        if way.fed is None and len(way.pool.groups) == len(self.pool.groups):
            return self
        return self._plain(way.pool.groups, way.fed, feed=self.feed)

    def _fewest_way(self, time_us: int | None = None) -> tuple[int, "Problem"] | None:
        """Return the fewest devices that are enough, and the way to them; None if none are.

        What fewer devices of the whole pool don't do, they don't do in a part of it. So if a way with all groups does,
        the others need not be tried.
        """
        best: tuple[int, Problem] | None = None
        for way in self.ways:
            fewest = way.fewest(time_us)
            if fewest is not None and (best is None or fewest < best[0]):
                best = fewest, way
                if len(way.pool.groups) == len(self.pool.groups):
                    break
        return best

    def _plain(self, groups: tuple[PoolGroup, ...], fed: int | None = None, *, feed: StoreFeed | None) -> "Problem":
        limits = [most for most in (self.fed, fed) if most is not None]
        return replace(self, pool=replace(self.pool, groups=groups), fed=min(limits, default=None), feed=feed)

    @cached_property
    def largest_sum(self) -> int:
        """The images of all the devices that may be used, by the deadline, at their capacities."""
        return sum(images * count for images, count in first_devices(equal_devices(self.capacities()), self.most))

    @cached_property
    def most(self) -> int:
        """The most devices that may be used: NGPU, or all there are, or all that the store feeds if these are fewer."""
        there = sum(group.count for group in self.pool.groups)
        return min(most for most in (there, self.max_gpus, self.fed) if most is not None)

    def done_by(self, choice: DeviceChoice, time_us: int, available_us: int) -> int:
        """Return cap(b): the images that one device does with this choice by a time, if it is free from another on."""
        return capacity(choice, time_us=time_us, available_us=available_us, max_iterations=self.max_iterations)

    def capacities(self, time_us: int | None = None) -> list[Capacity]:
        """Return C of every group by the deadline, or by another time; the largest first."""
        return best_capacities(
            self.groups,
            time_us=self.time_us if time_us is None else time_us,
            max_iterations=self.max_iterations,
        )

    def fewest(self, time_us: int | None = None) -> int | None:
        """Return model (1)'s answer in closed form: the least accepted number of devices; None if there is none."""
        if self.feed is None:
            return self.rule.fewest(equal_devices(self.capacities(time_us)), self.most)
        best = self._fewest_way(time_us)
        return None if best is None else best[0]

    def is_accepted(self, gpus: int, time_us: int | None = None) -> bool:
        """Return whether so many devices are accepted, without regard to what the store gives all of them together."""
        return gpus <= self.most and self.rule.accepts(equal_devices(self.capacities(time_us)), gpus)

    def earliest_us(self, gpus: int | None = None, *, within_us: int | None = None) -> int | None:
        """Return the earliest time by which `gpus` devices, or any allowed number, are accepted; None if never.

        `within_us` is a time by which this is known to be possible. It saves the search for one.
        """

        def suffices(time_us: int) -> bool:
            if gpus is None:
                return self.fewest(time_us) is not None
            return any(way.is_accepted(gpus, time_us) for way in self.ways)

        if within_us is not None:
            return find_least(suffices, 0, within_us)
        # With a limit on iterations, or with parts that lose all that a device adds, no time is long enough.
        return find_least_near(suffices, 0, near=max(1, self.time_us), most=NEVER_US)

    def largest_images(self, most: int | None = None) -> int:
        """Return the largest N that at most that many devices are accepted for by the deadline; 0 if there is none."""
        if self.feed is not None:
            return max(way.largest_images(None if most is None else min(most, way.most)) for way in self.ways)
        able = equal_devices(self.capacities())
        allowed = self.most if most is None else most

        def fails(images: int) -> bool:
            return replace(self.rule, images=images).fewest(able, allowed) is None

        return find_least(fails, 1, MAX_N + 1) - 1 if fails(MAX_N + 1) else MAX_N

    def with_part_size(self, part_size: int) -> "Problem":
        """Return the same problem with parts of this size."""
        return self._with_groups(replace(self, part_size=part_size))

    def about(self, *, images: int, time_us: int) -> "Problem":
        """Return the same problem with so many images and so much time."""
        other = self._with_groups(replace(self, images=images, time_us=time_us))
        ways = (other,) if self.feed is None else tuple(way.about(images=images, time_us=time_us) for way in self.ways)
        vars(other)["ways"] = ways
        return other

    def _with_groups(self, other: "Problem") -> "Problem":
        # The groups do not depend on images, time and part size, and making them is most of the work.
        vars(other)["groups"] = self.groups
        return other

    def with_cores(self, cores: int) -> "Problem":
        """Return the same problem as if each GPU's worker could have at least so many cores."""
        return replace(self, pool=replace(self.pool, groups=with_cores(self.pool.groups, cores)))

    def in_squares(self) -> "Problem":
        """Return the same problem as if the images had been transcoded into tars of squares of the wanted size."""
        feed = self.feed.in_tars() if self.feed and self.feed.is_of_single_objects else self.feed
        return replace(self, pool=replace(self.pool, groups=in_squares(self.pool.groups)), feed=feed)

    def with_more(self, device_class: str, more: int) -> "Problem":
        """Return the same problem with more devices of one class, free now, and NGPU raised by as many."""
        model = next(group for group in self.pool.groups if group.device_class == device_class)
        groups = (*self.pool.groups, replace(model, count=more, available_us=0))
        most = None if self.max_gpus is None else self.max_gpus + more
        return replace(self, pool=replace(self.pool, groups=groups), max_gpus=most)


def equal_devices(capacities: list[Capacity]) -> list[EqualDevices]:
    """Return (images each, devices) of every group, as the acceptance rule takes them."""
    return [(c.images, c.group.count) for c in capacities]


def take_largest(capacities: list[Capacity], gpus: int) -> list[tuple[Capacity, int]]:
    """Return the first `gpus` devices, which have the largest capacities, as (capacity, count)."""
    taken = []
    for best in capacities:
        count = min(best.group.count, gpus)
        gpus -= count
        if count:
            taken.append((best, count))
    return taken


def find_least(holds: Callable[[int], bool], low: int, high: int, *, nearly: int | None = None) -> int:
    """Return the least integer in low..high for which a monotone condition holds. It must hold at high.

    With `nearly` it is that number or a little less, which takes fewer tries: the condition holds for none below it,
    and for one that is greater by at most 1 / `nearly` of itself.
    """
    while high - low > (high // nearly if nearly else 0):
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return min(low, high)


def find_least_near(
    holds: Callable[[int], bool], low: int, *, near: int, most: int, nearly: int | None = None
) -> int | None:
    """Return the least integer in low..most for which a monotone condition holds; None if it holds for none.

    It is sought around `near`, since large numbers may take longer to try; `nearly` is as in `find_least`.
    """
    if not holds(most):
        return None
    high = near
    while high < most and not holds(high):
        low, high = high + 1, 2 * high
    return find_least(holds, low, min(high, most), nearly=nearly)
