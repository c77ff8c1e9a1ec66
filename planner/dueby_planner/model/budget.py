"""A namespace's budget while jobs are placed: what its jobs use of it, what they leave, and when that is enough.

A job counts as a whole. From its plan on it counts with all that it is expected to use, and once it is over with what
it did use, until it has been over for as long as the window. So nobody is promised more than there is, and what a job
waits for is the end of others' windows.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from dueby_api.prices import MICRO_UNITS, Money, format_amount, format_number
from dueby_api.units import MICROS_PER_SECOND, clock_time
from dueby_planner.model.cost import HOUR_US, CostLimit

# What people read of a budget is as coarse as this share of it, so that it rarely changes.
_SHARE = 1000
_DEVICE_HOUR = "device-hours"


class Use(NamedTuple):
    """What devices cost, and for how long they are held."""

    micro_units: int | None = 0
    """In millionths of the currency's unit; None if a price isn't known."""
    device_us: int = 0
    """Device-microseconds."""

    def plus(self, other: "Use") -> "Use":
        """Return both together."""
        is_priced = self.micro_units is not None and other.micro_units is not None
        micro_units = (self.micro_units or 0) + (other.micro_units or 0) if is_priced else None
        return Use(micro_units, self.device_us + other.device_us)


NOTHING = Use()


class Expense(NamedTuple):
    """What a job uses of its namespace's budget."""

    use: Use
    ends_us: int
    """When the job ended, or is expected to, in microseconds since 1970."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """The budget of one namespace, and what its jobs use of it."""

    namespace: str
    entry: str
    """Under which name `budgets` has it: the namespace, or `*`."""
    window: str
    """Its window as people wrote it."""
    window_us: int
    money: Money | None = None
    """What the jobs may cost; None: no limit."""
    device_us: int | None = None
    """For how long they may have devices, in device-microseconds; None: no limit."""
    past: tuple[Expense, ...] = ()
    """Of jobs that are over, and not yet for the length of the window."""
    current: Mapping[str, Expense] = field(default_factory=dict)
    """Of jobs that have devices or are promised some, by name."""

    def used_beside(self, name: str) -> Use:
        """Return what all jobs but this one use."""
        return _sum(self._others(name))

    @property
    def used_shares(self) -> dict[str, float]:
        """How much of each limit all jobs use, by its name in `budgets`. A limit of nothing is used up.

        More than 1 if jobs took more than was expected of them. Without `cost` if a price isn't known.
        """
        used = _sum((*self.past, *self.current.values()))
        shares: dict[str, float] = {}
        if self.money is not None and used.micro_units is not None:
            shares["cost"] = used.micro_units / self.money.micro_units if self.money.micro_units else 1.0
        if self.device_us is not None:
            shares["deviceHours"] = used.device_us / self.device_us if self.device_us else 1.0
        return shares

    def allows(self, name: str, use: Use) -> bool:
        """Return whether the others leave so much for this job."""
        return self._holds(self.used_beside(name).plus(use))

    def _holds(self, use: Use) -> bool:
        costs_too_much = self.money is not None and (
            use.micro_units is None or use.micro_units > self.money.micro_units
        )
        return not costs_too_much and (self.device_us is None or use.device_us <= self.device_us)

    def enough_us(self, name: str, use: Use) -> int | None:
        """Return when the window has moved on far enough for this use, in microseconds since 1970.

        0: it has; None: it never will, since the use is more than the whole budget.
        """
        if not self._holds(use):
            return None
        total = use
        for expense in sorted(self._others(name), key=lambda other: -other.ends_us):
            total = total.plus(expense.use)
            if not self._holds(total):  # those that end later leave enough, and this one doesn't
                return expense.ends_us + self.window_us
        return 0

    def _others(self, name: str) -> list[Expense]:
        return [*self.past, *(expense for other, expense in self.current.items() if other != name)]

    def with_past(self, expenses: Iterable[Expense]) -> "Account":
        """Return the account with the use of jobs that are gone beside."""
        return replace(self, past=(*self.past, *expenses))

    def with_expense(self, name: str, expense: Expense) -> "Account":
        """Return the same once a job uses so much."""
        return replace(self, current={**self.current, name: expense})


@dataclass(frozen=True, kw_only=True)
class Room:
    """What one job may have of its namespace's budget."""

    account: Account
    name: str
    """The job's name."""
    spent: Use = NOTHING
    """What it used for devices that it gave back."""
    now_us: int

    def allows(self, use: Use) -> bool:
        """Return whether the job may use so much beside what it has spent."""
        return self.account.allows(self.name, self.spent.plus(use))

    @property
    def cost_limit(self) -> CostLimit | None:
        """What the job may cost at most, as if it were its maxCost; None: the budget has no limit of money."""
        account = self.account
        if account.money is None:
            return None
        unused = _unused(account.money.micro_units, account.used_beside(self.name).micro_units)
        return CostLimit(
            most=Money(unused, account.money.currency),
            spent=self.spent.micro_units or 0,
            origin=f"budgets.{account.entry}.cost",
            clause=self._money_clause(),
        )

    def enough_us(self, use: Use) -> int | None:
        """Return when the job may use so much beside what it has spent, as Account.enough_us()."""
        return self.account.enough_us(self.name, self.spent.plus(use))

    def sentence(self, use: Use) -> str:
        """Return what the job would use, and what is left of the budget, where that is too little."""
        account, whole = self.account, self.spent.plus(use)
        others = account.used_beside(self.name)
        sentences = []
        if account.money is not None:
            cost = others.plus(whole).micro_units
            if cost is None or cost > account.money.micro_units:
                needed = (
                    "The job's cost isn't known"
                    if whole.micro_units is None
                    else f"The job is expected to cost {format_amount(whole.micro_units, account.money.currency)}"
                )
                sentences.append(f"{needed}; {self._money_clause()}.")
        if account.device_us is not None and others.device_us + whole.device_us > account.device_us:
            needed = f"The job is expected to take {_hours(whole.device_us)}"
            sentences.append(f"{needed}; {self.hours_clause()}.")
        return " ".join((*sentences, self.when_sentence(use)))

    def when_sentence(self, use: Use) -> str:
        """Return when enough of the budget is free."""
        enough_us = self.enough_us(use)
        if enough_us is None:
            return "That is more than the whole budget. Set a later deadline, lower images, or raise the budget."
        step_us = max(MICROS_PER_SECOND, self.account.window_us // _SHARE)
        at = clock_time(-(-enough_us // step_us) * step_us, now_us=self.now_us)
        return f"Enough of it is free at {at}, if no other job takes it until then."

    def _money_clause(self) -> str:
        money = self.account.money
        if money is None:
            return ""
        unused = _coarse(money.micro_units, self.account.used_beside(self.name).micro_units)
        return self._clause("cost", money.text, format_amount(unused, money.currency))

    def hours_clause(self) -> str:
        """Return how many device-hours the budget has, and how many of them are left; empty if it doesn't say."""
        whole = self.account.device_us
        if whole is None:
            return ""
        unused = _coarse(whole, self.account.used_beside(self.name).device_us)
        return self._clause("deviceHours", _hours(whole), _hours(unused))

    def _clause(self, limit: str, whole: str, unused: str) -> str:
        namespace, entry, window = self.account.namespace, self.account.entry, self.account.window
        return (
            f"the budget of the namespace {namespace} (budgets.{entry}.{limit}) is {whole} in {window}, of which "
            f"{unused} are left"
        )


def _sum(expenses: Iterable[Expense]) -> Use:
    total = NOTHING
    for expense in expenses:
        total = total.plus(expense.use)
    return total


def _unused(whole: int, used: int | None) -> int:
    return 0 if used is None else max(0, whole - used)


def _coarse(whole: int, used: int | None) -> int:
    """Return what is left, rounded down."""
    step = max(1, whole // _SHARE)
    return _unused(whole, used) // step * step


def _hours(device_us: int) -> str:
    return f"{format_number(device_us * MICRO_UNITS // HOUR_US)} {_DEVICE_HOUR}"
