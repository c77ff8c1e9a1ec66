"""Counts and times in sentences."""

import pytest

from dueby_api.words import counted, faults, from_now, slack_words, times


@pytest.mark.parametrize(
    ("count", "noun", "words"),
    [
        (0, ("device",), "0 devices"),
        (1, ("device",), "1 device"),
        (2, ("device",), "2 devices"),
        (2400, ("image",), "2,400 images"),
        (1, ("CPU slice",), "1 CPU slice"),
        (2, ("GPU",), "2 GPUs"),
        (1, ("class", "classes"), "1 class"),
        (3, ("class", "classes"), "3 classes"),
    ],
)
def test_a_count_agrees_with_its_noun(count: int, noun: tuple[str, ...], words: str) -> None:
    assert counted(count, *noun) == words


@pytest.mark.parametrize(("count", "words"), [(1, "once"), (2, "twice"), (3, "3 times"), (1000, "1,000 times")])
def test_how_often(count: int, words: str) -> None:
    assert times(count) == words


@pytest.mark.parametrize(
    ("errors", "warnings", "words"),
    [
        (0, 0, ""),
        (2, 0, ", 2 of them with an error"),
        (0, 1, ", 1 of them with a warning"),
        (1200, 3, ", 1,200 of them with an error and 3 with a warning"),
    ],
)
def test_how_many_rows_are_faulty(errors: int, warnings: int, words: str) -> None:
    assert faults(errors, warnings) == words


@pytest.mark.parametrize(
    ("seconds", "when", "slack"),
    [
        (5, "in 5.0s", "slack 5.0s"),
        (61, "in 1m01s", "slack 1m01s"),
        (0, "in 0s", "slack 0s"),
        (-5, "5.0s ago", "late by 5.0s"),
        (-61, "1m01s ago", "late by 1m01s"),
        (99 * 3600, "in 99h00m", "slack 99h00m"),
        (-60607.5 * 3600, "2,525 days ago", "late by 2,525 days"),
    ],
)
def test_a_time_has_a_direction_and_no_sign(seconds: float, when: str, slack: str) -> None:
    assert from_now(round(seconds * 10**6)) == when
    assert slack_words(round(seconds * 10**6)) == slack
