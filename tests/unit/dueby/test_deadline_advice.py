"""What to write into the manifest so that the deadline is met: the advice is followed, to the letter."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby.plan_words import advise_deadline
from dueby_api.units import parse_time_us
from support.planner import job

S = 1_000_000
NOON_US = parse_time_us("2026-12-01T12:00:00Z")
RELATIVE: dict[str, Any] = {"deadline": "10s"}
ABSOLUTE: dict[str, Any] = {"deadline": None, "deadlineTime": "2026-12-01T12:01:00Z"}


@pytest.mark.parametrize(
    ("spec", "passed_us", "earliest_us", "advice"),
    [
        pytest.param(
            RELATIVE,
            0,
            11_834_000,
            "deadline: 12s (until 2026-12-01T12:00:12Z, started now)",
            id="a part of a second is a second",
        ),
        pytest.param(
            RELATIVE,
            3 * S,
            14 * S,
            "deadline: 18s (until 2026-12-01T12:00:18Z, started now)",
            id="what has passed counts, and a second",
        ),
        pytest.param(
            RELATIVE,
            60 * S,
            100 * S + 1,
            "deadline: 2m56s (until 2026-12-01T12:02:56Z, started now)",
            id="a long index differs by more",
        ),
        pytest.param(
            ABSOLUTE,
            3 * S,
            14 * S,
            "deadlineTime: 2026-12-01T12:01:18Z (started within a minute)",
            id="a time leaves a minute to write it",
        ),
        pytest.param(
            RELATIVE,
            0,
            10**14,
            "deadline: 27777h46m40s (until 2030-01-31T21:46:40Z, started now)",
            id="years are hours",
        ),
        pytest.param(
            RELATIVE,
            0,
            99_999 * 3600 * S,
            "deadline: 99999h (until 2038-04-29T03:00:00Z, started now)",
            id="the longest deadline",
        ),
        pytest.param(
            RELATIVE,
            0,
            99_999 * 3600 * S + 1,
            "no deadline is enough (a manifest takes at most 99999h)",
            id="longer than any deadline",
        ),
    ],
)
def test_the_advice(spec: dict[str, Any], passed_us: int, earliest_us: int, advice: str) -> None:
    found = advise_deadline(job(**spec).spec, earliest_us, now_us=NOON_US, start_us=NOON_US - passed_us)
    assert found == advice


@given(passed_us=st.integers(0, 3600 * S), earliest_us=st.integers(1, 10**12), more=st.integers(0, 20))
def test_who_follows_it_is_in_time_though_it_takes_a_little_longer_to_begin(
    passed_us: int, earliest_us: int, more: int
) -> None:
    advice = advise_deadline(job(**RELATIVE).spec, earliest_us, now_us=NOON_US, start_us=NOON_US - passed_us)
    written = re.match(r"deadline: (\S+) ", advice)
    assert written
    again = job(deadline=written[1]).spec
    left_us = again.deadline_us(accepted_us=NOON_US) - NOON_US - passed_us * (100 + more) // 100
    assert left_us >= earliest_us
