"""From plans to documents: what is written is read back as it was, and every field that is declared is written."""

import json
from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import Any

import msgspec
import pytest

from dueby_api.inference_job import DeadlineClass
from dueby_api.plan import PlanAlternatives, PlanAnswer, PlannedCost, PlannedGroup
from dueby_api.prices import Money
from dueby_api.schema import Spec, decode
from dueby_api.status import AlternativesStatus, PlanStatus
from dueby_api.store_limits import SourceLimit
from dueby_api.units import MICROS_PER_SECOND
from dueby_planner.answer import (
    alternatives_sentence,
    alternatives_status,
    answer_document,
    device_word,
    plan_answer,
    plan_status,
    proof_sentence,
)
from dueby_planner.deadline_classes import Verdict, judge
from dueby_planner.model.cost import CostLimit, Price, Tariff
from dueby_planner.model.input_cost import GPUStep
from dueby_planner.model.plan import Infeasible, Plan
from dueby_planner.model.problem import Problem
from support.planner import choice, group, pool, problem, store_feed

NOW_US = 1_800_000_000 * MICROS_PER_SECOND
SECOND = MICROS_PER_SECOND
# 64 images a second from the first second on: in 10 s each does 640.
A = group(choice(64, SECOND, SECOND), name="a", count=4)
# The same at a size that was not measured.
B = group(choice(64, SECOND, SECOND, interpolation="L is interpolated"), name="b", count=4)
# It is never warm in time, so no number of it is enough.
# With two cores a step takes twice as long as what its GPU needs.
BESIDE = GPUStep(model_us=SECOND // 2, core_us=2 * SECOND)
UNFED = group(choice(64, SECOND, SECOND, cores=2, beside=BESIDE), name="gpu", count=4)
SLOW = group(choice(64, SECOND, 10**9), name="slow", count=1)


def asked(*groups: Any, images: int = 1_000, confidence: float = 0.95, **changes: Any) -> Problem:
    """Return a problem of ten seconds."""
    return problem(*groups or (A,), images=images, time=10 * SECOND, confidence=confidence, **changes)


PRICES = Tariff(currency="USD", prices={"a": Price(hourly=3_600_000)})

CASES: dict[str, tuple[Problem, DeadlineClass]] = {
    "in time": (asked(), "Soft"),
    "in the study's exact mode": (asked(confidence=0.5), "Soft"),
    "at an interpolated size": (asked(B), "Soft"),
    "refused": (asked(images=5_000), "Hard"),
    "late": (asked(images=5_000), "Soft"),
    "only less confidence would do": (asked(images=2_560), "Hard"),
    "no number of a class would do": (asked(A, SLOW, images=5_000), "Hard"),
    "fed by a store": (asked(images=800, confidence=0.5, feed=store_feed(100), tariff=PRICES), "Soft"),
    "of least cost": (asked(objective="MinCost", tariff=PRICES), "Soft"),
    "over its limit of money": (asked(tariff=PRICES, cost_limit=CostLimit(most=Money(10_000, "USD"))), "Soft"),
    "starved by a store": (asked(images=1_100, confidence=0.5, feed=store_feed(100)), "Hard"),
    "waiting for cores": (asked(UNFED, images=2_000), "Soft"),
    "refused for want of cores": (asked(UNFED, images=4_000), "Hard"),
    "no deadline and no confidence would do": (asked(images=5_000, max_iterations=1), "Hard"),
}
PLANNED = (
    "in time",
    "in the study's exact mode",
    "at an interpolated size",
    "fed by a store",
    "of least cost",
    "waiting for cores",
    "late",
)
INFEASIBLE = tuple(name for name in CASES if name == "late" or name not in PLANNED)


@cache
def verdict_of(name: str) -> Verdict:
    """Return the verdict of a case, which is made once for all tests."""
    return judge(*CASES[name])


def plan_of(name: str) -> Plan:
    """Return the plan of a case that has one."""
    plan = verdict_of(name).plan
    assert plan is not None
    return plan


def infeasible_of(name: str) -> Infeasible:
    """Return the reason of a case without a plan in time."""
    return reason_of(verdict_of(name))


def reason_of(verdict: Verdict) -> Infeasible:
    """Return the reason why the deadline can't be met."""
    assert verdict.infeasible is not None
    return verdict.infeasible


def status_of(name: str) -> PlanStatus:
    """Return status.plan of a case's first revision."""
    return plan_status(plan_of(name), now_us=NOW_US, revision=1, part_size=plan_of(name).part_size)


def alternatives_of(name: str) -> AlternativesStatus:
    """Return status.alternatives of a case."""
    return alternatives_status(infeasible_of(name), now_us=NOW_US)


# ---- round trips


@pytest.mark.parametrize("name", CASES)
def test_an_answer_is_read_as_it_is_written(name: str) -> None:
    answer = plan_answer(verdict_of(name))
    assert decode(PlanAnswer, json.dumps(answer.complete_document())) == answer


@pytest.mark.parametrize("name", CASES)
def test_what_the_command_prints_is_the_answer_without_the_names_of_profiles(name: str) -> None:
    answer = plan_answer(verdict_of(name))
    printed = decode(PlanAnswer, json.dumps(answer_document(verdict_of(name))))
    assert printed == answer.replace(groups=tuple(row.replace(profile=None) for row in answer.groups))


@pytest.mark.parametrize("name", PLANNED)
def test_a_plan_in_a_status_is_read_as_it_is_written(name: str) -> None:
    assert decode(PlanStatus, json.dumps(status_of(name).document())) == status_of(name)


@pytest.mark.parametrize("name", INFEASIBLE)
def test_alternatives_in_a_status_are_read_as_they_are_written(name: str) -> None:
    status = alternatives_of(name)
    assert decode(AlternativesStatus, json.dumps(status.document())) == status


# ---- every field


def written(kind: type[Spec]) -> list[Spec]:
    """Return the documents of this class that are written for all the cases."""
    answers = [plan_answer(verdict_of(name)) for name in CASES]
    documents: dict[type[Spec], list[Spec]] = {
        PlanAnswer: [*answers],
        PlanAlternatives: [answer.alternatives for answer in answers if answer.alternatives],
        PlannedCost: [answer.cost for answer in answers if answer.cost],
        PlannedGroup: [row for answer in answers for row in answer.groups],
        PlanStatus: [status_of(name) for name in PLANNED],
        AlternativesStatus: [alternatives_of(name) for name in INFEASIBLE],
    }
    return documents[kind]


def never_written(kind: type[Spec], documents: list[Spec]) -> set[str]:
    """Return the fields of the class that have their default in every one of these documents."""
    return {
        found.name
        for found in msgspec.structs.fields(kind)
        if all(getattr(document, found.name) == found.default for document in documents)
    }


@pytest.mark.parametrize(
    "kind",
    [PlanAnswer, PlanAlternatives, PlannedCost, PlannedGroup, PlanStatus, AlternativesStatus],
    ids=lambda kind: kind.__name__,
)
def test_every_declared_field_is_written_in_some_case(kind: type[Spec]) -> None:
    # Windows are reserved for a job among others: the operator writes them.
    assert never_written(kind, written(kind)) - {"windows"} == set()


def test_a_field_that_is_declared_and_never_written_is_found() -> None:
    class Wider(PlanAlternatives, frozen=True, kw_only=True):
        """Alternatives with one field more."""

        more_memory: int | None = None

    found: list[Spec] = [Wider(largest_images=3), Wider(possible_confidence=0.5)]
    assert never_written(Wider, found) == {
        "cost_bound",
        "earliest_deadline_seconds",
        "extra_gpus",
        "max_cost",
        "more_memory",
        "store_images_per_second",
        "worker_cores",
    }


def test_a_class_of_which_no_number_would_do_is_null_in_an_answer_and_left_out_of_a_status() -> None:
    name = "no number of a class would do"
    assert answer_document(verdict_of(name))["alternatives"]["extraGPUs"] == {"a": 4, "slow": None}
    assert alternatives_of(name).document()["extraGPUs"] == {"a": 4}


def test_a_field_without_a_value_is_null_in_what_the_command_prints() -> None:
    printed = answer_document(verdict_of("refused"))
    assert [name for name, value in printed.items() if value is None] == [
        "gpus",
        "lowerBound",
        "probability",
        "partSize",
        "planned",
        "expectedSeconds",
        "slackSeconds",
    ]
    declared = [found.encode_name for found in msgspec.structs.fields(PlanAnswer)]
    assert list(printed) == [name for name in declared if name not in ("store", "cost")]
    assert list(answer_document(verdict_of("fed by a store"))) == declared


def test_a_verdict_without_a_plan_and_without_a_reason_is_a_bug() -> None:
    with pytest.raises(ValueError, match="neither a plan nor a reason"):
        plan_answer(Verdict(action="Wait"))


# ---- values


def test_the_times_of_a_status_count_from_now() -> None:
    plan = plan_of("in the study's exact mode")
    status = status_of("in the study's exact mode")
    # 8 mini-batches of 2 devices are 1,024 images, and the first of each takes the second of its start.
    assert (plan.gpus, plan.expected_finish_us, plan.finish_at_confidence_us) == (2, 8 * SECOND, 8 * SECOND)
    assert (status.expected_finish, status.finish_at_confidence) == ("2027-01-15T08:00:08Z", "2027-01-15T08:00:08Z")
    assert status.slack == "2.0s"
    late_us = infeasible_of("late").alternatives.earliest_us
    assert late_us == plan_of("late").finish_at_confidence_us
    assert alternatives_of("late").earliest_deadline == f"2027-01-15T08:00:{late_us // SECOND:02}Z"


def test_an_interpolated_size_is_marked_and_a_measured_one_is_not() -> None:
    (between,) = answer_document(verdict_of("at an interpolated size"))["groups"]
    (measured,) = answer_document(verdict_of("in time"))["groups"]
    assert between["interpolated"] is True
    assert "interpolated" not in measured


def test_a_plan_says_what_the_store_gives_and_what_its_devices_take() -> None:
    printed = answer_document(verdict_of("fed by a store"))
    assert printed["store"] == {
        "name": "s3://bucket",
        "imagesPerSecond": 100.0,
        "plannedImagesPerSecond": 100.0,
        "leastSeconds": 8.0,
    }
    assert [(row["count"], row["paced"]) for row in printed["groups"]] == [(2, True)]
    assert answer_document(verdict_of("starved by a store"))["store"]["leastSeconds"] == 11.0
    assert status_of("fed by a store").store == plan_answer(verdict_of("fed by a store")).store


# ---- sentences


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("in the study's exact mode", "1 GPU can do at most 640 of 1,000 images by the deadline."),
        ("late", "No 3 GPUs of this pool end within 20s, as these 4 do."),
        (
            "fed by a store",
            "1 GPU can do at most 640 of 800 images by the deadline. No number of GPUs is faster than 8.0s: the store "
            "s3://bucket gives 100 images/s.",
        ),
    ],
)
def test_the_proof_says_what_fewer_devices_can_not_do(name: str, sentence: str) -> None:
    assert proof_sentence(plan_of(name)) == sentence


