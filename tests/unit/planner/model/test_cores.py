"""Cores beside GPUs: no more than shorten a step, and how many would be enough, by building the pool with them."""

from dataclasses import replace
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby.plan_words import ways_out, why_infeasible
from dueby_api.gpu_profile import DecodingRate
from dueby_api.input_cost import InputCost
from dueby_planner.answer import alternatives_sentence
from dueby_planner.model.alternatives import fewer_with_cores
from dueby_planner.model.capacity import DeviceChoice
from dueby_planner.model.cores import enough_cores, in_squares, with_cores
from dueby_planner.model.input_cost import GPUStep
from dueby_planner.model.plan import Infeasible, Plan, plan_fewest
from dueby_planner.model.problem import Problem
from dueby_planner.profiles.pool import Pool, build_pool
from support.examples import examples
from support.planner import A100, job, profile, step_document

SECOND = 10**6
# As profiles write it, and how many cores a worker may have.
CONTENTION, MOST = st.sampled_from(["1", "1.001", "1.1", "1.5", "3"]), st.integers(1, 200)
# 64 images in 16 ms and 256 in 48 ms, so at best 5,333 images/s.
GPU = profile(
    steps=[step_document(64, 16_000, 20_000), step_document(256, 48_000, 60_000)], startupMicros={"p50": 0, "p95": 0}
)


def pool_with(cores: int, *, decode_us: float = 1_000, gpus: int = 8) -> Pool:
    """Return A100s whose workers may have so many cores, for images that take one core so long."""
    return build_pool(job().spec, [GPU], {A100: gpus}, cost=InputCost(decode_us=decode_us), cores={A100: cores})


def asked(pool: Pool, *, images: int, seconds: float) -> Problem:
    """Return a question in the study's exact mode."""
    return Problem(pool=pool, images=images, time_us=int(seconds * SECOND), confidence=0.5)


def times(pool_groups: tuple[DeviceChoice, ...]) -> list[tuple[int, int, int]]:
    """Return L, S + W and W of each choice."""
    return [(each.latency_us, each.start_us, each.expected_warmup_us) for each in pool_groups]


MICROS = st.integers(0, 10**6)


@given(st.builds(GPUStep, model_us=MICROS, core_us=MICROS, wire_us=MICROS, serial_us=MICROS), CONTENTION, MOST)
def test_a_worker_gets_the_fewest_cores_with_which_no_step_is_longer(step: GPUStep, contention: str, most: int) -> None:
    step = replace(step, contention=Fraction(contention))
    cores = step.fewest_cores(most)
    assert 1 <= cores <= most
    assert step.latency_us(cores) == step.latency_us(most)
    assert cores == 1 or step.latency_us(cores - 1) > step.latency_us(most)


def measured_pool(rates: dict[int, float], cores: int, decode_us: float, contention: float = 1.0) -> Pool:
    """Return A100s whose workers may have so many cores, which were measured to decode so many images a second."""
    rows = tuple(DecodingRate(cores=count, images_per_second=rates[count]) for count in sorted(rates))
    measured = GPU.replace(spec=GPU.spec.replace(decoding=rows, contention=contention))
    return build_pool(job().spec, [measured], {A100: 8}, cost=InputCost(decode_us=decode_us), cores={A100: cores})


@given(
    st.dictionaries(st.integers(1, 32), st.floats(100, 10_000), max_size=5),
    st.integers(1, 40),
    st.integers(1, 40),
    st.floats(0, 5_000),
    CONTENTION.map(float),
)
def test_more_cores_are_as_if_the_pool_had_been_built_with_them(
    rates: dict[int, float], few: int, more: int, decode_us: float, contention: float
) -> None:
    groups = measured_pool(rates, few, decode_us, contention).groups
    built = measured_pool(rates, max(few, more), decode_us, contention).groups
    assert times(with_cores(groups, more)[0].choices) == times(built[0].choices)
    enough = enough_cores(groups)
    if enough:
        assert not enough_cores(with_cores(groups, enough))
        assert enough_cores(with_cores(groups, enough - 1)) == enough


@given(
    st.dictionaries(st.integers(1, 32), st.integers(100, 10_000), min_size=1, max_size=3),
    st.integers(1, 40),
    st.integers(0, 5_000),
)
def test_squares_are_as_if_each_image_took_no_longer_to_decode_than_what_was_measured(
    rates: dict[int, int], cores: int, decode_us: int
) -> None:
    images_per_s, fewest = Fraction(rates[min(rates)]), min(rates)
    square_us = min(Fraction(decode_us), SECOND * fewest / images_per_s)
    measured = measured_pool({count: float(rates[count]) for count in rates}, cores, decode_us).groups[0]
    # 64 and 256 images of a rate that is no float of microseconds.
    for choice in in_squares((measured,))[0].choices:
        core_us = ceil(choice.mini_batch_size * square_us)
        assert choice.beside is not None
        assert choice.beside.core_us == core_us
        assert choice.latency_us == choice.beside.latency_us(choice.cores)
        before = next(each for each in measured.choices if each.mini_batch_size == choice.mini_batch_size)
        assert choice.latency_us - choice.start_us == before.latency_us - before.start_us


