"""What a job's workers cost: by the devices that they have and had, and since when. Pure.

A job's status has for each class how many devices are paid for since when. Each pass compares that with the workers
that there are: more of them are paid for since their creation, fewer end the oldest entries. So a worker counts whose
Job was deleted between two passes, an operator that starts again goes on where it stopped, and begun hours are paid for
by the device. What a time costs is said by the price alone (dueby_planner/model/cost.py).

A class without a price is named. It is not in the cost, and not taken for 0.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dueby_api.prices import MICRO_UNITS, format_amount
from dueby_api.status import MAX_WINDOWS, DevicesSince, JobStatus, SpentStatus
from dueby_api.units import MICROS_PER_SECOND, format_exact_time, parse_time_us
from dueby_operator.control.conditions import is_over
from dueby_planner.model.cost import Tariff, micro_units
from dueby_planner.schedule.job import WorkerModel

Held = tuple[str, int, int]
"""Device class, number of devices, and a time in microseconds: how long they are held, or since when."""


@dataclass(frozen=True, kw_only=True)
class Bill:
    """What some devices cost."""

    currency: str
    micro_units: int
    """In millionths of the currency's unit."""
    unpriced: tuple[str, ...] = ()
    """Classes whose price isn't known, and that are not in it."""

    @property
    def text(self) -> str:
        """The amount for people; with classes that are not in it, the least that it is."""
        amount = format_amount(self.micro_units, self.currency)
        if not self.unpriced:
            return amount
        missing = f"no price of {', '.join(self.unpriced)}"
        return f"at least {amount} ({missing})" if self.micro_units else missing

    def plus(self, held: Iterable[Held], tariff: Tariff) -> "Bill":
        """Return the same with devices that are held so long beside; of prices in another currency none is known."""
        charge, unpriced = 0, set(self.unpriced)
        for name, count, held_us in held:
            price = tariff.price_of(name) if tariff.currency == self.currency else None
            if price is None:
                unpriced.add(name)
            else:
                charge += count * price.charge(max(0, held_us))
        return Bill(
            currency=self.currency,
            micro_units=self.micro_units + micro_units(charge),
            unpriced=tuple(sorted(unpriced)),
        )


def with_spent(
    status: JobStatus,
    workers: Iterable[WorkerModel],
    tariff: Tariff | None,
    *,
    now_us: int,
    started: Iterable[str] = (),
) -> JobStatus:
    """Return the status with what the job's workers cost until now, and what all of it is expected to cost.

    `started` are the device classes of workers that are created now.
    """
    if tariff is None:
        return status
    created: dict[str, list[int]] = defaultdict(list)
    for worker in () if is_over(status) else workers:
        if not (worker.is_gone or worker.state == "queued"):
            created[worker.assignment.device_class].append(worker.created_us)
    for name in started:
        created[name].append(now_us)
    if status.spent or created:
        spent = status.spent or SpentStatus(currency=tariff.currency)
        status = status.replace(spent=_spent(spent, created, tariff, now_us=now_us))
    bill = expected_bill(status, tariff, now_us=now_us)
    return status.replace(cost=bill.text if bill else None)


def expected_bill(status: JobStatus, tariff: Tariff, *, now_us: int) -> Bill | None:
    """Return what the job will have cost at its expected end; of one that is over, what it did cost.

    None if nothing is known of its devices yet.
    """
    plan, spent = status.plan, status.spent
    if spent is None:
        if plan is None:
            return None
        if plan.cost:
            return Bill(currency=plan.cost.currency, micro_units=round(plan.cost.total * MICRO_UNITS))
        spent = SpentStatus(currency=tariff.currency)
    return _returned(spent).plus(expected_held(status, now_us=now_us), tariff)


