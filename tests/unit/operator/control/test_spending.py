"""What a job's workers cost: a small table of passes, and a job in the simulated world that ends with its bill."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from dueby_api.status import DevicesSince, JobStatus, SpentStatus, WindowStatus
from dueby_api.units import format_exact_time, format_time
from dueby_operator.control.spending import Bill, bill_until, with_spent
from dueby_planner.model.cost import HOUR_US, Price, Tariff
from dueby_planner.schedule.job import WorkerModel
from support.decisions import NOW
from support.operator import SECOND, plan_status, worker
from support.shared_cluster import SharedCluster

# A coin a second for a device of a.
COIN = HOUR_US // SECOND
TARIFF = Tariff(currency="EUR", prices={"a": Price(hourly=COIN)})


def alive(count: int, *, since_s: int, name: str = "a") -> list[WorkerModel]:
    return [_created(worker(device_class=name), since_s) for _ in range(count)]


def _created(model: WorkerModel, since_s: int) -> WorkerModel:
    return replace(model, created_us=NOW + since_s * SECOND)


def passes(*seen: tuple[int, Sequence[WorkerModel]], tariff: Tariff = TARIFF) -> SpentStatus:
    """What is paid for after passes at these seconds, which saw these workers."""
    status = JobStatus()
    for at_s, workers in seen:
        status = with_spent(status, workers, tariff, now_us=NOW + at_s * SECOND)
    assert status.spent
    return status.spent


@pytest.mark.parametrize(
    ("seen", "coins", "seconds", "held"),
    [
        pytest.param([(5, alive(2, since_s=3))], 0, 0, [(2, 3)], id="those that it has are not paid yet"),
        pytest.param([(5, alive(2, since_s=3)), (13, [])], 20, 20, [], id="those that are gone, Job and all, are"),
        pytest.param(
            [(5, alive(2, since_s=3)), (7, alive(3, since_s=3)), (13, alive(1, since_s=3))],
            20,
            20,
            [(1, 3)],
            id="of several as many as there are fewer",
        ),
        pytest.param(
            [(5, alive(1, since_s=3)), (9, [*alive(1, since_s=3), *alive(1, since_s=8)]), (10, alive(1, since_s=8))],
            7,
            7,
            [(1, 8)],
            id="the oldest end first",
        ),
    ],
)
def test_devices_are_paid_for_from_their_workers_creation_until_they_are_gone(
    seen: list[tuple[int, list[WorkerModel]]], coins: int, seconds: int, held: list[tuple[int, int]]
) -> None:
    spent = passes(*seen)
    assert spent.micro_units == coins
    assert spent.device_seconds == ({"a": seconds} if seconds else {})
    assert spent.held == tuple(
        DevicesSince(device_class="a", count=count, since=format_exact_time(NOW + since_s * SECOND))
        for count, since_s in held
    )


def test_begun_hours_are_paid_for_by_the_device() -> None:
    hourly = Tariff(currency="EUR", prices={"a": Price(hourly=7, unit_us=HOUR_US)})
    assert passes((1, alive(3, since_s=0)), (60, []), tariff=hourly).micro_units == 21


def test_what_has_no_price_is_named_and_not_taken_for_0() -> None:
    spent = passes((1, [*alive(1, since_s=0), *alive(1, since_s=0, name="b")]), (5, []))
    assert (spent.micro_units, spent.unpriced, spent.device_seconds) == (5, ("b",), {"a": 5, "b": 5})
    assert bill_until(spent, TARIFF, NOW).text == "at least 0.000005 EUR (no price of b)"
    assert Bill(currency="EUR", micro_units=0, unpriced=("b",)).text == "no price of b"
    other = replace(TARIFF, currency="USD")
    assert bill_until(passes((1, alive(1, since_s=0))), other, NOW).text == "no price of a"


def test_many_starts_are_at_most_so_many_entries_and_cost_no_less() -> None:
    seen = [(second, [each for s in range(second + 1) for each in alive(1, since_s=s)]) for second in range(300)]
    spent = passes(*seen)
    assert len(spent.held) == 256
    assert sum(devices.count for devices in spent.held) == 300
    assert bill_until(spent, TARIFF, NOW + 300 * SECOND).micro_units >= sum(range(1, 301))


def test_what_is_expected_is_what_it_had_and_has_and_what_is_reserved() -> None:
    window = WindowStatus(
        device_class="a",
        engine="e",
        from_time=format_exact_time(NOW + 50 * SECOND),
        to_time=format_exact_time(NOW + 90 * SECOND),
        count=2,
        mini_batch_size=1,
        images=1,
    )
    plan = plan_status(format_time(NOW + 60 * SECOND), windows=(window,))
    status = with_spent(JobStatus(plan=plan), alive(1, since_s=0), TARIFF, now_us=NOW + SECOND)
    assert status.cost == "0.000080 EUR", "60 s of one, and 10 s of two"


def test_a_finished_job_says_what_it_did_cost_beside_what_was_expected() -> None:
    cluster = SharedCluster({"n": 4}, tariff=Tariff(currency="EUR", prices={"cpu-1": Price(hourly=3_600_000_000)}))
    cluster.add("j", images=16_000, deadline_s=300)
    cluster.run(2)
    begun = cluster.status("j")
    assert begun.plan
    assert begun.plan.cost
    assert begun.plan.cost.total > 0
    assert float(begun.cost.removesuffix(" EUR")) == pytest.approx(begun.plan.cost.total, abs=4)
    cluster.forget()
    cluster.run(400, until=lambda: cluster.jobs["j"].is_over)
    ended = cluster.status("j")
    assert ended.spent
    assert not ended.spent.held
    (seconds,) = ended.spent.device_seconds.values()
    assert ended.spent.micro_units == pytest.approx(seconds * 1e6, abs=4e6)
    assert ended.cost == f"{ended.spent.micro_units / 1e6:,.2f} EUR"
    assert begun.plan.cost.total == pytest.approx(seconds, rel=0.2)
