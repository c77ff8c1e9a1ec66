"""Priced devices, and what so many of each class do and cost together.

A device of class c that is held until F is paid h_c(F), and has done w_c(F) images by then, at its best mini-batch size
and with S and W as expected. So many devices n_c end at the least F with sum n_c w_c(F) >= N, and cost sum n_c h_c(F).
The acceptance rule says besides whether they are enough by the deadline.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dueby_planner.model.capacity import Capacity, DeviceChoice, PoolGroup, iterations_within
from dueby_planner.model.cost import PlanCost, Price, cost_of
from dueby_planner.model.plan import PlanGroup, with_iterations
from dueby_planner.model.problem import Problem, find_least

RATE_PARTS = 1 << 20
"""The unit of what an image costs: a charge is divided into so many parts."""
Row = tuple[int, int, int, int, DeviceChoice]


@dataclass(frozen=True, kw_only=True)
class PricedGroup:
    """Devices of a group with their price, for one problem."""

    group: PoolGroup
    price: Price
    best: Capacity
    """C: what each does by the deadline at the confidence."""
    rows: tuple[Row, ...]
    """(a + S + W, L, b, t at most, choice) of each size that is warm by the deadline at the confidence."""

    def images_by(self, finish_us: int) -> int:
        """Return w: the images that one device is expected to have done by then."""
        most = 0
        for start_us, latency_us, size, limit, _ in self.rows:
            left_us = finish_us - start_us
            if left_us >= 0:
                fit = left_us // latency_us
                images = ((fit if fit < limit else limit) + 1) * size
                if images > most:
                    most = images
        return most

    def soonest_us(self, images: int) -> int | None:
        """Return the least time by which one device has done so many images; None if it is after the deadline."""
        ends = []
        for start_us, latency_us, size, limit, _ in self.rows:
            iterations = -(-images // size) - 1
            if iterations <= limit:
                ends.append(start_us + iterations * latency_us)
        return min(ends, default=None)

    def best_by(self, finish_us: int) -> DeviceChoice:
        """Return the choice that does most by then, the smallest of equal ones; if none is warm, the first that is."""
        warm = [row for row in self.rows if row[0] <= finish_us]
        if not warm:
            return min(self.rows, key=lambda row: row[0])[4]
        return max(warm, key=lambda row: ((min(row[3], (finish_us - row[0]) // row[1]) + 1) * row[2], -row[2]))[4]

    def rate_by(self, finish_us: int) -> int | None:
        """Return a charge below which no image is done by then, in parts of RATE_PARTS; None if none is done.

        With s = a + S + W, at most ((F - s) / L + 1) b images are done by F, for hourly (F - a) or more. As F grows,
        the ratio falls or rises throughout, so it is least at one of the ends.
        """
        rates = []
        for start_us, latency_us, size, _, _ in self.rows:
            if start_us <= finish_us:
                held = latency_us * (finish_us - self.group.available_us)
                at_end = held * RATE_PARTS // (size * (finish_us - start_us + latency_us))
                rates.append(min(at_end, (start_us - self.group.available_us) * RATE_PARTS // size))
        return self.price.hourly * min(rates) if rates else None

    def between(self, first_us: int, last_us: int) -> "PricedGroup":
        """Return the offer without sizes that do no more than another one, whenever devices end between the two.

        By F a size has done more than (F - s) b / L images and at most b more than that. Of two such lines, one that is
        not below the other at either end is not below it between them.
        """
        if len(self.rows) < 2:
            return self
        ends = (first_us, last_us)
        best = max(self.rows, key=lambda row: (last_us - row[0]) * row[2] // row[1])
        sure = [(end - best[0]) * best[2] // best[1] for end in ends]

        def may_do_more(row: Row) -> bool:
            most = [(end - row[0]) * row[2] // row[1] + 1 + row[2] for end in ends]
            return (row[3] + 1) * row[2] > (best[3] + 1) * best[2] or any(
                m > s for m, s in zip(most, sure, strict=True)
            )

        kept = (best[4], self.best.choice)
        return replace(self, rows=tuple(row for row in self.rows if row[4] in kept or may_do_more(row)))

    def with_only(self, choice: DeviceChoice) -> "PricedGroup":
        """Return the offer with this choice alone."""
        return replace(self, rows=tuple(row for row in self.rows if row[4] is choice))

    def charge(self, finish_us: int) -> int:
        """Return h: what one device costs that is held until then, as a charge."""
        return self.price.charge(max(0, finish_us - self.group.available_us))


def offers_of(problem: Problem, capacities: Sequence[Capacity] | None = None) -> list[PricedGroup]:
    """Return the priced devices that can do anything by the deadline, the largest C first; none without prices.

    `capacities` are the problem's, if they are known.
    """
    if problem.tariff is None:
        return []
    offers = []
    for best in problem.capacities() if capacities is None else capacities:
        price = problem.tariff.price_of(best.group.device_class)
        if price is not None:
            offers.append(PricedGroup(group=best.group, price=price, best=best, rows=_rows(problem, best.group)))
    return offers


def _rows(problem: Problem, group: PoolGroup) -> tuple[Row, ...]:
    rows = []
    for choice in group.choices:
        start_us = group.available_us + choice.expected_start_us
        left_us = problem.time_us - start_us
        if left_us >= max(0, choice.late_us):
            limit = iterations_within(choice, left_us, problem.max_iterations)
            rows.append((start_us, choice.latency_us, choice.mini_batch_size, limit, choice))
    return tuple(rows)


@dataclass(frozen=True, kw_only=True)
class Crew:
    """So many devices of each offer, with their sizes, when they are expected to end, and what they cost."""

    chosen: tuple[tuple[Capacity, int], ...]
    """Each group's capacity at the deadline with its size, and its devices; the largest first."""
    end_us: int
    charge: int

    @property
    def gpus(self) -> int:
        """How many devices they are."""
        return sum(count for _, count in self.chosen)

    @property
    def order(self) -> tuple[int, int, int]:
        """What makes one better than another: less cost, then fewer devices, then an earlier end."""
        return self.charge, self.gpus, self.end_us

    def groups(self, problem: Problem) -> tuple[PlanGroup, ...]:
        """Return the devices with their iterations."""
        return with_iterations(problem, list(self.chosen))