def expected_held(status: JobStatus, *, now_us: int) -> list[Held]:
    """Return for how long a job will have had the devices that it has, and those that are reserved, when it ends."""
    plan, end_us = None if is_over(status) else status.plan, now_us
    if plan is not None:
        ends = (status.progress and status.progress.expected_finish) or plan.expected_finish
        end_us = max(now_us, parse_time_us(ends))
    windows = () if plan is None else plan.windows
    times = [(window, parse_time_us(window.from_time), parse_time_us(window.to_time)) for window in windows]
    reserved = [(window.device_class, window.count, min(to_us, end_us) - from_us) for window, from_us, to_us in times]
    present = [] if status.spent is None else present_until(status.spent, end_us)
    return [*present, *reserved]


def present_until(spent: SpentStatus, until_us: int) -> list[Held]:
    """Return for how long a job will have had the devices that it has, if it keeps them until then."""
    return [(name, count, until_us - since_us) for name, count, since_us in map(_since, spent.held)]


def device_us_of(held: Iterable[Held]) -> int:
    """Return for how long these devices are held, added up over them, in device-microseconds."""
    return sum(count * max(0, held_us) for _, count, held_us in held)


def returned_device_us(spent: SpentStatus) -> int:
    """Return for how long a job had devices that it gave back, added up over them, in device-microseconds."""
    return sum(round(time_s * MICROS_PER_SECOND) for time_s in spent.device_seconds.values())


def bill_until(spent: SpentStatus, tariff: Tariff, until_us: int) -> Bill:
    """Return what the devices cost that a job had and has, if it keeps these until then."""
    return _returned(spent).plus(present_until(spent, until_us), tariff)


def _returned(spent: SpentStatus) -> Bill:
    """Return what the devices did cost that a job gave back."""
    return Bill(currency=spent.currency, micro_units=spent.micro_units, unpriced=spent.unpriced)


def _spent(spent: SpentStatus, created: Mapping[str, Sequence[int]], tariff: Tariff, *, now_us: int) -> SpentStatus:
    """Return what is paid for after this pass, by when the workers of each class were created that there are."""
    kept: list[Held] = []
    ended: list[Held] = []
    held = sorted(map(_since, spent.held), key=lambda devices: devices[2])
    for name in sorted({*created, *(name for name, _, _ in held)}):
        own = [devices for devices in held if devices[0] == name]
        times = sorted(created.get(name, ()))
        more = len(times) - sum(count for _, count, _ in own)
        for _, count, since_us in own:
            gone = min(max(0, -more), count)
            more += gone
            if gone:
                ended.append((name, gone, now_us - since_us))
            if count > gone:
                kept.append((name, count - gone, since_us))
        if more > 0:
            # Those that are new in one pass are made within seconds; all are paid for since the first of them.
            kept.append((name, more, times[-more]))
    bill = _returned(spent).plus(ended, tariff)
    seconds = dict(spent.device_seconds)
    for name, count, held_us in ended:
        seconds[name] = round(seconds.get(name, 0) + count * held_us / MICROS_PER_SECOND, 3)
    return SpentStatus(
        currency=bill.currency,
        micro_units=bill.micro_units,
        device_seconds=seconds,
        unpriced=bill.unpriced,
        held=_documents(kept),
    )


def _documents(held: Sequence[Held]) -> tuple[DevicesSince, ...]:
    """Return the devices as a status has them; of too many entries the youngest of a class are one, since the first."""
    entries = list(held)
    while len(entries) > MAX_WINDOWS:
        same = [place for place in range(1, len(entries)) if entries[place - 1][0] == entries[place][0]]
        young = max(same, key=lambda place: entries[place][2])
        (name, count, since_us), (_, more, _) = entries[young - 1 : young + 1]
        entries[young - 1 : young + 1] = [(name, count + more, since_us)]
    return tuple(
        DevicesSince(device_class=name, count=count, since=format_exact_time(since_us))
        for name, count, since_us in entries
    )


def _since(devices: DevicesSince) -> Held:
    return devices.device_class, devices.count, parse_time_us(devices.since)
