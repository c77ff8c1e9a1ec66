"""One job on one pool: what is asked, and the closed form's answers to it.

The k largest capacities decide whether k devices suffice, so every question here is a search over one monotone
number: the least k, the largest N, the earliest time. The searches are over integers and so are exact.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from dueby_api.inference_job import MAX_N
from dueby_api.objectives import ObjectiveName
from dueby_planner.model.capacity import Capacity, Group, at_confidence, best_capacities
from dueby_planner.model.rule import Rule, Run
from dueby_planner.profiles.pool import Pool

# Beyond this a deadline is no answer: 30,000 years in microseconds.
_NEVER_US = 10**18


@dataclass(frozen=True, kw_only=True)
class Problem:
    """N images in the time left, on the pool, at a confidence."""

    pool: Pool
    images: int
    time_us: int
    """R: the time left until the deadline."""
    confidence: float
    objective: ObjectiveName = "MinGPUs"
    most_gpus: int | None = None
    """NGPU."""
    reserve: int = 0
    max_iterations: int | None = None
    """M."""
    part_size: int | None = None
    """P of a grid that is frozen already; None: the plan chooses one."""

    @cached_property
    def rule(self) -> Rule:
        """When devices suffice."""
        return Rule(
            images=self.images,
            confidence=self.confidence,
            spreads=self.pool.spreads,
            reserve=self.reserve,
            part_size=self.part_size,
        )

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The pool's groups at the confidence; at 0.5, the study's exact mode, with S and W at p50."""
        return at_confidence(self.pool.groups, self.confidence, run=self.pool.spreads.run)

    @property
    def most(self) -> int:
        """The most devices that may be used: NGPU or all there are."""
        there = sum(group.count for group in self.pool.groups)
        return there if self.most_gpus is None else min(self.most_gpus, there)

    def capacities(self, time_us: int | None = None) -> list[Capacity]:
        """C of every group by the deadline, or by another time; the largest first."""
        return best_capacities(
            self.groups,
            time_us=self.time_us if time_us is None else time_us,
            max_iterations=self.max_iterations,
        )

    def fewest(self, time_us: int | None = None) -> int | None:
        """Model (1) in closed form: the least number of devices that is accepted; None where it can't be done."""
        return self.rule.fewest(runs(self.capacities(time_us)), self.most)

    def earliest_us(self, gpus: int | None = None, *, within_us: int | None = None) -> int | None:
        """The earliest time by which `gpus` devices, or any allowed number, are accepted; None: never.

        `within_us` is a time by which it is known to be possible.
        """

        def suffices(time_us: int) -> bool:
            found = runs(self.capacities(time_us))
            return self.rule.fewest(found, self.most) is not None if gpus is None else self.rule.accepts(found, gpus)

        if within_us is not None:
            return least(suffices, 0, within_us)
        if not suffices(_NEVER_US):
            return None
        high = max(1, self.time_us)
        while not suffices(high):
            high *= 2
        return least(suffices, 0, high)

    def largest_images(self, most: int | None = None) -> int:
        """The largest N that is accepted by the deadline with at most that many devices; 0 where there is none."""
        found = runs(self.capacities())
        allowed = self.most if most is None else most

        def fails(images: int) -> bool:
            return replace(self.rule, images=images).fewest(found, allowed) is None

        return least(fails, 1, MAX_N + 1) - 1 if fails(MAX_N + 1) else MAX_N

    def with_part_size(self, part_size: int) -> "Problem":
        """The same with parts of this size."""
        held = replace(self, part_size=part_size)
        vars(held)["groups"] = self.groups  # they don't depend on it, and are most of the work
        return held

    def with_more(self, device_class: str, more: int) -> "Problem":
        """The same with more devices of one class, free now, and NGPU lifted by as many."""
        model = next(group for group in self.pool.groups if group.device_class == device_class)
        groups = (*self.pool.groups, replace(model, count=more, available_us=0))
        most = None if self.most_gpus is None else self.most_gpus + more
        return replace(self, pool=replace(self.pool, groups=groups), most_gpus=most)


def runs(capacities: list[Capacity]) -> list[Run]:
    """(images, devices) of each group, as the rule takes them."""
    return [(c.images, c.group.count) for c in capacities]


def take(capacities: list[Capacity], gpus: int) -> list[tuple[Capacity, int]]:
    """The `gpus` devices of the largest capacities, as (capacity, count)."""
    taken = []
    for capacity in capacities:
        count = min(capacity.group.count, gpus)
        gpus -= count
        if count:
            taken.append((capacity, count))
    return taken


def least(holds: Callable[[int], bool], low: int, high: int) -> int:
    """The least integer in low..high for which a monotone condition holds; it is known to hold at high."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return high
