"""Durations and counts at the edge: read exactly, rounded once and downwards, written for people."""

import json
from datetime import UTC, datetime, timedelta, timezone
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_api.units import (
    MICROS_PER_SECOND,
    format_at_least,
    format_count,
    format_duration,
    format_progress,
    format_time,
    format_time_at_least,
    from_micros,
    parse_duration_us,
    parse_time_us,
    seconds,
    to_micros,
)

S = 1_000_000


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("10m", 600 * S),
        ("1h30m", 5_400 * S),
        ("1.5s", 1_500_000),
        ("90s", 90 * S),
        ("850ms", 850_000),
        ("7us", 7),
        ("2h0.5m1ms", 7_230 * S + 1_000),
        ("0.1s", 100_000),
        ("5836.987214s", 5_836_987_214),
        ("99999h", 99_999 * 3_600 * S),
    ],
)
def test_a_duration_is_read_exactly(text: str, micros: int) -> None:
    assert parse_duration_us(text) == micros


def test_a_deadline_is_rounded_down_to_the_microsecond_and_a_time_up_where_asked() -> None:
    assert parse_duration_us("0.0015ms") == 1
    assert parse_duration_us("0.0015ms", rounding=ceil) == 2


@pytest.mark.parametrize(
    "text", ["", "10", "m", "-5m", "+5m", "5 m", "10M", "1d", "nan", "inf", "1e3s", ".5s", "5.s", "12345678h", "٣s"]
)
def test_anything_else_is_no_duration_and_is_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration; write hours, minutes and seconds") as error:
        parse_duration_us(text)
    assert repr(text) in str(error.value)


@given(st.integers(0, 10**13 - 1))
def test_no_microsecond_is_lost_in_seconds(micros: int) -> None:
    assert parse_duration_us(f"{micros // S}.{micros % S:06d}s") == micros


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "0s"),
        (1, "1ms"),
        (500_001, "501ms"),
        (999_000, "999ms"),
        (999_001, "1.0s"),
        (9_440_000, "9.4s"),
        (10 * S, "10s"),
        (59_700_000, "1m00s"),
        (65 * S, "1m05s"),
        (3_600 * S, "1h00m"),
        (7_380 * S, "2h03m"),
        (-65 * S, "-1m05s"),
        (-2_000, "-2ms"),
    ],
)
def test_a_duration_is_written_for_people(micros: int, text: str) -> None:
    assert format_duration(micros) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (950, "950"),
        (999, "999"),
        (1_000, "1k"),
        (1_960, "1.9k"),
        (10_500, "10k"),
        (41_999, "41k"),
        (999_999, "999k"),
        (1_200_000, "1.2M"),
        (1_960_000, "1.9M"),
        (3 * 10**9, "3G"),
        (10**12, "1000G"),
    ],
)
def test_a_count_is_never_written_larger_than_it_is(number: int, text: str) -> None:
    assert format_count(number) == text


@pytest.mark.parametrize(
    ("done", "images", "text"),
    [
        (0, 1, "0/1"),
        (993, 1_000, "993/1,000"),
        (99_999, 99_999, "99,999/99,999"),
        (41_207, 1_200_000, "41,207/1.2M"),
        (100_000, 100_000, "100k/100k"),
    ],
)
def test_progress_is_told_to_the_image_while_that_is_short(done: int, images: int, text: str) -> None:
    assert format_progress(done, images) == text
    assert format_progress(done, images, comma="") == text.replace(",", "")


@pytest.mark.parametrize(
    ("micros", "written"), [(500_000, "0.5"), (-33_000_000, "-33.0"), (1, "1e-06"), (1_234_567, "1.234567")]
)
def test_seconds_have_at_most_six_decimals(micros: int, written: str) -> None:
    assert json.dumps(seconds(micros)) == written


def test_a_time_is_written_to_the_second_in_utc_and_read_back() -> None:
    assert format_time(1_764_140_400_999_999) == "2025-11-26T07:00:00Z"
    assert parse_time_us("2025-11-26T07:00:00Z") == parse_time_us("2025-11-26T08:00:00+01:00") == 1_764_140_400_000_000


def test_a_time_in_advice_is_rounded_up_to_the_second() -> None:
    assert format_time_at_least(1_764_140_400_000_001) == "2025-11-26T07:00:01Z"
    assert format_time_at_least(1_764_140_400_000_000) == "2025-11-26T07:00:00Z"


@pytest.mark.parametrize("text", ["2025-11-26T07:00:00", "soon", "2025-13-26T07:00:00Z"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"offset|isoformat|month"):
        parse_time_us(text)


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(3170, 1, 1), timezones=st.just(UTC)))
def test_a_moment_comes_back_to_the_microsecond(moment: datetime) -> None:
    assert from_micros(to_micros(moment)) == moment


def test_a_moment_counts_from_1970_in_utc_wherever_it_was_written() -> None:
    assert to_micros(datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=1)))) == 3_600 * S


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (10**15 + 999_999, "2001-09-09T01:46:40Z"),
        (253_402_300_799 * 10**6, "9999-12-31T23:59:59Z"),
        (253_402_300_800 * 10**6, "9999-12-31T23:59:59Z"),
        (10**40, "9999-12-31T23:59:59Z"),
        (-(10**40), "0001-01-01T00:00:00Z"),
        (-30_641_760_000 * 10**6, "0999-01-01T00:00:00Z"),
    ],
)
def test_a_time_that_nobody_can_write_is_the_last_or_first_that_one_can(micros: int, text: str) -> None:
    assert format_time(micros) == text
    assert format_time(parse_time_us(text)) == text


@given(st.integers(1, 10**12))
def test_a_duration_that_is_at_least_as_long_is_hardly_longer(micros: int) -> None:
    at_least = parse_duration_us(format_at_least(micros))
    assert micros <= at_least <= micros + max(100_000, min(MICROS_PER_SECOND, micros // 10), micros // 50)


@pytest.mark.parametrize(
    ("micros", "text"),
    [(1, "1ms"), (9_949_999, "10s"), (10_000_001, "11s"), (3_599_000_001, "1h00m"), (7_381_000_000, "2h04m")],
)
def test_a_duration_in_advice_is_rounded_up(micros: int, text: str) -> None:
    assert format_at_least(micros) == text