def test_where_fewer_devices_might_do_with_another_division_of_the_store_the_proof_says_so() -> None:
    plan = replace(plan_of("fed by a store"), lower_bound=1)
    unsure = "It is not proved that fewer than 2 can't, if they divide the store otherwise."
    assert proof_sentence(plan).startswith(unsure)
    three = replace(plan, groups=(replace(plan.groups[0], count=3),), lower_bound=2)
    assert proof_sentence(three).startswith("1 GPU can't do it, whatever the store gives. It is not proved")


def test_a_refusal_for_the_store_s_sake_says_so_and_what_would_help() -> None:
    infeasible = infeasible_of("starved by a store")
    assert replace(infeasible.problem, feed=None).fewest() == 2, "the same job without the limit"
    assert alternatives_sentence(infeasible) == (
        "1,100 images in 10s are 110 images/s; no number of GPUs is faster than 11s: the store s3://bucket gives 100 "
        "images/s. Do one of: move the deadline to 12s from now; lower images to 896; have 116 requests/s from "
        "s3://bucket, in place of 100; put the images into tars, of which a worker reads many images with one request."
    )


def test_a_refusal_between_what_the_store_gives_and_what_its_devices_do_says_both() -> None:
    asked_of_tars = asked(images=950, confidence=0.5, feed=store_feed(100, is_of_single_objects=False))
    assert alternatives_sentence(reason_of(judge(asked_of_tars, "Hard"))).startswith(
        "The store s3://bucket gives 100 images/s, and 2 devices would take all of it: at most 896 of 950 images in "
        "10s at confidence 0.5. Do one of: move the deadline to 11s from now; lower images to 896; have 1"
    )