def crew_of(
    problem: Problem, offers: Sequence[PricedGroup], counts: Sequence[int], *, must_suffice: bool = True
) -> Crew | None:
    """Return what so many devices of each offer do and cost; None if the rule doesn't accept them by the deadline.

    Sizes are those of the earliest expected end, or, if these aren't accepted, those that do most by the deadline.
    """
    used = [(offer, count) for offer, count in zip(offers, counts, strict=True) if count]
    largest = [(offer.best, count) for offer, count in used]
    if must_suffice and not (sum(counts) <= problem.most and _accepts(problem, largest)):
        return None
    end_us = end_of(problem, used)
    if end_us is None:
        return None
    soonest = [(_capacity(problem, offer, offer.best_by(end_us)), count) for offer, count in used]
    soonest.sort(key=lambda pair: (-pair[0].images, pair[0].group.device_class, pair[0].group.available_us))
    if must_suffice and not _accepts(problem, soonest):
        soonest = largest
        used = [(offer.with_only(offer.best.choice), count) for offer, count in used]
        end_us = end_of(problem, used)
        if end_us is None:
            return None
    # Who isn't warm by then does a first mini-batch all the same.
    end_us = max(end_us, *(best.group.available_us + best.choice.expected_start_us for best, _ in soonest))
    charge = sum(count * offer.charge(end_us) for offer, count in used)
    return Crew(chosen=tuple(soonest), end_us=end_us, charge=charge)


