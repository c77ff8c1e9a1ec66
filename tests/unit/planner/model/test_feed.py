"""What feeds the devices: the closed form against the solver and every division of the pool, and the exact check."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import product
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

import support.reference_planner as reference
from dueby_api.input_cost import InputCost
from dueby_api.store_limits import StoreLimits
from dueby_planner.deadline_classes import make_plan
from dueby_planner.model.capacity import PoolGroup
from dueby_planner.model.feed import feed_of, more_fed, paced, paced_groups, rate_of, rate_of_group, read_rates
from dueby_planner.model.plan import Infeasible, Plan, plan_earliest
from dueby_planner.model.problem import Problem
from dueby_planner.model.verify import WrongPlan, verify_feed
from dueby_planner.schedule.calendar_job import needed_us
from support.examples import examples
from support.planner import choice, group, job, planned, problem, problem_of, questions, store_feed
from support.reference_planner import Kind, Question, Size

MICRO = 10**6


def fed(question: Question, images_per_s: int) -> Problem:
    """Return the question as the product takes it, with such a store."""
    return replace(problem_of(question), feed=store_feed(images_per_s))


# ---- the reference: every division of the pool, by a single pace for all devices


def rate(size: Size) -> Fraction:
    """Return b / L in images a second."""
    return Fraction(size.batch, size.latency) * MICRO


def fastest(kind: Kind) -> Fraction:
    """Return the largest rate of a kind's devices."""
    return max(rate(size) for size in kind.usable)


def at_pace(kind: Kind, pace: Fraction) -> Kind:
    """Return the kind with steps that are long enough for the pace, and first steps that are longer by as much."""

    def slower(size: Size) -> Size:
        latency = max(size.latency, ceil(size.batch * MICRO / pace))
        warmup = next(s.warmup for s in kind.sizes if s.batch >= size.batch and s.warmup is not None)
        grown = latency - min(size.latency, warmup[0]) if latency > size.latency else 0
        return Size(batch=size.batch, latency=latency, warmup=(warmup[0] + grown, warmup[1] + grown))

    return replace(kind, sizes=tuple(slower(size) for size in kind.usable))


def divisions(question: Question, gpus: int) -> Iterator[tuple[int, ...]]:
    """Yield how many devices of each kind there may be."""
    for counts in product(*(range(kind.count + 1) for kind in question.kinds)):
        if sum(counts) == gpus:
            yield counts


def pace_of(rates: list[Fraction], given: Fraction) -> Fraction:
    """Return the largest pace at which devices of these rates together take no more than is given."""
    if sum(rates) <= given:
        return max(rates)
    ascending = sorted(rates)
    for place in range(len(ascending)):
        pace = (given - sum(ascending[:place])) / (len(ascending) - place)
        if pace <= ascending[place]:
            return pace
    raise AssertionError("the slowest takes no more than its share, or all have the same pace")


def is_enough(question: Question, counts: tuple[int, ...], given: Fraction) -> bool:
    """Return whether the devices do the images with what the store gives the counted ones of them."""
    rates = [min(given, fastest(kind)) for kind, n in zip(question.kinds, counts, strict=True) for _ in range(n)]
    counted = sorted(rates, reverse=True)[: len(rates) - question.reserve]
    pace = pace_of(counted, given)
    able = []
    for kind, n in zip(question.kinds, counts, strict=True):
        slower = at_pace(kind, pace)
        able += [max(reference.capacity(question, slower, size, question.time) for size in slower.sizes)] * n
    return reference.is_accepted(question, able)


def fewest_of_all(question: Question, given: Fraction) -> int | None:
    """Return the least number of devices that are enough in any division; None if none are."""
    return next(
        (
            gpus
            for gpus in range(1 + question.reserve, question.allowed + 1)
            if any(is_enough(question, counts, given) for counts in divisions(question, gpus))
        ),
        None,
    )


