"""What a plan costs, exactly, and what causes it.

A device is paid for while it is held: from its worker's creation, or from when it is free if that is later, to the
plan's expected finish. A worker that has done its share does what others still have, so none is given back much before
the end.
Of the time d that a device is held, what is begun is paid for: d is rounded up to whole units, and to the least time.

A charge is an integer: a price an hour, in millionths of the currency's unit, times microseconds. Dividing it by an
hour gives millionths. Charges are added and compared as they are, and divided once, at the end.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from dueby_api.errors import Invalid
from dueby_api.inference_job import JobSpec
from dueby_api.prices import Billing, ClassPrice, Money, PriceList
from dueby_api.units import MICROS_PER_SECOND
from dueby_planner.model.capacity import DeviceChoice, PlannedDevices

HOUR_US = 3600 * MICROS_PER_SECOND
MAX_COST = "spec.maxCost"
_SLOW_NODE = "@"
"""What a slow node's own class has after the name of its class."""


@dataclass(frozen=True, kw_only=True)
class Price:
    """What a device costs while it is held."""

    hourly: int
    """Millionths of the currency's unit an hour."""
    unit_us: int = MICROS_PER_SECOND
    """Each such time that is begun is paid for."""
    least_us: int = 0
    """The least time that is paid for."""
    origin: str = ""
    """Where the price is from, in words; empty if nobody needs to be told."""

    def billed_us(self, held_us: int) -> int:
        """Return the time that is paid for of the time that a device is held."""
        return max(-(-held_us // self.unit_us), -(-self.least_us // self.unit_us)) * self.unit_us

    def charge(self, held_us: int) -> int:
        """Return what one device costs that is held for so long, as a charge."""
        return self.hourly * self.billed_us(held_us)


@dataclass(frozen=True, kw_only=True)
class Tariff:
    """The prices that a plan is paid by."""

    currency: str
    prices: Mapping[str, Price]
    """By device class."""
    notes: tuple[str, ...] = field(default=())
    """What the prices' files hide, in clauses."""

    def price_of(self, device_class: str) -> Price | None:
        """Return the price of a class, or of its slow nodes; None if it isn't known."""
        return self.prices.get(device_class.partition(_SLOW_NODE)[0])

    def require_currency(self, money: Money, *, origin: str) -> None:
        """Raise Invalid, with the field that the money is from, unless it can be compared with these prices."""
        ours, theirs = money.currency, self.currency
        if ours != theirs:
            raise Invalid(origin, f"is in {ours}, and the prices are in {theirs}; give it in {theirs}")

    def unpriced(self, classes: Sequence[str]) -> tuple[str, ...]:
        """Return those of the classes whose price isn't known, each once."""
        return tuple(dict.fromkeys(name for name in classes if self.price_of(name) is None))

    def unpriced_clause(self, classes: Sequence[str]) -> str:
        """Return that the prices of some of the classes aren't known; empty if all are."""
        unpriced = ", ".join(self.unpriced(classes))
        return f"no price of {unpriced} is known, so no cost of plans with it" if unpriced else ""


def tariff_of(price_list: PriceList, *, origin: str, spot: bool = False) -> Tariff:
    """Return the prices of a list; with `spot` those of nodes that may be taken away go first.

    Raise Invalid, with the list's origin, if a class has several prices and nothing says which is meant.
    """
    by_class: dict[str, list[ClassPrice]] = {}
    for price in price_list.classes:
        by_class.setdefault(price.device_class, []).append(price)
    prices = {name: _class_price(entries, price_list.billing, origin, spot=spot) for name, entries in by_class.items()}
    return Tariff(currency=price_list.currency, prices=prices)


def _class_price(entries: Sequence[ClassPrice], billing: Billing, origin: str, *, spot: bool) -> Price:
    """Return what a device of a class costs that is of no known node pool: by the entry without one, if there is any.

    Raise Invalid if several node pools have different prices, since nothing says which is meant.
    """
    wanted = "spot" if spot else "onDemand"
    of_type = [entry for entry in entries if entry.capacity_type == wanted] or list(entries)
    of_all = [entry for entry in of_type if entry.node_pool is None] or of_type
    prices = {_price(entry, billing) for entry in of_all}
    if len(prices) > 1:
        pools = ", ".join(f"{entry.node_pool} {entry.per_hour}" for entry in of_all)
        raise Invalid(
            f"{origin}.classes",
            f"has several prices of {entries[0].device_class} ({pools}), and a plan knows no node pools; add a price "
            "without nodePool",
        )
    (price,) = prices
    if of_all[0].capacity_type != wanted:
        return replace(price, origin=f"as {of_all[0].capacity_type}, the only price of it")
    return price


def _price(entry: ClassPrice, billing: Billing) -> Price:
    rounding = entry.billing or billing
    return Price(hourly=entry.hourly, unit_us=rounding.unit_us, least_us=rounding.least_us)


@dataclass(frozen=True, kw_only=True)
class CostLimit:
    """What a job may be expected to cost, by its maxCost or by what its namespace's budget has left."""

    most: Money
    spent: int = 0
    """What devices did cost that it has given back, in millionths of the currency's unit."""
    is_known: bool = True
    """Whether that is all: the price of none of those is missing."""
    origin: str = MAX_COST
    """The field that says it."""
    clause: str = ""
    """What a budget is and has left, for people; empty for a job's own limit."""

    @property
    def is_budget(self) -> bool:
        """Whether it is what a budget has left."""
        return self.origin != MAX_COST

    @property
    def unspent(self) -> int:
        """How much more keeps to it; negative if nothing does."""
        return self.most.micro_units - self.spent if self.is_known else -1

    def allows(self, micro_units: int) -> bool:
        """Return whether so much more keeps to it."""
        return micro_units <= self.unspent


def cost_limit_of(spec: JobSpec, *, spent: int = 0, is_known: bool = True) -> CostLimit | None:
    """Return what a job may cost; None if it has no maxCost."""
    return None if spec.cost_limit is None else CostLimit(most=spec.cost_limit, spent=spent, is_known=is_known)


@dataclass(frozen=True, kw_only=True)
class PlanCost:
    """What a plan is expected to cost, by cause; as charges, which add up to the total."""

    currency: str
    start_up: int
    """Until the devices are warm: S + W."""
    work: int
    """The steady mini-batches, as long as the model takes."""
    waiting: int
    """What steps are longer because GPUs wait for images."""
    idle: int
    """From a device's last mini-batch to the plan's end."""
    rounding: int
    """What is paid for beyond the time that devices are held."""

    @property
    def charge(self) -> int:
        """All of it."""
        return self.start_up + self.work + self.waiting + self.idle + self.rounding

    @property
    def total(self) -> int:
        """All of it, in millionths of the currency's unit, rounded up."""
        return micro_units(self.charge)

    @property
    def causes(self) -> dict[str, int]:
        """What each cause adds, in millionths of the currency's unit; together the total."""
        charges = {
            "start_up": self.start_up,
            "work": self.work,
            "waiting": self.waiting,
            "idle": self.idle,
            "rounding": self.rounding,
        }
        causes, added, before = {}, 0, 0
        for name, charge in charges.items():
            added += charge
            causes[name] = micro_units(added) - before
            before = micro_units(added)
        return causes


class PaidDevices(PlannedDevices, Protocol):
    """Devices of a plan with when they are expected to be done."""

    @property
    def expected_finish_us(self) -> int: ...


def micro_units(charge: int) -> int:
    """Return a charge in millionths of the currency's unit, rounded up."""
    return -(-charge // HOUR_US)


def cost_of(groups: Sequence[PaidDevices], tariff: Tariff) -> PlanCost | None:
    """Return what these devices cost until the last of them is done; None if the price of one isn't known."""
    end_us = max(group.expected_finish_us for group in groups)
    return cost_of_held([(group, end_us - group.available_us) for group in groups], tariff)


def cost_of_held(held: Iterable[tuple[PlannedDevices, int]], tariff: Tariff) -> PlanCost | None:
    """Return what devices cost that are each held for so long, in microseconds; None if a price isn't known."""
    start_up = work = waiting = idle = rounding = 0
    for group, held_us in held:
        price = tariff.price_of(group.device_class)
        if price is None:
            return None
        each, choice = group.count * price.hourly, group.choice
        steps_us = group.iterations * choice.latency_us
        waits_us = group.iterations * _waiting_us(choice)
        start_up += each * choice.expected_start_us
        work += each * (steps_us - waits_us)
        waiting += each * waits_us
        idle += each * (held_us - choice.expected_start_us - steps_us)
        rounding += each * (price.billed_us(held_us) - held_us)
    return PlanCost(
        currency=tariff.currency, start_up=start_up, work=work, waiting=waiting, idle=idle, rounding=rounding
    )


def _waiting_us(choice: DeviceChoice) -> int:
    """Return how much longer a step is than its model takes, because of images that have to come first.

    A CPU slice decodes with the cores that its model runs on, so there decoding is work.
    """
    alone_us = choice.beside.model_us if choice.beside else (choice.unpaced or choice).latency_us
    return max(0, choice.latency_us - alone_us)