def end_of(problem: Problem, used: Sequence[tuple[PricedGroup, int]]) -> int | None:
    """Return F, the least time by which these are expected to have done all images; None if it is after the deadline.

    What they do by a time is nearly a straight line, so the first tries are where one would cross N.
    """

    def images(finish_us: int) -> int:
        return sum(count * offer.images_by(finish_us) for offer, count in used)

    wanted = problem.images
    if len(used) == 1:
        ((offer, count),) = used
        return offer.soonest_us(-(-wanted // count))
    low, high = 0, problem.time_us
    below, above = 0, images(high)
    if above < wanted:
        return None
    for number in range(_STRAIGHT):
        # A little beyond the line and a little before it, by turns, so that both ends come near.
        aside = (high - low >> 2 + number) * (1 if number % 2 else -1)
        middle = min(high - 1, max(low, low + (high - low) * (wanted - below) // max(1, above - below) + aside))
        if middle <= low or middle >= high:
            break
        done = images(middle)
        if done >= wanted:
            high, above = middle, done
        else:
            low, below = middle + 1, done
    return find_least(lambda finish_us: images(finish_us) >= wanted, low, high)


_STRAIGHT = 10


def _accepts(problem: Problem, chosen: Sequence[tuple[Capacity, int]]) -> bool:
    gpus = sum(count for _, count in chosen)
    return problem.rule.accepts([(best.images, count) for best, count in chosen], gpus)


def _capacity(problem: Problem, offer: PricedGroup, choice: DeviceChoice) -> Capacity:
    group = offer.group
    return Capacity(problem.done_by(choice, problem.time_us, group.available_us), group, choice)


@dataclass(frozen=True, kw_only=True)
class CostBeside:
    """What other devices than a plan's would cost."""

    device_class: str | None
    """The only class; None for all devices of the pool."""
    gpus: int
    cost: PlanCost
    end_us: int
    """When they are expected to be done."""


def cheapest_alone(problem: Problem) -> CostBeside | None:
    """Return what the job costs on the class that does it alone for least, on its fewest devices; None if none can."""
    crews = []
    for way in problem.ways:
        offers = offers_of(way)
        for name, gpus in alone(way, [offer.best for offer in offers]).items():
            if crew := crew_of(way, offers, counts_alone(offers, name, gpus)):
                crews.append((crew.order, name, crew, way))
    if not crews:
        return None
    _, name, crew, way = min(crews, key=lambda row: row[:2])
    return _beside(way, name, crew)


def alone(problem: Problem, capacities: Sequence[Capacity]) -> dict[str, int]:
    """Return, of each class that can do the job alone, the fewest devices that are enough."""
    fewest_alone = {}
    for name in dict.fromkeys(best.group.device_class for best in capacities):
        able = [(best.images, best.group.count) for best in capacities if best.group.device_class == name]
        fewest = problem.rule.fewest(able, problem.most)
        if fewest is not None:
            fewest_alone[name] = fewest
    return fewest_alone


def counts_alone(offers: Sequence[PricedGroup], device_class: str, gpus: int) -> tuple[int, ...]:
    """Return the counts of the first so many devices of one class."""
    there = [offer.group.count if offer.group.device_class == device_class else 0 for offer in offers]
    return first_counts(there, gpus)


def all_at_once(problem: Problem) -> CostBeside | None:
    """Return what the job costs on all the devices that it may have; None if a price isn't known."""
    if problem.tariff is None or problem.tariff.unpriced(
        [group.device_class for group in problem.groups if group.count]
    ):
        return None
    crews = []
    for way in problem.ways:
        offers = offers_of(way)
        counts = first_counts([offer.group.count for offer in offers], way.most)
        crew = crew_of(way, offers, counts, must_suffice=False)
        if crew is not None:
            crews.append((crew, way))
    if not crews:
        return None
    crew, way = max(crews, key=lambda pair: pair[0].gpus)
    return _beside(way, None, crew)


def first_counts(there: Sequence[int], gpus: int) -> tuple[int, ...]:
    """Return how many of each are among the first so many devices."""
    counts = []
    for count in there:
        counts.append(min(count, gpus))
        gpus -= counts[-1]
    return tuple(counts)


def _beside(problem: Problem, name: str | None, crew: Crew) -> CostBeside | None:
    cost = None if problem.tariff is None else cost_of(crew.groups(problem), problem.tariff)
    return None if cost is None else CostBeside(device_class=name, gpus=crew.gpus, cost=cost, end_us=crew.end_us)
