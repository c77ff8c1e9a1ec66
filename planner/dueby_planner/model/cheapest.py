"""The objective of least cost: how many devices of which class, at which sizes, meet the deadline for least.

With what so many devices of each class do and cost by their common end F (offers.py), least cost is

    min over F and n   sum n_c h_c(F)
    s.t.  sum n_c w_c(F) >= N,   the acceptance rule by the deadline,   0 <= n_c <= count_c,   sum n_c <= NGPU

h and w rise with F. So for all F in lo..hi and n_c in l_c..u_c no cost is below that of the linear program with
h_c(lo) and w_c(hi), in which the rule is the sum that it asks for at least. Branch and bound divides such boxes, the
one with the lowest bound first: at F where that decides more, or else at the class of which a part of a device would be
taken. It ends when no box is below the best devices that were found, which is the proof, or after so many boxes: then
the lowest bound is the plan's, and the gap to it is said.

Bounds are exact: they are Lagrange's, at multipliers that greedy filling finds, in integers. Of equal cost the fewest
devices are cheapest: each device adds 1 to charges that are multiplied by more than there are devices.

PuLP's program is the same at the F of the answer. It may find cheaper devices, which are taken if they pass the exact
check, and it has a word in the proof if it finds the same cost.
"""

import heapq
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count as counter

from dueby_planner.model.cost import cost_of, micro_units
from dueby_planner.model.offers import (
    RATE_PARTS,
    Crew,
    PricedGroup,
    alone,
    counts_alone,
    crew_of,
    end_of,
    first_counts,
    offers_of,
)
from dueby_planner.model.part_size import part_size_for
from dueby_planner.model.plan import (
    Infeasible,
    Plan,
    interpolation_warnings,
    lower_bound_of,
    plan_fewest,
    serial_warnings,
    timed,
)
from dueby_planner.model.probability import probability_in_time
from dueby_planner.model.problem import Problem, find_least
from dueby_planner.model.proof import BOTH_BOUNDED, BOUNDED
from dueby_planner.model.solver import SolverAnswer, ask_cheapest
from dueby_planner.model.verify import verify_feed, verify_plan

BOXES = 1600
"""After so many, divided by the number of classes, the answer is what was found, with its bound, if that is close."""
_PATIENCE, _CLOSE = 10, 1000
"""So many times as many boxes are divided if more than this part of the cost might be saved."""
_FEW_CLASSES = 4
# How often a device is added to those that are not enough.
_MORE = 4
# More than any charge.
_UNREACHED = 1 << 200
# How many penalties for a device are tried.
_PENALTIES = 8


@timed
def plan_cheapest(problem: Problem) -> Plan | Infeasible:
    """Return the plan of least cost, or the proof that there is none. Each class has a price (require_prices)."""
    fewest = problem.fewest()
    if fewest is None:
        return plan_fewest(problem)
    best: Search | None = None
    for way in problem.ways:
        if way.fewest() is not None:
            search = Search(way)
            search.run()
            if best is None or search.order < best.order:
                best = search
    if best is None or best.crew is None:
        raise RuntimeError(f"devices are accepted ({fewest}), and nothing was found")
    # The solver works on its answer while the plan is made.
    second = best.ask()
    bound = best.bound
    if problem.feed is not None:
        # However the store is divided, no devices are cheaper than if each had all of it.
        whole = Search(problem.unfed)
        whole.run()
        bound = min(bound, whole.bound)
    first = best.crew
    plan = _plan_of(problem, best.problem, first, bound=bound)
    proof = best.judge(second.result())
    if best.crew is not first:
        plan = _plan_of(problem, best.problem, best.crew, bound=bound)
    return replace(plan, proof=proof)


