"""What a refusal says of the jobs beside which there is no place: names where they may be told, and numbers else."""

import pytest

from dueby_planner.calendar.answer import refusal_sentence
from support.calendar import calendar_job, placement, planned


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
