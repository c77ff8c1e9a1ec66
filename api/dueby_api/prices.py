"""What devices cost: the `prices` of a file for `dueby plan --prices`, and amounts of money.

A device is paid for while it is held, from its worker's creation to the job's end. Amounts are integers, in millionths
of the currency's unit, so that no sum depends on the order of its terms. The currency is a word that is carried along.
"""

import re
from decimal import Decimal, InvalidOperation
from typing import Annotated, Literal, NamedTuple

from dueby_api.capacity import ClassName
from dueby_api.schema import Duration, Meta, Spec, field, matching, require_duration
from dueby_api.units import MICROS_PER_SECOND, parse_duration_us

CapacityType = Literal["onDemand", "spot"]
BillingUnit = Literal["second", "minute", "hour"]
MICRO_UNITS = 10**6
"""Millionths in a unit of the currency."""
MAX_HOURLY = 10**6
"""The highest price an hour that is believed, in units of the currency: a device costs some ten thousand to buy."""
UNIT_US = {"second": MICROS_PER_SECOND, "minute": 60 * MICROS_PER_SECOND, "hour": 3600 * MICROS_PER_SECOND}
# What people write, but no number of thousands of digits.
_MAX_AMOUNT = 32
MONEY_PATTERN = r"^[0-9]{1,9}(\.[0-9]{1,6})? [A-Za-z]{1,12}$"
MONEY_SENTENCE = "must be an amount and its currency, such as 12 USD or 0.50 EUR"
MoneyText = Annotated[str, Meta(max_length=32, extra_json_schema={"pattern": MONEY_PATTERN})]


class Money(NamedTuple):
    """An amount of money in its currency."""

    micro_units: int
    """In millionths of the currency's unit."""
    currency: str

    @property
    def text(self) -> str:
        """The amount for people."""
        return format_amount(self.micro_units, self.currency)


class Billing(Spec, frozen=True, kw_only=True):
    """How a device's time is rounded before it is paid for."""

    unit: BillingUnit = "second"
    """What is begun is paid for as a whole: each second, minute or hour."""
    least: Duration | None = None
    """The least time that is paid for, such as 1m; absent: none beyond the unit."""

    def __post_init__(self) -> None:
        require_duration("least", self.least)

    @property
    def unit_us(self) -> int:
        """The unit in microseconds."""
        return UNIT_US[self.unit]

    @property
    def least_us(self) -> int:
        """The least time that is paid for, in microseconds."""
        return 0 if self.least is None else parse_duration_us(self.least)


class ClassPrice(Spec, frozen=True, kw_only=True):
    """What a device of a class costs."""

    device_class: ClassName = field(name="class")
    """Device class."""
    node_pool: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    """Node pool whose devices cost this; absent: those of every pool without an entry of its own."""
    capacity_type: CapacityType = "onDemand"
    """Whether the node stays (onDemand) or may be taken away (spot)."""
    per_hour: str | int | float
    """Price of one device for an hour, its share of the node included: 3.67. A device of your own may cost 0."""
    billing: Billing | None = None
    """How its time is rounded; absent: as all others'."""

    def __post_init__(self) -> None:
        try:
            _ = self.hourly
        except ValueError as error:
            raise ValueError(f"perHour: {error}") from None

    @property
    def hourly(self) -> int:
        """Price an hour in millionths of the currency's unit. Raise ValueError, with a sentence, if it is none."""
        return parse_amount(self.per_hour, most=MAX_HOURLY)


class PriceList(Spec, frozen=True, kw_only=True):
    """Prices by device class, and the names that catalogues of prices have for classes."""

    currency: Annotated[str, matching(r"^[A-Za-z]{1,12}$")] = "USD"
    """The currency's name."""
    billing: Billing = Billing()
    """How time is rounded where a price doesn't say it."""
    classes: Annotated[tuple[ClassPrice, ...], Meta(max_length=1000)] = ()
    """Prices."""
    accelerators: dict[str, Annotated[tuple[ClassName, ...], Meta(min_length=1, max_length=64)]] = field(
        default_factory=dict
    )
    """Of an accelerator's name in a catalogue, the device classes that it means: {A100: [NVIDIA-A100-SXM4-40GB]}."""

    def __post_init__(self) -> None:
        keys = [(price.device_class, price.node_pool, price.capacity_type) for price in self.classes]
        for name, node_pool, capacity_type in keys:
            if keys.count((name, node_pool, capacity_type)) > 1:
                where = f" in node pool {node_pool}" if node_pool else ""
                raise ValueError(f"classes: names {name}{where}, {capacity_type}, twice; give one price")
        if not (self.classes or self.accelerators):
            raise ValueError("classes: is empty, and so is accelerators; give a class with its price")


class PriceFile(Spec, frozen=True, kw_only=True):
    """A file of prices, as `dueby plan --prices` takes it."""

    prices: PriceList
    """The prices."""


def parse_amount(amount: str | int | float, *, most: int) -> int:
    """Return an amount of money in millionths of its unit, rounded to the nearest.

    Raise ValueError, with a sentence, unless it is a number from 0 to `most` units.
    """
    text = str(amount)
    try:
        value = Decimal(text) if len(text) <= _MAX_AMOUNT and not isinstance(amount, bool) else Decimal("NaN")
    except InvalidOperation:
        value = Decimal("NaN")
    if not (value.is_finite() and 0 <= value <= most):
        raise ValueError(f"must be a number from 0 to {most:,}, such as 3.67, but is {text[:_MAX_AMOUNT]!r}")
    return int((value * MICRO_UNITS).to_integral_value())


def parse_money(text: str) -> Money:
    """Return an amount with its currency, such as `12 USD`. Raise ValueError, with a sentence, for other texts."""
    if not re.fullmatch(MONEY_PATTERN, text):
        raise ValueError(f"{MONEY_SENTENCE}, but is {text[:_MAX_AMOUNT]!r}")
    amount, _, currency = text.partition(" ")
    return Money(micro_units=int(Decimal(amount) * MICRO_UNITS), currency=currency)


def format_amount(micro_units: int, currency: str) -> str:
    """Return an amount of money for people: 12.34 USD."""
    return f"{format_number(micro_units)} {currency}"


def format_units(units: float, currency: str) -> str:
    """Return an amount as documents have it, in the currency's unit, for people: 12.34 USD."""
    return format_amount(round(units * MICRO_UNITS), currency)


def format_number(micro_units: int) -> str:
    """Return an amount without its currency, to the cent, or to three digits below one unit: 1,234.56 or 0.00123."""
    units = Decimal(micro_units).scaleb(-6)
    return f"{units:,.2f}" if micro_units >= MICRO_UNITS or not micro_units else f"{Decimal(f'{units:.3g}'):f}"
