"""One job of the calendar on the devices that cost least: alone as its plan, beside others, and when placed again."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dueby_api.inference_job import DeadlineClass
from dueby_planner.model.cheapest import plan_cheapest
from dueby_planner.model.plan import Plan
from dueby_planner.model.problem import Problem
from dueby_planner.schedule.calendar_job import CalendarJob, Placement
from dueby_planner.schedule.free_devices import CLASSES, CalendarPool, Free, idle_pool
from dueby_planner.schedule.place_by_cost import least_charge
from dueby_planner.schedule.place_job import place_job
from dueby_planner.schedule.reservation import Reservation, cost_of_windows
from support.calendar import again, always, online, placement, steps
from support.examples import examples
from support.planner import choice, group
from support.priced import asked, small_problems, tariff

# A slow device does half of what a fast one does, and costs less than a third of it.
FAST, SLOW = group(choice(10, 10, 10), name="fast", count=4), group(choice(5, 10, 10), name="slow", count=6)
PRICES = tariff(fast=10, slow=3)
POOL = {"fast": 4, "slow": 6}


def wanted(
    images: int = 100, time: int = 100, *, name: str = "job", deadline_class: DeadlineClass = "Hard", **changes: object
) -> CalendarJob:
    """Return a job of least cost on both classes; in 100 us a fast device does 100 images and a slow one 50."""
    problem = asked(FAST, SLOW, images=images, time=time, prices=PRICES, **changes)
    return CalendarJob(name=name, deadline_class=deadline_class, problem=problem)


def devices(found: Placement | Reservation) -> dict[str, int]:
    """Return how many devices of each class are held, whenever."""
    counts = Counter[str]()
    for lane in found.reservation if isinstance(found, Placement) else found:
        counts[lane.group] += lane.count
    return dict(counts)


def charge_of(reservation: Reservation, job: CalendarJob) -> int:
    """Return what the windows are expected to cost."""
    cost = cost_of_windows(reservation, job.problem, job.class_of)
    assert cost is not None
    return cost.charge


def pool_with(free: Free, whole: Mapping[str, int] = POOL) -> CalendarPool:
    """Return the devices, of which others have some."""
    tables = dict.fromkeys(CLASSES, free)
    return replace(idle_pool(whole), free=tables, expected=tables)


@pytest.mark.parametrize(
    ("job", "free", "held"),
    [
        pytest.param(
            replace(wanted(), problem=replace(wanted().problem, objective="MinGPUs")),
            always(POOL),
            {"fast": 1},
            id="for the fewest devices: the dear class",
        ),
        pytest.param(wanted(), always(POOL), {"slow": 2}, id="for the least cost: the cheap one"),
        pytest.param(wanted(time=30), always(POOL), {"fast": 1, "slow": 5}, id="a tight deadline forces the dear one"),
        pytest.param(wanted(350), always(POOL), {"fast": 1, "slow": 5}, id="as few dear ones as it takes"),
        pytest.param(
            wanted(), {"fast": steps((0, 4)), "slow": steps((0, 0), (20, 6))}, {"slow": 3}, id="cheap ones come free"
        ),
        pytest.param(
            wanted(), {"fast": steps((0, 4)), "slow": steps((0, 0), (95, 6))}, {"fast": 1}, id="they come too late"
        ),
        pytest.param(
            wanted(), {"fast": steps((0, 4)), "slow": steps((0, 6), (60, 0))}, {"slow": 4}, id="they are taken then"
        ),
        pytest.param(wanted(deadline_class="Relaxed"), always(POOL), {"slow": 2}, id="a Relaxed job, too"),
        pytest.param(wanted(max_gpus=1), always(POOL), {"fast": 1}, id="within gpus.max"),
    ],
)
def test_a_job_has_the_cheapest_devices_that_are_in_time(job: CalendarJob, free: Free, held: Mapping[str, int]) -> None:
    found = placement(online(pool_with(free), job), "job")
    assert found.is_in_time
    assert devices(found) == held


def test_no_job_is_late_because_another_one_wants_the_cheap_devices() -> None:
    only_slow = CalendarJob(
        name="other", deadline_class="Hard", problem=asked(SLOW, images=300, time=101, prices=PRICES)
    )
    calendar = online(idle_pool(POOL), wanted(), only_slow)
    assert all(found.is_in_time for found in calendar.placements)
    assert devices(placement(calendar, "job")) == {"fast": 1}
    assert devices(placement(calendar, "other")) == {"slow": 6}


def test_what_was_given_before_is_kept_though_cheaper_devices_are_free_now() -> None:
    dear = online(pool_with({"fast": steps((0, 4)), "slow": steps((0, 0))}), wanted())
    found = placement(online(idle_pool(POOL), *again(dear)), "job")
    assert (found.kept, devices(found)) == (True, {"fast": 1})


def test_devices_of_several_groups_have_the_price_of_their_class() -> None:
    problem = asked(
        replace(FAST, count=1), replace(SLOW, device_class="slow#2", count=1), SLOW, images=350, time=100, prices=PRICES
    )
    job = CalendarJob(name="job", deadline_class="Hard", problem=problem, classes={"slow#2": "slow"})
    found = placement(online(idle_pool({"fast": 1, "slow#2": 1, "slow": 6}), job), "job")
    assert devices(found) == {"slow": 6, "slow#2": 1}


# ---- against the plan alone, and the places that it is chosen from


@st.composite
def taken_pools(draw: st.DrawFn) -> tuple[Problem, Free]:
    """Draw a small problem, and when devices of its classes are free."""
    problem = draw(small_problems())
    # What takes no time at all costs a plan nothing, and no window is as short.
    assume(all(size.expected_start_us for each in problem.pool.groups for size in each.choices))
    groups = tuple(replace(each, available_us=0) for each in problem.pool.groups)
    times = st.lists(st.integers(1, problem.time_us), max_size=2, unique=True).map(sorted)
    free = {
        each.device_class: steps(
            (0, draw(st.integers(0, each.count))), *((at, draw(st.integers(0, each.count))) for at in draw(times))
        )
        for each in groups
    }
    return replace(problem, pool=replace(problem.pool, groups=groups)), free


@examples(300)
@given(taken_pools())
def test_no_place_costs_more_than_that_of_the_fewest_devices_or_less_than_the_bound(
    drawn: tuple[Problem, Free],
) -> None:
    problem, free = drawn
    job = CalendarJob(name="job", deadline_class="Hard", problem=problem)
    fewest = place_job(replace(job, problem=replace(problem, objective="MinGPUs")), free)
    cheapest = place_job(job, free)
    assert (fewest is None) == (cheapest is None)
    if fewest is None or cheapest is None:
        return
    assert least_charge(job) <= charge_of(cheapest, job) <= charge_of(fewest, job)
    online(pool_with(free, {each.device_class: each.count for each in problem.pool.groups}), job)


@examples(300)
@given(taken_pools())
def test_on_idle_devices_it_costs_no_more_than_the_cheapest_plan(drawn: tuple[Problem, Free]) -> None:
    problem, _ = drawn
    job = CalendarJob(name="job", deadline_class="Hard", problem=problem)
    place = place_job(job, always({each.device_class: each.count for each in problem.pool.groups}))
    plan = plan_cheapest(problem)
    assert (place is not None) == isinstance(plan, Plan)
    if place is not None and isinstance(plan, Plan):
        assert plan.cost is not None
        assert charge_of(place, job) <= plan.cost.charge
