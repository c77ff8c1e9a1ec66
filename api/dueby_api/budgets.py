"""Budgets of namespaces: what the jobs of one may cost, and for how long they may have devices, in a sliding window.

`budgets` in the chart's values are these, by namespace. Amounts are integers: millionths of the currency's unit, and
device-microseconds.
"""

from collections.abc import Mapping
from typing import Annotated

from dueby_api.prices import MICRO_UNITS, Money, MoneyText, parse_amount, parse_money
from dueby_api.schema import Duration, Meta, Spec, require_duration
from dueby_api.units import MICROS_PER_SECOND, parse_duration_us

ANY_NAMESPACE = "*"
"""In place of a namespace: those that are not named, each for itself."""
MAX_DEVICE_HOURS = 10**9
"""A budget of more is none: no cluster has so many in a year."""
_DEVICE_HOUR_US = 3600 * MICROS_PER_SECOND


class NamespaceBudget(Spec, frozen=True, kw_only=True):
    """What the jobs of a namespace may use together in any window of this length."""

    window: Duration
    """Length of the window, such as 720h. A job counts until it has been over for as long."""
    cost: MoneyText | None = None
    """What the jobs may cost, such as 500 USD, in the currency of the prices."""
    device_hours: Annotated[float, Meta(ge=0, le=MAX_DEVICE_HOURS)] | None = None
    """For how many hours the jobs may have devices, added up over the devices."""

    def __post_init__(self) -> None:
        require_duration("window", self.window)
        if self.cost is None and self.device_hours is None:
            raise ValueError("cost: is missing, and so is deviceHours; give one of them or both")
        try:
            _ = self.money
        except ValueError as error:
            raise ValueError(f"cost: {error}") from None

    @property
    def window_us(self) -> int:
        """The window in microseconds."""
        return parse_duration_us(self.window)

    @property
    def money(self) -> Money | None:
        """What the jobs may cost; None: no limit."""
        return None if self.cost is None else parse_money(self.cost)

    @property
    def device_us(self) -> int | None:
        """For how long the jobs may have devices, in device-microseconds; None: no limit."""
        if self.device_hours is None:
            return None
        return parse_amount(self.device_hours, most=MAX_DEVICE_HOURS) * (_DEVICE_HOUR_US // MICRO_UNITS)


class BudgetList(Spec, frozen=True, kw_only=True):
    """The value of the operator's option --budgets."""

    budgets: Annotated[dict[str, NamespaceBudget], Meta(max_length=1000)]
    """By namespace; `*`: each namespace that is not named."""


def budget_of(budgets: Mapping[str, NamespaceBudget], namespace: str) -> tuple[str, NamespaceBudget] | None:
    """Return the name under which the namespace has a budget, and the budget; None if it has none."""
    name = namespace if namespace in budgets else ANY_NAMESPACE
    return (name, budgets[name]) if name in budgets else None