def test_where_several_classes_might_do_with_another_division_of_the_store_a_refusal_says_so() -> None:
    # From 5 s on the fast one takes all that the store gives; before, slow ones could do some of the images.
    fast = replace(group(choice(100, SECOND, SECOND), name="fast"), available_us=5 * SECOND)
    mixed = asked(fast, group(choice(10, SECOND, SECOND), name="slow", count=5), images=600, confidence=0.5)
    found = alternatives_sentence(reason_of(judge(replace(mixed, feed=store_feed(100)), "Hard")))
    assert "at most 500 of 600 images" in found
    assert "It is not proved that 2 classes can't, if they divide the store otherwise." in found


def test_a_limit_on_bytes_is_offered_in_bytes() -> None:
    limit = SourceLimit(name="spec.source.limits", is_own=True, bytes_per_s=8_000_000)
    feed = store_feed(1, limits=(limit,), bytes_per_image=Fraction(80_000))
    found = alternatives_sentence(reason_of(judge(asked(images=1_100, confidence=0.5, feed=feed), "Hard")))
    assert "spec.source.limits gives 100 images/s" in found
    assert " bytes/s from spec.source.limits, in place of 8,000,000" in found
    assert "tars" not in found


def test_alternatives_are_offered_one_beside_the_other() -> None:
    assert alternatives_sentence(reason_of(judge(asked(images=5_000, confidence=0.5), "Hard"))) == (
        "The 4 devices that the job may use can do at most 2,560 of 5,000 images in 10s at confidence 0.5. "
        "Do one of: move the deadline to "
        "20s from now; lower images to 2,560; add 4 more of a."
    )