def _plan_of(problem: Problem, way: Problem, crew: Crew, *, bound: int) -> Plan:
    """Return the plan of devices that are enough by one of the ways that the problem is."""
    if problem.tariff is None:
        raise ValueError("a plan of least cost has prices")
    able = [(best.images, count) for best, count in crew.chosen]
    choices = [best.choice for best, _ in crew.chosen]
    part_size = way.part_size or part_size_for(way, able, choices, gpus=crew.gpus)
    held = way.with_part_size(part_size)
    groups = crew.groups(held)

    def is_accepted(time_us: int) -> bool:
        by_then = [(held.done_by(group.choice, time_us, group.available_us), group.count) for group in groups]
        return held.rule.accepts(sorted(by_then, reverse=True), crew.gpus)

    finish_us = find_least(is_accepted, 0, way.time_us)
    verify_plan(held, groups, finish_at_confidence_us=finish_us)
    verify_feed(problem, groups)
    cost = cost_of(groups, problem.tariff)
    return Plan(
        problem=problem,
        groups=groups,
        part_size=part_size,
        lower_bound=lower_bound_of(problem),
        proof=BOUNDED,
        probability=probability_in_time(held, groups, part_size=part_size),
        finish_at_confidence_us=finish_us,
        warnings=problem.pool.warnings
        + interpolation_warnings(groups)
        + serial_warnings((group.device_class, group.choice) for group in groups),
        cost_bound=None if cost is None else min(micro_units(bound), cost.total),
    )


@dataclass(frozen=True, kw_only=True)
class Box:
    """Ends and counts among which devices are sought."""

    from_us: int
    to_us: int
    least: tuple[int, ...]
    most: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Relaxed:
    """A box's bound, and the devices of the linear program that it is from."""

    bound: int
    filled: tuple[int, ...]
    """Whole devices of each offer."""
    part_of: int | None
    """The offer of which a part of a device comes on top; None if none does."""


