"""The least number of GPUs: against brute force over everything the model may choose; and easier jobs need no more."""

from collections.abc import Callable
from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

import support.reference_planner as reference
from dueby_api.input_cost import InputCost
from dueby_planner.profiles.pool import build_pool
from support.examples import examples
from support.planner import choice, group, job, problem, problem_of, profile_of, questions
from support.reference_planner import Kind, Question, Size

TINY = questions(max_kinds=2, max_gpus=2, max_sizes=2, max_batch=9, max_us=4, max_iterations=3, own=True)


def fewest(question: Question) -> float:
    """Return the product's answer; infinity if there is none."""
    found = problem_of(question).fewest()
    return inf if found is None else found


@examples(2_000)
@given(TINY)
def test_no_choice_of_gpus_sizes_and_iterations_needs_fewer(question: Question) -> None:
    assert problem_of(question).fewest() == reference.brute_force_fewest(question)


@examples(1_000)
@given(questions(own=True))
def test_the_first_k_that_is_accepted_is_the_one_that_trying_each_finds(question: Question) -> None:
    assert problem_of(question).fewest() == reference.fewest(question)


@examples(300)
@given(questions(max_us=60), st.integers(0, 40).map(lambda tenths: tenths / 10))
def test_what_is_serial_is_as_if_no_step_had_been_measured_shorter(question: Question, serial_us: float) -> None:
    asked_problem = problem_of(question)
    profiles = [of.replace(spec=of.spec.replace(serial_micros=serial_us)) for of in map(profile_of, question.kinds)]
    counts = {kind.name: kind.count for kind in question.kinds}
    pool = build_pool(job().spec, profiles, counts, cost=InputCost(bytes_per_image=1), cores=dict.fromkeys(counts, 9))
    longer = replace(question, kinds=tuple(with_serial_part(kind, serial_us) for kind in question.kinds))
    assert replace(asked_problem, pool=pool).fewest() == reference.fewest(longer)


def with_serial_part(kind: Kind, serial_us: float) -> Kind:
    """Return the kind with steps, and first mini-batches, that are as long as the serial part of their images."""

    def longer(size: Size) -> Size:
        latency = max(size.latency, -(-size.batch * round(10 * serial_us) // 10))
        warmup = next(s.warmup for s in kind.sizes if s.batch >= size.batch and s.warmup is not None)
        median, late = (time + latency - size.latency for time in warmup)
        return replace(size, latency=latency, warmup=(median, late))

    return replace(kind, sizes=tuple(map(longer, kind.sizes)))


def with_more_time(question: Question, data: st.DataObject) -> Question:
    return replace(question, time=question.time + data.draw(st.integers(0, 300)))


def with_more_gpus_of_a_class(question: Question, data: st.DataObject) -> Question:
    return with_kind(question, data, lambda kind: replace(kind, count=kind.count + data.draw(st.integers(0, 5))))


def with_a_faster_step(question: Question, data: st.DataObject) -> Question:
    def faster(kind: Kind) -> Kind:
        i = data.draw(st.integers(0, len(kind.sizes) - 1))
        size = replace(kind.sizes[i], latency=data.draw(st.integers(1, kind.sizes[i].latency)))
        return replace(kind, sizes=(*kind.sizes[:i], size, *kind.sizes[i + 1 :]))

    return with_kind(question, data, faster)


def with_a_faster_start(question: Question, data: st.DataObject) -> Question:
    return with_kind(question, data, lambda kind: replace(kind, startup=None))


def with_more_memory(question: Question, data: st.DataObject) -> Question:
    return with_kind(question, data, lambda kind: replace(kind, max_batch=None))


def with_less_spread_and_a_step_s_time(question: Question, data: st.DataObject) -> Question:
    """Halve the spreads, and give a step's time: a step that just fitted beside a late start may fit no more."""
    kinds = tuple(
        replace(
            kind,
            run=(0.02 if kind.run is None else kind.run) / 2,  # 0 is none, None is what the planner assumes
            node=(0.03 if kind.node is None else kind.node) / 2,
        )
        for kind in question.kinds
    )
    step = max(size.latency for kind in kinds for size in kind.sizes)
    return replace(question, kinds=kinds, time=question.time + step)


def with_fewer_images(question: Question, data: st.DataObject) -> Question:
    return replace(question, images=data.draw(st.integers(1, question.images)))


def with_less_confidence(question: Question, data: st.DataObject) -> Question:
    return replace(question, confidence=data.draw(st.floats(0.5, question.confidence)))


def with_no_limit(question: Question, data: st.DataObject) -> Question:
    return replace(question, most=None, max_iterations=None)


def with_no_reserve(question: Question, data: st.DataObject) -> Question:
    return replace(question, reserve=0)


def with_the_classes_in_another_order(question: Question, data: st.DataObject) -> Question:
    return replace(question, kinds=tuple(data.draw(st.permutations(question.kinds))))


def with_kind(question: Question, data: st.DataObject, change: Callable[[Kind], Kind]) -> Question:
    """Return the question with one of its classes changed."""
    i = data.draw(st.integers(0, len(question.kinds) - 1))
    return replace(question, kinds=(*question.kinds[:i], change(question.kinds[i]), *question.kinds[i + 1 :]))


OF_THE_JOB = [
    with_more_time,
    with_more_gpus_of_a_class,
    with_fewer_images,
    with_less_confidence,
    with_no_limit,
    with_no_reserve,
    with_the_classes_in_another_order,
]
OF_THE_DEVICES = [with_a_faster_step, with_a_faster_start, with_more_memory, with_less_spread_and_a_step_s_time]


@pytest.mark.parametrize("easier", OF_THE_JOB + OF_THE_DEVICES, ids=lambda change: change.__name__)
@given(question=questions(), data=st.data())
def test_an_easier_question_never_needs_more_gpus(
    easier: Callable[[Question, st.DataObject], Question], question: Question, data: st.DataObject
) -> None:
    assert fewest(easier(question, data)) <= fewest(question)


@pytest.mark.parametrize("easier", OF_THE_JOB, ids=lambda change: change.__name__)
@given(question=questions(own=True), data=st.data())
def test_where_starts_differ_on_their_own_more_time_or_devices_or_less_to_do_never_needs_more(
    easier: Callable[[Question, st.DataObject], Question], question: Question, data: st.DataObject
) -> None:
    assert fewest(easier(question, data)) <= fewest(question)


@given(st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 300)), min_size=1, max_size=16), st.integers(1, 10**12))
def test_thousands_of_gpus_and_billions_of_images_are_counted_exactly(pool: list[tuple[int, int]], images: int) -> None:
    groups = [group(choice(b, 10**6), name=f"{i:02}", count=n) for i, (b, n) in enumerate(pool)]
    asked = problem(*groups, images=images, time=10**6 - 1)
    done, expected = 0, None
    for k, each in enumerate(sorted((b for b, n in pool for _ in range(n)), reverse=True), start=1):
        done += each
        if done >= images:
            expected = k
            break
    assert asked.fewest() == expected
