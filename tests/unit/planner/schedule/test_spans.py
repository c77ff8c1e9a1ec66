"""Spans of time: what is in them, and outside of them. (Weekly ones are tested with nodes' absences.)"""

import pytest

from dueby_planner.model.problem import NEVER_US
from dueby_planner.schedule.spans import Span, Spans, absences, from_now, merged, outside


def spans(*borders: tuple[int, int]) -> Spans:
    return tuple(Span(*each) for each in borders)


@pytest.mark.parametrize(
    ("inside", "gaps"),
    [
        pytest.param((), ((0, NEVER_US),), id="none"),
        pytest.param(((5, 7),), ((0, 5), (7, NEVER_US)), id="one"),
        pytest.param(((0, 7), (9, 12)), ((7, 9), (12, NEVER_US)), id="from now on"),
        pytest.param(((3, NEVER_US),), ((0, 3),), id="without an end"),
    ],
)
def test_what_is_outside_of_spans(inside: tuple[tuple[int, int], ...], gaps: tuple[tuple[int, int], ...]) -> None:
    assert outside(spans(*inside)) == spans(*gaps)
    assert outside(outside(spans(*inside))) == spans(*inside)


def test_devices_are_absent_when_they_are_away_or_their_time_is_not() -> None:
    assert absences(spans((6, 8)), spans((5, 10))) == spans((0, 5), (6, 8), (10, NEVER_US))
    assert absences(spans((4, 6)), spans((5, 10))) == spans((0, 6), (10, NEVER_US))


def test_spans_that_meet_are_one_and_those_that_are_over_are_none() -> None:
    assert merged(spans((5, 7), (1, 2), (2, 4), (6, 9))) == spans((1, 4), (5, 9))
    assert from_now(spans((1, 4), (5, 9), (12, NEVER_US)), 6) == spans((0, 3), (6, NEVER_US))
