"""How many images a part has: the bounds, each where it decides, and that k never depends on it."""

from dataclasses import replace

import pytest
from hypothesis import given

from dueby_api.output import Output
from dueby_planner.deadline_classes import make_plan
from dueby_planner.model.plan import Plan
from dueby_planner.model.problem import Problem, equal_devices
from support.planner import choice, group, planned, problem, problem_of, questions
from support.reference_planner import Question


@pytest.mark.parametrize(
    ("images", "each", "gpus", "part"),
    [
        pytest.param(10_000_000, 11_000_000, 1, 65_536, id="never above 65,536"),
        pytest.param(1_000_000, 270_000, 4, 16_384, id="20,000 lost a GPU, down to a power of two"),
        pytest.param(1_000_000, 252_100, 4, 2_048, id="2,048 lost a GPU are just in reach"),
        pytest.param(1_000_000, 252_047, 4, 1_024, id="2,048 are not: the next power"),
        pytest.param(1_000_000, 250_064, 4, 64, id="64, as is assumed, is all that is in reach"),
        pytest.param(5_000, 505, 10, 4, id="50 is all that they may lose, and 10 x 4 is less"),
        pytest.param(450, 160, 3, 8, id="10 lost a GPU"),
        pytest.param(90, 31, 3, 1, id="the least power"),
        pytest.param(299, 5_000, 1, 256, id="never above a share"),
        pytest.param(310, 313, 1, 2, id="3 would be accepted but isn't a power of two"),
    ],
)
def test_a_part_is_the_largest_power_of_two_that_keeps_k_accepted(images: int, each: int, gpus: int, part: int) -> None:
    asked = problem(group(choice(each, 1_000, 0), count=gpus), images=images, time=999, confidence=0.95)
    plan = planned(asked)
    assert (plan.gpus, plan.part_size) == (gpus, part)


@pytest.mark.parametrize(
    ("size", "latency", "images", "time", "part"),
    [
        pytest.param(4, 1_000, 10_000_000, 10_000_000_000, 65_536, id="1 % of the share"),
        pytest.param(4, 1_000, 100_000, 1_000_000_000, 16_384, id="5 s, where 1 % is less"),
        pytest.param(48, 10_000_000, 1_000, 10_000_000_000, 64, id="a mini-batch, where it takes longer than 5 s"),
        pytest.param(1, 1_000, 1_000, 2_000_000, 128, id="a tenth of the time, where that is less than 5 s"),
        pytest.param(100, 1_000_000, 150, 2_500_000, 64, id="a quarter of what the GPU can do"),
        pytest.param(64, 1_000, 90, 1_000_000_000, 64, id="a share"),
    ],
)
def test_a_part_is_no_larger_than_is_useful(size: int, latency: int, images: int, time: int, part: int) -> None:
    asked = problem(group(choice(size, latency, 0)), images=images, time=time, confidence=0.95)
    assert planned(asked).part_size == part


@pytest.mark.parametrize(
    ("images", "seconds", "gpus", "before", "files"),
    [pytest.param(93, 600, 1, 93, 2, id="93 photos"), pytest.param(1_500, 40, 3, 375, 24, id="1,500 photos")],
)
def test_few_photos_are_few_files(images: int, seconds: int, gpus: int, before: int, files: int) -> None:
    slices, time_us = group(choice(16, 800_000, 3_000_000), count=4), seconds * 10**6
    asked = problem(slices, images=images, time=time_us, confidence=0.95)
    plan = planned(asked)
    assert (plan.gpus, -(-images // plan.part_size)) == (gpus, files)
    assert -(-images // largest_hundredth(asked, gpus)) == before
    assert plan.is_in_time


@given(questions(own=True))
def test_a_useful_part_asks_for_no_more_devices_and_is_no_smaller_than_a_hundredth(question: Question) -> None:
    asked = problem_of(question)
    plan = make_plan(asked)
    if isinstance(plan, Plan):
        able = equal_devices(asked.capacities())
        assert plan.gpus == asked.fewest()
        assert plan.part_size == 1 or replace(asked.rule, part_size=plan.part_size).accepts(able, plan.gpus)
        assert plan.part_size >= largest_hundredth(asked, plan.gpus)


def largest_hundredth(asked: Problem, gpus: int) -> int:
    """Return the largest power of two that is 1 % of a share at most and keeps k accepted."""
    able, share = equal_devices(asked.capacities()), -(-asked.images // gpus)
    powers = [2**n for n in range(17) if 100 * 2**n <= share]
    return max((p for p in powers if replace(asked.rule, part_size=p).accepts(able, gpus)), default=1)


def test_parts_of_large_rows_are_smaller() -> None:
    asked = problem(group(choice(11_000_000, 1_000, 0)), images=10_000_000, time=999, confidence=0.95)
    assert planned(replace(asked, max_part=Output(kind="Embedding").max_part)).part_size == 4_096
    assert planned(replace(asked, max_part=Output().max_part)).part_size == 65_536


@pytest.mark.parametrize(
    ("latencies", "images", "part"),
    [
        pytest.param([7_300], 7_000_000, 65_536, id="two minutes are 16,438 steps of 4, and 65,536 the most"),
        pytest.param([7_400], 7_000_000, 32_768, id="16,216 steps are fewer than 65,536 images"),
        pytest.param([7_300, 30_000], 36_000_000, 8_192, id="the slower one does 4,000 steps"),
        pytest.param([121_000_000], 7_000_000, 1, id="not even one step"),
    ],
)
def test_no_part_takes_a_device_longer_than_two_minutes(latencies: list[int], images: int, part: int) -> None:
    # The slowest of them does eight million images.
    groups = [group(choice(4, latency, 0), name=f"of-{latency}") for latency in latencies]
    plan = planned(problem(*groups, images=images, time=2_000_000 * max(latencies)))
    assert (plan.gpus, plan.part_size) == (len(latencies), part)


@pytest.mark.parametrize(
    ("each", "part"),
    [
        pytest.param(1_024, 256, id="4 parts of 256 fit each"),
        pytest.param(1_025, 256, id="a whole part more doesn't fit: the same"),
        pytest.param(1_023, 1, id="3 parts of 256 each are too few, and so of 128 to 2"),
    ],
)
def test_in_the_exact_mode_whole_parts_fit_the_capacities(each: int, part: int) -> None:
    images = 1_023 * 3 if each == 1_023 else 3_072
    plan = planned(problem(group(choice(each, 1_000, 0), count=3), images=images, time=999))
    assert (plan.gpus, plan.part_size) == (3, part)
