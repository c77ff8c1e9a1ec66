"""Other devices and other deadlines: what the run did cost beside its plan and other devices, and the job's curve."""

from collections.abc import Iterator
from dataclasses import dataclass

from dueby.planned_curve import shown_curve
from dueby.report.run import Run
from dueby_api.plan import CostOfOthers
from dueby_api.prices import format_units
from dueby_pages.charts.curve import draw_curve
from dueby_pages.charts.svg import Markup
from dueby_pages.wording import duration, number


@dataclass(frozen=True, kw_only=True)
class BillRow:
    """What the job costs in one way."""

    name: str
    devices: str
    cost: str
    finish: str
    """From the run's start."""


@dataclass(frozen=True, kw_only=True)
class OthersSection:
    """What the section shows."""

    bill: tuple[BillRow, ...]
    """The run, its plan and other devices; empty without prices."""
    curve: Markup | None
    """Devices and cost over the deadline."""


def others_section(run: Run) -> OthersSection | None:
    """Return the section; None if the run's files have neither costs to compare nor a curve."""
    curve = run.summary.curve
    section = OthersSection(bill=tuple(_bill(run)), curve=draw_curve(shown_curve(curve)) if curve else None)
    return section if section.bill or section.curve else None


def _bill(run: Run) -> Iterator[BillRow]:
    """Yield what the run did cost, what it was to cost, and what other devices were to; nothing without a plan's."""
    cost = run.promise.cost
    if run.first is None or cost is None:
        return
    currency = cost.currency
    if run.summary.cost:
        yield BillRow(
            name="this run", devices=number(run.devices), cost=run.summary.cost, finish=duration(run.end_s or None)
        )
    yield BillRow(
        name="its plan",
        devices=number(run.promise.gpus),
        cost=format_units(cost.total, currency),
        finish=duration(run.expected_s),
    )
    others = {"all devices at once": cost.all_devices}
    if cost.cheapest_class:
        others = {f"{cost.cheapest_class.device_class} alone, the cheapest class": cost.cheapest_class, **others}
    for name, beside in others.items():
        if beside:
            yield _beside(name, beside, currency, from_s=run.first.at_seconds)


def _beside(name: str, beside: CostOfOthers, currency: str, *, from_s: float) -> BillRow:
    return BillRow(
        name=name,
        devices=number(beside.gpus),
        cost=format_units(beside.total, currency),
        finish=duration(from_s + beside.expected_seconds),
    )