def test_cores_that_get_in_each_others_way_are_planned_to_do_less() -> None:
    def steps(rates: dict[int, float]) -> list[int]:
        return [choice.latency_us for choice in measured_pool(rates, 4, 4_000).groups[0].choices]

    assert steps({}) == [64_000, 256_000]
    assert steps({1: 250.0, 4: 800.0}) == [80_000, 320_000]


@given(st.floats(0, 5_000), st.integers(1, 8))
def test_with_enough_cores_no_gpu_waits_and_with_one_fewer_one_does(decode_us: float, cores: int) -> None:
    groups = pool_with(cores, decode_us=decode_us).groups
    enough = enough_cores(groups)
    if not enough:
        assert enough_cores(pool_with(10**6, decode_us=decode_us).groups) == 0
        assert times(groups[0].choices) == times(pool_with(10**6, decode_us=decode_us).groups[0].choices)
        return
    assert enough > cores
    assert not enough_cores(with_cores(groups, enough))
    assert enough_cores(with_cores(groups, enough - 1)) == enough


@examples(50)
@given(st.integers(1, 6), st.integers(500, 40_000), st.floats(100, 2_000))
def test_the_fewest_cores_for_the_fewest_gpus_are_found(cores: int, images: int, decode_us: float) -> None:
    problem = asked(pool_with(cores, decode_us=decode_us), images=images, seconds=4)
    gpus = problem.fewest()
    if gpus is None:
        return
    by_cores = {
        count: asked(pool_with(count, decode_us=decode_us), images=images, seconds=4).fewest() or 99
        for count in range(cores, 20)
    }
    fewest = min(by_cores.values())
    found = fewer_with_cores(problem, gpus)
    if fewest == gpus:
        assert found is None
    else:
        assert found is not None
        assert (found.gpus, found.cores) == (fewest, min(count for count in by_cores if by_cores[count] == fewest))


def test_a_plan_says_that_more_cores_would_save_gpus() -> None:
    # With two cores a GPU does 2,000 images/s, and with six 5,333.
    plan = plan_fewest(asked(pool_with(2), images=60_000, seconds=4))
    assert isinstance(plan, Plan)
    assert plan.gpus == 8
    assert plan.warnings[-1] == (
        "GPUs wait for decoding: with 6 cores for each worker, in place of 2, 3 of the 8 would do "
        "(spec.worker.resources, up to a GPU's share of its node)"
    )
    fed = plan_fewest(asked(pool_with(6), images=60_000, seconds=4))
    assert isinstance(fed, Plan)
    assert fed.gpus == 3
    assert not [warning for warning in fed.warnings if "decoding:" in warning]


def test_a_plan_says_what_transcoding_into_squares_costs_and_gives() -> None:
    # With two cores a GPU does 2,000 photos/s, and 4,000 of those whose decoding was measured.
    pool = measured_pool({1: 2_000.0}, 2, 1_000)
    plan = plan_fewest(asked(pool, images=60_000, seconds=4))
    assert isinstance(plan, Plan)
    assert plan.warnings[-1] == (
        "GPUs wait for decoding: 4 of the 8 would do if the images were transcoded once into tars of squares of the "
        "model's size, of which answers may differ a little; that takes one core at least 1m00s, on any machine"
    )
    refused = plan_fewest(asked(pool, images=100_000, seconds=4))
    assert isinstance(refused, Infeasible)
    assert refused.alternatives.transcoding_us == 100 * SECOND
    assert "transcode the images into tars of squares" in alternatives_sentence(refused)
    assert "one core needs at least 1m40s for it, once" in dict(ways_out(refused, str))["images in"]


@pytest.mark.parametrize(
    ("rates", "cores"),
    [
        pytest.param({}, 2, id="nobody has measured what decoding takes"),
        pytest.param({1: 1_000.0}, 2, id="the photos are as fast to decode"),
        pytest.param({1: 2_000.0}, 40, id="no GPU waits"),
    ],
)
def test_where_squares_are_no_answer_nothing_is_said_of_them(rates: dict[int, float], cores: int) -> None:
    plan = plan_fewest(asked(measured_pool(rates, cores, 1_000), images=60_000, seconds=4))
    assert isinstance(plan, Plan)
    assert not [warning for warning in plan.warnings if "transcoded" in warning]