def shares(question: Question, percent: int) -> int:
    """Return a store that gives such a share of what the pool could take."""
    return max(1, int(sum(kind.count * fastest(kind) for kind in question.kinds)) * percent // 100)


@examples(400)
@given(questions(max_kinds=1), st.integers(5, 130))
def test_of_one_class_the_closed_form_the_solver_and_trying_everything_agree(question: Question, percent: int) -> None:
    given_ = shares(question, percent)
    asked = fed(question, given_)
    found = make_plan(asked)
    least = fewest_of_all(question, Fraction(given_))
    if isinstance(found, Infeasible):
        # More than the store feeds are planned by nobody, though each of them loses less by rounding.
        full = max(way.most for way in asked.ways)
        assert least is None or least > full
        return
    assert found.gpus == found.lower_bound == least
    assert found.proof == "ClosedForm+CBC"


@examples(200)
@given(questions(max_kinds=3, max_gpus=3), st.integers(5, 130))
def test_of_several_classes_a_plan_is_as_good_as_any_division_wherever_it_says_so(
    question: Question, percent: int
) -> None:
    given_ = shares(question, percent)
    found = make_plan(fed(question, given_))
    least = fewest_of_all(question, Fraction(given_))
    if isinstance(found, Plan):
        assert least is not None
        assert found.lower_bound <= least <= found.gpus
        assert found.proof == "ClosedForm+CBC"
        counted = sorted((rate_of(g.choice) for g in found.groups for _ in range(g.count)), reverse=True)
        assert sum(counted[: found.gpus - question.reserve]) <= given_ * MICRO


@examples(200)
@given(questions(max_kinds=2), st.integers(5, 130), st.data())
def test_with_more_time_fewer_images_or_a_faster_store_no_more_devices_are_needed(
    question: Question, percent: int, data: st.DataObject
) -> None:
    given_ = shares(question, percent)
    easier = replace(
        question,
        time=question.time + data.draw(st.integers(0, 100)),
        images=data.draw(st.integers(1, question.images)),
    )
    now, then = fed(question, given_).fewest(), fed(easier, given_ + data.draw(st.integers(0, given_))).fewest()
    assert now is None or (then is not None and then <= now)


@examples(200)
@given(questions(max_kinds=2), st.integers(5, 130))
def test_the_earliest_time_is_the_first_at_which_there_is_a_plan(question: Question, percent: int) -> None:
    asked = fed(question, shares(question, percent))
    earliest = asked.earliest_us()
    if earliest is not None:
        assert replace(asked, time_us=earliest).fewest() is not None
        assert replace(asked, time_us=earliest - 1).fewest() is None


# ---- what a job asks of its store


def test_a_device_takes_its_largest_steady_rate_and_no_more_than_the_store_gives() -> None:
    slow = group(choice(10, 1_000_000), choice(30, 2_000_000), name="slow", count=2)
    fast = group(choice(64, 6_400), name="fast")
    asked = store_feed(5_500, bytes_per_image=Fraction(80_000))
    assert rate_of_group(slow) == 15 * MICRO
    assert rate_of_group(fast) == 10_000 * MICRO
    alone = [rate_of_group(each) for each in paced_groups([slow, fast], asked.rate)]
    assert alone[0] == 15 * MICRO
    # Steps are whole microseconds: the next shorter ones would take more than there is.
    assert 5_499 * MICRO < alone[1] <= asked.rate == 5_500 * MICRO
    assert asked.in_tars().requests_per_image == Fraction(80_000, 4 << 20)


def test_the_narrowest_limit_is_what_the_store_gives() -> None:
    spec = job(source={"uri": "s3://bucket/*.jpg", "limits": {"bytesPerSecond": 80_000_000}}).spec
    assert (before_the_sample := feed_of(spec)) is not None
    assert (before_the_sample.images_per_s, before_the_sample.narrowest.name) == (5_500, "s3://bucket")
    assert (sampled := feed_of(spec, InputCost(bytes_per_image=80_000))) is not None
    assert (sampled.images_per_s, sampled.narrowest.name, sampled.is_bound_by_bytes) == (
        1_000,
        "spec.source.limits",
        True,
    )
    assert sampled.least_us(364_000) == 364_000_000


def test_what_nothing_limits_has_no_feed() -> None:
    assert feed_of(job(source={"uri": "s3://photos/"}).spec, stores=[StoreLimits(prefix="s3://")]) is None
    assert feed_of(job(source={"uri": "/photos", "limits": {"bytesPerSecond": 5}}).spec) is None, "of unknown sizes"


# ---- how it is divided


def gpus(rate: int, *, name: str = "gpu", count: int = 4, batch: int = 100, warmup: int | None = None) -> PoolGroup:
    """Return devices that take so many images a second."""
    step = batch * MICRO // rate
    return group(choice(batch, step, step if warmup is None else warmup), name=name, count=count)


def test_two_devices_that_the_store_does_not_feed_in_full_share_it() -> None:
    asked = problem(gpus(2_500, count=8), images=400_000, time=100_000_000)
    assert planned(asked).gpus == 2, "without a limit, 5,000 a second"
    plan = planned(replace(asked, feed=store_feed(4_100)))
    assert (plan.gpus, plan.lower_bound, plan.proof, plan.is_paced) == (2, 2, "ClosedForm+CBC", True)
    (of_plan,) = plan.groups
    assert rate_of(of_plan.choice) / MICRO == pytest.approx(2_050, rel=1e-4)
    assert plan.expected_finish_us >= 400_000 * MICRO // 4_100


def test_more_devices_than_the_store_feeds_are_never_planned() -> None:
    asked = problem(gpus(2_500, count=8), images=420_000, time=100_000_000, feed=store_feed(4_100))
    assert asked.fewest() is None
    assert replace(asked, feed=None).fewest() == 2
    refused = make_plan(asked)
    assert isinstance(refused, Infeasible)
    assert refused.alternatives.extra_gpus == {"gpu": None}
    late = plan_earliest(asked)
    assert late is not None
    assert late.gpus == 2


def test_a_single_device_takes_no_more_than_the_store_gives() -> None:
    plan = planned(problem(gpus(10_000), images=500_000, time=100_000_000, feed=store_feed(5_500)))
    assert plan.gpus == 1
    assert plan.is_paced
    assert plan.expected_finish_us >= 500_000 * MICRO // 5_500


def test_a_fast_device_that_comes_late_does_not_bar_slow_ones() -> None:
    late = replace(gpus(10_000, name="fast"), available_us=1_000_000_000)
    asked = problem(late, gpus(50, name="slow", count=50), images=200_000, time=100_000_000, feed=store_feed(5_500))
    plan = planned(asked)
    assert [each.device_class for each in plan.groups] == ["slow"]
    assert not plan.is_paced


def test_a_fast_and_a_slow_class_that_the_store_feeds_are_planned_at_full_rate() -> None:
    pool = (gpus(4_000, name="fast", count=1), gpus(1_000, name="slow"))
    plan = planned(problem(*pool, images=480_000, time=100_000_000, feed=store_feed(5_500)))
    assert (plan.gpus, plan.is_paced, plan.rate) == (2, False, 5_000 * MICRO)


@pytest.mark.parametrize(
    ("images_per_s", "most", "of_thirteen", "is_paced"),
    [
        pytest.param(100_000, 8, 13, False, id="all that there are"),
        pytest.param(12_000, 4, 4, False, id="four of which are fed in full"),
        pytest.param(4_100, 2, 2, True, id="two that share it"),
    ],
)
def test_a_job_that_is_placed_beside_others_has_devices_that_keep_to_the_store(
    images_per_s: int, most: int, of_thirteen: int, is_paced: bool
) -> None:
    store = store_feed(images_per_s)
    placed = problem(gpus(2_500, count=8), images=400_000, time=100_000_000, feed=store).within_feed()
    assert placed.most == most
    ((device,),) = (group.choices for group in placed.groups)
    assert (device.unpaced is not None) is is_paced
    assert placed.most * rate_of(device) <= store.rate or not is_paced
    assert placed.fewest() == 2
    assert placed.with_more("gpu", 5).most == of_thirteen, "more than the store feeds are of no use"


def test_a_store_that_divides_a_pool_takes_no_device_time_away_from_a_proof() -> None:
    free = problem(gpus(2_500, count=8), images=400_000, time=100_000_000)
    shared = replace(free, feed=store_feed(4_100)).within_feed()
    assert needed_us(shared) == needed_us(free)


def test_what_paced_workers_show_is_compared_with_the_measured_step() -> None:
    plan = planned(problem(gpus(2_500, count=8), images=400_000, time=100_000_000, feed=store_feed(4_100)))
    chosen = plan.groups[0].choice
    assert chosen.unpaced is not None
    assert chosen.step_ratio == pytest.approx(chosen.latency_us / chosen.unpaced.latency_us)
    assert chosen.at_ratio(1.0).latency_us == chosen.unpaced.latency_us


def test_devices_of_a_reserve_come_on_top_of_those_that_the_store_feeds() -> None:
    asked = problem(gpus(10_000), images=400_000, time=100_000_000, feed=store_feed(5_500), reserve=1)
    assert planned(asked).gpus == 2


@pytest.mark.parametrize(
    ("taken", "more"),
    [
        pytest.param([], 2, id="nobody is there"),
        pytest.param([2_050], 1, id="one of two was lost"),
        pytest.param([2_050, 2_040], 0, id="two share all but some images a second"),
        pytest.param([2_500, 2_500], 0, id="the store gives more than it promises"),
    ],
)
def test_helpers_are_added_as_far_as_the_store_feeds_them(taken: list[int], more: int) -> None:
    assert more_fed(store_feed(4_100), [gpus(2_500)], [each * MICRO for each in taken]) == more


@pytest.mark.parametrize(
    ("rates", "taken", "read"),
    [
        pytest.param([100, 100], 0, [500, 500], id="all that the store gives is shared by devices that take less"),
        pytest.param([300, 100], 0, [750, 250], id="in the ratio of what they take"),
        pytest.param([100], 400, [200], id="beside those that are there"),
        pytest.param([500, 500], 500, [500, 500], id="and nobody is told less than is planned"),
    ],
)
def test_a_worker_reads_its_part_of_what_the_store_gives(rates: list[int], taken: int, read: list[int]) -> None:
    devices = [gpus(rate).choices[0] for rate in rates]
    told = read_rates(store_feed(1_000), devices, taken=taken * MICRO)
    assert [round(rate / MICRO) for rate in told] == read


def test_a_worker_that_is_planned_for_a_part_of_the_store_reads_no_faster() -> None:
    device = paced(gpus(800).choices[0], 400 * MICRO)
    assert read_rates(store_feed(1_000), [device]) == (rate_of(device),)


def test_a_plan_that_takes_more_than_there_is_fails_its_verification() -> None:
    asked = problem(gpus(2_500), images=200_000, time=100_000_000)
    plan = planned(asked)
    verify_feed(replace(asked, feed=store_feed(2_500)), plan.groups)
    with pytest.raises(WrongPlan, match="its devices take"):
        verify_feed(replace(asked, feed=store_feed(2_499)), plan.groups)
