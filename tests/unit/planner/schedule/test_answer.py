"""What a refusal says of the jobs beside which there is no place: names where they may be told, and numbers else."""

from dataclasses import replace
from typing import Any

import pytest

from dueby_planner.schedule.calendar_job import CalendarJob
from dueby_planner.schedule.explain import refusal_sentence
from dueby_planner.schedule.free_devices import CLASSES, idle_pool
from support.calendar import actions, calendar_job, online, placement, planned, steps


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        pytest.param("", "Within 1ms z, a and b need at least", id="all may be told"),
        pytest.param("b", "Within 1ms z, a and 1 job of another namespace need at least", id="one may not"),
        pytest.param("ab", "Within 1ms z and 2 jobs of other namespaces need at least", id="none may"),
    ],
)
def test_a_job_that_may_not_be_told_is_counted(secret: str, words: str) -> None:
    calendar = planned(*(calendar_job(name, images=300, time=400) for name in "abz"))
    sentence = refusal_sentence(
        calendar, placement(calendar, "z"), called=lambda name: None if name in secret else name
    )
    assert sentence.startswith(words)


def test_of_many_jobs_their_number_is_told() -> None:
    calendar = planned(*(calendar_job(name, images=100, time=220) for name in "abcdz"))
    sentence = refusal_sentence(calendar, placement(calendar, "z"), called=lambda name: None if name == "a" else name)
    assert "z, 3 other jobs and 1 job of another namespace need at least" in sentence


@pytest.mark.parametrize(
    ("more", "words"),
    [
        pytest.param(9_000_000, "need at least 18.5 GPU-seconds, and there are 10.0 GPU-seconds", id="by much"),
        pytest.param(520_000, "need at least 10.02 GPU-seconds, and there are 10.00 GPU-seconds", id="by little"),
        pytest.param(499_990, "need at least 10.00001 GPU-seconds, and there are 10.00000 GPU-seconds", id="by a step"),
    ],
)
def test_what_is_needed_looks_more_than_what_is_there(more: int, words: str) -> None:
    # Each of them loses 10 us by its start.
    first, second = (
        calendar_job(name, images=images, time=10_000_000, devices={"a": 1})
        for name, images in (("first", 9_500_000), ("second", more))
    )
    calendar = planned(first, second)
    assert words in refusal_sentence(calendar, placement(calendar, "second"))


def too_large(**changes: Any) -> CalendarJob:
    """Return a Hard job that would fit on an idle device, but for its margin."""
    asked: dict[str, Any] = {"images": 1100, "time": 1200, "confidence": 0.99, "run": 0.05, "devices": {"a": 1}}
    return calendar_job("late", **(asked | changes))


def test_a_job_that_is_too_large_alone_is_advised_beside_the_others() -> None:
    early = calendar_job("early", images=10, time=100, devices={"a": 1})
    calendar = planned(early, too_large())
    sentence = refusal_sentence(calendar, placement(calendar, "late"))
    assert sentence.startswith("The only device that the job may use can do at most 1,")
    assert "images in 2ms at confidence 0.99. A deadline of" in sentence
    assert sentence.endswith(" or 1 more a would be enough.")
    earliest_us = calendar.advice("late").earliest_us
    assert earliest_us is not None
    assert actions(planned(early, too_large(time=earliest_us))) == {"early": "Start", "late": "Reserve"}


def test_on_idle_devices_fewer_images_and_less_confidence_are_offered() -> None:
    relaxed = calendar_job("early", images=10, time=100, devices={"a": 1}, deadline_class="Relaxed")
    calendar = planned(relaxed, too_large())
    sentence = refusal_sentence(calendar, placement(calendar, "late"))
    assert "; lower images to 1," in sentence
    assert "; lower the confidence to 0.9" in sentence


def test_beside_workers_of_hard_jobs_they_are_not() -> None:
    table = {beside: {"a": steps((0, 0), (100, 1))} for beside in CLASSES}
    calendar = online(replace(idle_pool({"a": 1}), free=table, expected=table), too_large())
    sentence = refusal_sentence(calendar, placement(calendar, "late"))
    assert "confidence 0.99. A deadline of" in sentence


@pytest.mark.parametrize(
    ("most", "words"),
    [(1, "1 more a with the job's limit (gpus.max) raised by as many would be enough."), (3, "1 more a would be")],
)
def test_more_devices_than_the_job_may_have_need_a_higher_limit(most: int, words: str) -> None:
    first = calendar_job("first", images=90, time=100, devices={"a": 1})
    calendar = planned(first, calendar_job("z", images=90, time=101, devices={"a": 1}, max_gpus=most))
    assert words in refusal_sentence(calendar, placement(calendar, "z"))
