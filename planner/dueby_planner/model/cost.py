"""What a plan costs, exactly, and what causes it.

A device is paid for while it is held: from its worker's creation, or from when it is free if that is later, to the
plan's expected finish. A worker that has done its share does what others still have, so none is given back much before
the end.
Of the time d that a device is held, what is begun is paid for: d is rounded up to whole units, and to the least time.

A charge is an integer: a price an hour, in millionths of the currency's unit, times microseconds. Dividing it by an
hour gives millionths. Charges are added and compared as they are, and divided once, at the end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from dueby_api.units import MICROS_PER_SECOND
from dueby_planner.model.capacity import DeviceChoice, PlannedDevices

HOUR_US = 3600 * MICROS_PER_SECOND
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

    def unpriced(self, classes: Sequence[str]) -> tuple[str, ...]:
        """Return those of the classes whose price isn't known, each once."""
        return tuple(dict.fromkeys(name for name in classes if self.price_of(name) is None))


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
    """Return what these devices cost; None if the price of one isn't known."""
    end_us = max(group.expected_finish_us for group in groups)
    start_up = work = waiting = idle = rounding = 0
    for group in groups:
        price = tariff.price_of(group.device_class)
        if price is None:
            return None
        each, choice = group.count * price.hourly, group.choice
        held_us = end_us - group.available_us
        waits_us = group.iterations * _waiting_us(choice)
        start_up += each * choice.expected_start_us
        work += each * (group.iterations * choice.latency_us - waits_us)
        waiting += each * waits_us
        idle += each * (end_us - group.expected_finish_us)
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