class Search:
    """Branch and bound over one plain problem: what was found so far, and what nothing is below."""

    def __init__(self, problem: Problem, offers: Sequence[PricedGroup] | None = None) -> None:
        """`offers` are the problem's, if they are known. There must be some."""
        self.problem = problem
        self.offers = list(offers_of(problem) if offers is None else offers)
        self.crew: Crew | None = None
        self.boxes = 0
        self._able = tuple(offer.best.images for offer in self.offers)
        self._scale = problem.most + 1
        self._tried: set[tuple[int, ...]] = set()
        self._bound = 0
        self._charged: dict[int, tuple[int, ...]] = {}
        self._rates: dict[int, tuple[int | None, ...]] = {}
        self._works: dict[int, tuple[int, ...]] = {}

    @property
    def order(self) -> tuple[int, int, int]:
        """What makes one answer better than another."""
        return self.crew.order if self.crew else (_UNREACHED, 0, 0)

    @property
    def bound(self) -> int:
        """No devices cost less than this charge."""
        return self._bound // self._scale

    @property
    def least_charge(self) -> int:
        """No devices do all images for less by the deadline, whenever and for how long each of them is held.

        Each may start again and again, so a mini-batch may take as little as a start. 0 if they don't do so many.
        """
        time_us, most = self.problem.time_us, tuple(offer.group.count for offer in self.offers)
        works = [
            max(
                time_us // max(1, min(latency_us, start_us - offer.group.available_us)) * size
                for start_us, latency_us, size, *_ in offer.rows
            )
            for offer in self.offers
        ]
        whole = Box(from_us=0, to_us=time_us, least=(0,) * len(most), most=most)
        return (self._bound_by_rates(whole, works) or 0) // self._scale

    @cached_property
    def needed(self) -> int:
        """What capacities must add up to at least, whichever devices it are."""
        problem, rule = self.problem, self.problem.rule
        fewest = max(1, (problem.fewest() or 1) - problem.reserve)
        smallest = min(offer.best.images for offer in self.offers)
        margin = rule.least_margin(smallest=smallest, fewest=fewest, most=problem.most)
        return problem.images + rule.loss(fewest) + margin + problem.reserve * smallest

    def run(self, boxes: int = BOXES, *, patience: int = _PATIENCE) -> None:
        """Search until nothing is below the best that was found, or for so many boxes, divided by the classes.

        If the bound is not close by then, it goes on for `patience` times as many.
        """
        counts = tuple(offer.group.count for offer in self.offers)
        # No devices end before all of them would.
        soonest_us = end_of(self.problem, list(zip(self.offers, counts, strict=True))) or 0
        whole = Box(from_us=soonest_us, to_us=self.problem.time_us, least=(0,) * len(counts), most=counts)
        self.offers = [offer.between(soonest_us, self.problem.time_us) for offer in self.offers]
        self._try_usual()
        order = counter()
        relaxed = self._relax(whole)
        heap = [] if relaxed is None else [(relaxed.bound, next(order), whole, relaxed)]
        few = boxes // max(_FEW_CLASSES, len(counts))
        undecided = _UNREACHED
        while heap and heap[0][0] < self._best and self.boxes < few * patience:
            if self.boxes >= few and _CLOSE * (self._best - heap[0][0]) <= self._best:
                break
            _, _, box, relaxed = heapq.heappop(heap)
            self.boxes += 1
            self._consider_with_more(_whole(relaxed))
            parts = self._divided(box, relaxed)
            if not parts and self._accepts(box.least):
                # Other sizes of these very devices may end by then, and cost what the bound says.
                undecided = min(undecided, relaxed.bound)
            for part in parts:
                below = self._relax(part)
                if below is not None and below.bound < self._best:
                    heapq.heappush(heap, (below.bound, next(order), part, below))
        self._bound = min(self._best, undecided, heap[0][0] if heap else self._best)

    def ask(self) -> Future[SolverAnswer | None]:
        """Ask the solver for devices with the same end that cost less."""
        end_us = self.crew.end_us if self.crew else self.problem.time_us
        rows = zip(self._charges(end_us), self._images(end_us), self.offers, strict=True)
        return ask_cheapest(
            [(charge, work, offer.best.images, offer.group.count) for charge, work, offer in rows],
            images=self.problem.images,
            needed=self.needed,
            most=self.problem.most,
        )

    def judge(self, answer: SolverAnswer | None) -> str:
        """Return what the proof rests on by the solver's answer. If its devices are cheaper, they are taken."""
        counts = [offer.group.count for offer in self.offers]
        if self.crew is None or answer is None or not answer.is_proven:
            return BOUNDED
        if not all(0 <= taken <= count for taken, count in zip(answer.counts, counts, strict=True)):
            return BOUNDED
        charges = self._charges(self.crew.end_us)
        before = self._best
        self._consider(answer.counts)
        same = sum(charge * taken for charge, taken in zip(charges, answer.counts, strict=True))
        return BOTH_BOUNDED if same == before == self._best else BOUNDED

    # ---- what was found

    @property
    def _best(self) -> int:
        """The lowest charge that was found, with a device as 1."""
        return _UNREACHED if self.crew is None else self.crew.charge * self._scale + self.crew.gpus

    def _try_usual(self) -> None:
        """Consider the fewest devices of all classes, and the class that does it alone for least."""
        there = [offer.group.count for offer in self.offers]
        fewest = self.problem.rule.fewest(list(zip(self._able, there, strict=True)), self.problem.most)
        if fewest is not None:
            self._consider(first_counts(there, fewest))
        fewest_alone = alone(self.problem, [offer.best for offer in self.offers])
        by_class = [counts_alone(self.offers, name, gpus) for name, gpus in fewest_alone.items()]
        charges = [(self._charge_alone(counts), counts) for counts in by_class]
        if charges:
            self._consider(min(charges)[1])

    def _charge_alone(self, counts: tuple[int, ...]) -> int:
        """Return about what devices of one class cost: each does its part of the images."""
        each = -(-self.problem.images // sum(counts))
        charge = 0
        for offer, count in zip(self.offers, counts, strict=True):
            if count:
                end_us = offer.soonest_us(each)
                charge += count * offer.charge(self.problem.time_us if end_us is None else end_us)
        return charge

    def _consider_with_more(self, counts: tuple[int, ...]) -> None:
        """Consider these devices, or if the rule asks for a little more than their sum, with one or a few more."""
        for _ in range(_MORE):
            if counts in self._tried or self._consider(counts):
                return
            more = next((at for at in self._by_price if counts[at] < self.offers[at].group.count), None)
            if more is None:
                return
            counts = (*counts[:more], counts[more] + 1, *counts[more + 1 :])

    def _consider(self, counts: tuple[int, ...]) -> bool:
        """Take these devices if they are better than what was found; return whether they are enough."""
        self._tried.add(counts)
        crew = crew_of(self.problem, self.offers, counts)
        if crew is not None and (self.crew is None or crew.order < self.crew.order):
            self.crew = crew
        return crew is not None

    def _accepts(self, counts: tuple[int, ...]) -> bool:
        """Return whether these devices are enough by the deadline at their best sizes."""
        able = [(images, count) for images, count in zip(self._able, counts, strict=True) if count]
        return self.problem.rule.accepts(able, sum(counts))

    @cached_property
    def _by_price(self) -> list[int]:
        """The offers by what an image costs if they are held to the deadline."""
        charges = self._charges(self.problem.time_us)
        return sorted(range(len(charges)), key=lambda at: charges[at] / self._able[at])

    # ---- bounds

    def _charges(self, finish_us: int) -> tuple[int, ...]:
        if finish_us not in self._charged:
            self._charged[finish_us] = tuple(offer.charge(finish_us) * self._scale + 1 for offer in self.offers)
        return self._charged[finish_us]

    def _images(self, finish_us: int) -> tuple[int, ...]:
        if finish_us not in self._works:
            self._works[finish_us] = tuple(offer.images_by(finish_us) for offer in self.offers)
        return self._works[finish_us]

    def _relax(self, box: Box) -> Relaxed | None:
        """Return the highest of some bounds of the box; None if nothing in it is enough."""
        charges, works = self._charges(box.from_us), self._images(box.to_us)
        images, needed, most = self.problem.images, self.needed, self.problem.most
        if sum(box.least) > most:
            return None
        by_rate = self._bound_by_rates(box, works)
        if by_rate is None:
            return None
        if by_rate >= self._best:
            return Relaxed(bound=by_rate, filled=box.least, part_of=None)
        both = [work + able for work, able in zip(works, self._able, strict=True)]
        best = _fill(box, charges, both, images + needed, most)
        if best is None or best.bound >= self._best:
            return best
        best = replace(best, bound=max(by_rate, best.bound))
        # Its devices keep the sum of both rows; the one that they break, if they do, may bound more.
        for weights, wanted in ((works, images), (self._able, needed)):
            if sum(weight * taken for weight, taken in zip(weights, _whole(best), strict=True)) < wanted:
                relaxed = _fill(box, charges, weights, wanted, most)
                if relaxed is None or relaxed.bound > best.bound:
                    return relaxed
        return best

    def _bound_by_rates(self, box: Box, works: Sequence[int]) -> int | None:
        """Return what N images cost at least if each is done where that is cheapest; None if not so many are done.

        It holds for all ends of the box, however far they are apart: where more time saves little, no other bound is
        as good before the box is divided many times.
        """
        rates = self._rates_by(box.to_us)
        left, charge = self.problem.images, 0
        able = (
            (rate, count * work) for rate, count, work in zip(rates, box.most, works, strict=True) if rate is not None
        )
        for rate, images in sorted(able):
            taken = min(images, left)
            charge += rate * taken
            left -= taken
            if not left:
                return -(-charge // RATE_PARTS) * self._scale
        return None

    def _rates_by(self, finish_us: int) -> tuple[int | None, ...]:
        if finish_us not in self._rates:
            self._rates[finish_us] = tuple(offer.rate_by(finish_us) for offer in self.offers)
        return self._rates[finish_us]

    def _divided(self, box: Box, relaxed: Relaxed) -> list[Box]:
        """Return the box in two parts, or in none if all in it is decided."""
        early, late = self._charges(box.from_us), self._charges(box.to_us)
        place = relaxed.part_of
        taken = _whole(relaxed)
        by_end = sum(count * (last - first) for count, first, last in zip(taken, early, late, strict=True))
        one = early[place] if place is not None else 0
        if box.from_us < box.to_us and 2 * by_end > one:
            middle = (box.from_us + box.to_us) // 2
            return [replace(box, to_us=middle), replace(box, from_us=middle + 1)]
        if place is None:
            # These devices were tried: what is left in the box has more of some class, or less.
            place = max(range(len(taken)), key=lambda at: box.most[at] - box.least[at])
            if box.most[place] == box.least[place]:
                return []
        cut = min(relaxed.filled[place], box.most[place] - 1)
        return [
            replace(box, most=(*box.most[:place], cut, *box.most[place + 1 :])),
            replace(box, least=(*box.least[:place], cut + 1, *box.least[place + 1 :])),
        ]


def _whole(relaxed: Relaxed) -> tuple[int, ...]:
    """Return the devices with a whole one in place of the part."""
    at = relaxed.part_of
    counts = relaxed.filled
    return counts if at is None else (*counts[:at], counts[at] + 1, *counts[at + 1 :])


def _fill(box: Box, charges: Sequence[int], weights: Sequence[int], wanted: int, most: int) -> Relaxed | None:
    """Return the bound of the linear program with one row, sum of weights >= wanted; None if it has no answer.

    Devices are taken by what a unit of weight costs. With the multiplier of the last one, Lagrange's bound is exact
    whichever order they were taken in. If more than `most` are taken, each device costs a penalty more, and `most`
    penalties are taken off again: no penalty makes the bound wrong, and a few are tried.
    """
    rest = wanted - sum(weight * count for weight, count in zip(weights, box.least, strict=True))
    base = sum(charge * count for charge, count in zip(charges, box.least, strict=True))
    left = most - sum(box.least)
    relaxed = _filled(box, charges, weights, rest)
    if relaxed is None:
        return None
    best = Relaxed(bound=base + relaxed.bound, filled=relaxed.filled, part_of=relaxed.part_of)
    if sum(relaxed.filled) - sum(box.least) + (relaxed.part_of is not None) <= left:
        return best
    room = [(weight, there - taken) for weight, there, taken in zip(weights, box.most, box.least, strict=True)]
    able = 0
    for weight, count in sorted(room, reverse=True):
        able += weight * min(count, left)
        left -= min(count, left)
    if able < rest:
        return None
    left = most - sum(box.least)
    low, high = 0, max(charges)
    for _ in range(_PENALTIES):
        penalty = (low + high) // 2
        dearer = _filled(box, [charge + penalty for charge in charges], weights, rest)
        if dearer is None:
            return None
        if base + dearer.bound - penalty * left > best.bound:
            best = Relaxed(bound=base + dearer.bound - penalty * left, filled=dearer.filled, part_of=dearer.part_of)
        taken = sum(dearer.filled) - sum(box.least) + (dearer.part_of is not None)
        low, high = (penalty, high) if taken > left else (low, penalty)
    return best


def _filled(box: Box, charges: Sequence[int], weights: Sequence[int], rest: int) -> Relaxed | None:
    """Return the bound of what is added to the box's least counts for `rest` more of weight, and all counts."""
    filled = list(box.least)
    if rest <= 0:
        return Relaxed(bound=0, filled=tuple(filled), part_of=None)
    order = sorted(
        (charges[at] / weights[at], at) for at in range(len(weights)) if weights[at] and box.most[at] > box.least[at]
    )
    left, last = rest, None
    for _, at in order:
        room = box.most[at] - box.least[at]
        last = at
        if weights[at] * room >= left:
            filled[at] += left // weights[at]
            left -= left // weights[at] * weights[at]
            break
        filled[at] += room
        left -= weights[at] * room
    else:
        return None
    # At the multiplier charge / weight of the last one, all times its weight.
    unit, each = weights[last], charges[last]
    total = each * rest
    for at, (charge, weight) in enumerate(zip(charges, weights, strict=True)):
        if (saved := charge * unit - each * weight) < 0:
            total += (box.most[at] - box.least[at]) * saved
    return Relaxed(bound=-(-total // unit), filled=tuple(filled), part_of=last if left else None)