@pytest.mark.parametrize(
    ("most", "words"),
    [
        pytest.param(4, "add 4 more of a with the job's limit (gpus.max) raised by as many.", id="all that there are"),
        pytest.param(8, "add 4 more of a.", id="more than there are"),
    ],
)
def test_more_devices_than_the_job_may_have_need_a_higher_limit(most: int, words: str) -> None:
    found = reason_of(judge(asked(images=5_000, confidence=0.5, max_gpus=most), "Hard"))
    assert alternatives_sentence(found).endswith(words)


def test_a_pool_of_one_device_is_not_called_all_of_them() -> None:
    alone = group(choice(64, SECOND, SECOND), name="a")
    found = reason_of(judge(asked(alone, images=5_000, confidence=0.5), "Hard"))
    assert alternatives_sentence(found).startswith("The only device that the job may use can do at most 640 of")


def test_a_deadline_that_has_passed_is_no_time_for_images() -> None:
    late = replace(asked(images=5_000, confidence=0.5), time_us=-12_000_000)
    assert alternatives_sentence(reason_of(judge(late, "Hard"))).startswith(
        "The deadline passed 12s ago. Do one of: move the deadline to "
    )


def test_where_no_change_would_be_enough_the_sentence_says_so() -> None:
    # A hand-over loses a part of 64 images, which is all that a device may do.
    asked_in_vain = asked(images=5_000, part_size=64, max_iterations=0)
    assert alternatives_sentence(reason_of(judge(asked_in_vain, "Hard"))) == (
        "The 4 devices that the job may use can do at most 0 of 5,000 images in 10s at confidence 0.95. "
        "No later deadline, fewer images, "
        "more devices or lower confidence would be enough."
    )


@pytest.mark.parametrize(
    ("device_class", "engine", "word"),
    [
        ("NVIDIA-A100-SXM4-40GB", "cuda", "GPU"),
        ("cpu-1", "openvino", "CPU slice"),
        ("cpu-2@slow-node", "eager", "CPU slice"),
        pytest.param("NVIDIA-A100-SXM4-40GB", "openvino", "device", id="a GPU with an engine for CPUs is no CPU slice"),
    ],
)
def test_devices_are_called_what_they_are(device_class: str, engine: str, word: str) -> None:
    assert device_word(pool(group(choice(8, 10, 5, engine=engine), name=device_class))) == word
