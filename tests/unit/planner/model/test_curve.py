"""The curve: its points are what plans would be, it begins at the earliest deadline, and its knee is where it says."""

from dataclasses import replace

import pytest

from dueby_planner.deadline_classes import make_plan
from dueby_planner.model.cost import HOUR_US, Price, Tariff
from dueby_planner.model.curve import JobCurve, Over, curve_of
from dueby_planner.model.plan import Plan
from dueby_planner.model.problem import Problem
from support.planner import choice, group, planned, problem, store_feed

SECOND = 10**6
PRICES = Tariff(
    currency="USD", prices={"fast": Price(hourly=9 * HOUR_US), "slow": Price(hourly=2 * HOUR_US, least_us=60 * SECOND)}
)


def asked(*, images: int = 30_000, seconds: int = 60, **changes: object) -> Problem:
    """Return a problem on four fast and nine slow devices that start in 5 s."""
    fast = group(choice(64, SECOND // 4, 5 * SECOND), name="fast", count=4)
    slow = group(choice(16, SECOND // 4, 5 * SECOND), name="slow", count=9)
    return problem(
        fast,
        slow,
        images=images,
        time=seconds * SECOND,
        confidence=0.95,
        run=0.01,
        node=0.02,
        **changes,
    )


@pytest.mark.parametrize("over", ["time", "images"])
def test_each_point_is_what_a_plan_for_it_would_be(over: Over) -> None:
    curve = curve_of(asked(tariff=PRICES), over=over, points=12)
    assert len(curve.points) >= 12
    for point in curve.points:
        own = replace(curve.problem, time_us=point.time_us, images=point.images)
        plan = planned(own)
        assert point.fewest is not None
        assert point.fewest.gpus == plan.gpus
        assert point.cheapest is not None
        cheapest = planned(replace(own, objective="MinCost"))
        assert cheapest.cost is not None
        assert (point.cost_bound or 0) <= cheapest.cost.total <= (point.cheapest.cost or 0)
        for name in ("fast", "slow"):
            alone = make_plan(
                replace(own, pool=replace(own.pool, groups=tuple(g for g in own.pool.groups if g.device_class == name)))
            )
            assert (point.alone[name].gpus if name in point.alone else None) == (
                alone.gpus if isinstance(alone, Plan) else None
            )


def test_over_time_it_begins_at_the_earliest_deadline_and_has_the_job_s_own() -> None:
    curve = curve_of(asked(tariff=PRICES), points=30)
    times = [point.time_us for point in curve.points]
    assert times == sorted(times)
    assert times[0] == curve.problem.earliest_us()
    assert curve.problem.time_us in times


def test_over_images_it_ends_at_the_most_that_can_be_done() -> None:
    curve = curve_of(asked(), over="images", points=30)
    assert curve.points[-1].images == curve.problem.largest_images()
    assert curve.knee is None
    assert curve.currency is None


def test_after_the_knee_no_point_saves_a_tenth_and_before_it_one_does() -> None:
    curve = curve_of(asked(tariff=PRICES), points=60)
    knee = curve.knee
    assert knee is not None
    costs = [(point.time_us, point.cheapest.cost) for point in curve.points if point.cheapest and point.cheapest.cost]
    least = min(cost for time_us, cost in costs if time_us >= knee.time_us)
    assert next(cost for time_us, cost in costs if time_us == knee.time_us) * 9 <= least * 10
    before = [(time_us, cost) for time_us, cost in costs if time_us < knee.time_us]
    assert all(min(c for t, c in costs if t >= time_us) * 10 < cost * 9 for time_us, cost in before)


def test_a_class_without_a_price_has_devices_and_no_cost() -> None:
    curve = curve_of(asked(tariff=Tariff(currency="EUR", prices={"slow": Price(hourly=HOUR_US)})), points=5)
    last = curve.points[-1]
    assert last.alone["fast"].cost is None
    assert last.alone["slow"].cost is not None
    assert last.fewest is not None
    assert last.fewest.cost is None
    assert curve.currency == "EUR"


def test_what_a_store_gives_bounds_every_deadline() -> None:
    curve = curve_of(asked(feed=store_feed(300), seconds=200), points=5)
    assert curve.store_bound_us == 100 * SECOND
    assert curve.points[0].time_us >= 100 * SECOND


def test_what_is_never_possible_has_no_point() -> None:
    never = asked(max_iterations=0)
    assert curve_of(never, points=5) == JobCurve(problem=never, over="time", points=())