def test_a_refusal_says_how_many_cores_would_be_enough() -> None:
    refused = plan_fewest(asked(pool_with(2, gpus=3), images=60_000, seconds=4))
    assert isinstance(refused, Infeasible)
    assert refused.alternatives.worker_cores == 6
    assert "; give each GPU's worker 6 cores, in place of 2." in alternatives_sentence(refused)
    for cores, enough in ((6, True), (5, False)):
        problem = asked(pool_with(cores, gpus=3), images=60_000, seconds=4)
        assert (problem.fewest() is not None) is enough


def test_where_cores_are_no_answer_nothing_is_said_of_them() -> None:
    refused = plan_fewest(asked(pool_with(2, gpus=1), images=60_000, seconds=4))
    assert isinstance(refused, Infeasible)
    assert refused.alternatives.worker_cores is None
    assert "cores" not in alternatives_sentence(refused)


def serial_pool(serial_us: float, *, cores: int, decode_us: float = 400.0) -> Pool:
    """Return A100s whose workers take so long for an image whatever cores they have."""
    measured = GPU.replace(spec=GPU.spec.replace(serial_micros=serial_us))
    cost = InputCost(decode_us=decode_us, bytes_per_image=80_000)
    return build_pool(job().spec, [measured], {A100: 8}, cost=cost, cores={A100: cores})


@given(st.floats(0, 1_000), st.floats(0, 5_000), st.integers(1, 40))
def test_no_more_cores_are_given_or_advised_than_the_serial_part_lets_be_of_use(
    serial_us: float, decode_us: float, cores: int
) -> None:
    groups = serial_pool(serial_us, cores=cores, decode_us=decode_us).groups
    endless = serial_pool(serial_us, cores=10**6, decode_us=decode_us).groups
    enough = enough_cores(groups)
    assert times(with_cores(groups, enough)[0].choices) == times(endless[0].choices)
    for choice in groups[0].choices:
        fewer = choice.cores - 1
        assert not fewer or (choice.beside and choice.beside.latency_us(fewer) > choice.latency_us)
    if enough:
        assert times(with_cores(groups, enough - 1)[0].choices) != times(endless[0].choices)


def test_a_plan_says_that_no_number_of_cores_feeds_its_gpus() -> None:
    # 300 us an image are 3,333 images/s, of the 5,333 that the GPU does.
    plan = plan_fewest(asked(serial_pool(300, cores=8), images=60_000, seconds=4))
    assert isinstance(plan, Plan)
    assert plan.gpus == 5
    assert plan.warnings[-1] == (
        f"no number of cores feeds one worker on {A100} more than 3,333 images/s, and its GPU could do more: "
        "more devices are faster; more cores, tars or another store are not"
    )
    waits = plan_fewest(asked(serial_pool(300, cores=1), images=8_000, seconds=4))
    assert isinstance(waits, Plan)
    assert not [warning for warning in waits.warnings if "no number of cores" in warning]


@pytest.mark.parametrize("cores", [pytest.param(8, id="enough cores"), pytest.param(1, id="too few, as it is")])
def test_a_refusal_says_that_no_number_of_cores_feeds_its_gpus(cores: int) -> None:
    refused = plan_fewest(asked(serial_pool(300, cores=cores), images=120_000, seconds=4))
    assert isinstance(refused, Infeasible)
    assert refused.alternatives.worker_cores is None
    sentence = (
        f" No number of cores feeds one worker on {A100} more than 3,333 images/s, and its GPU could do more: "
        "more devices are faster; more cores, tars or another store are not. "
    )
    assert sentence in alternatives_sentence(refused)
    assert sentence.rstrip() in why_infeasible(refused, str)


def test_a_refusal_that_more_cores_would_lift_says_only_that() -> None:
    refused = plan_fewest(asked(serial_pool(300, cores=1), images=95_000, seconds=4))
    assert isinstance(refused, Infeasible)
    assert refused.alternatives.worker_cores == 2
    assert not refused.serial_warnings


@pytest.mark.parametrize("cores", [1, 4])
def test_a_slice_of_cores_has_its_own(cores: int) -> None:
    slices = profile(device_class="cpu-4", engine="openvino", device={"threads": 4})
    cost = InputCost(decode_us=10_000)
    pool = build_pool(job().spec, [slices], {"cpu-4": 2}, cost=cost, cores={"cpu-4": cores})
    assert {choice.cores for choice in pool.groups[0].choices} == {0}
    assert not enough_cores(pool.groups)
