"""Durations, counts and clocks at the edges of the program. Inside it, times are integer microseconds.

Floats lose a mini-batch in 8-25 % of boundary cases (`floor((T - W) / L)` with seconds), so a duration is parsed
exactly, in decimal, and rounded once: profiled times up, deadlines down.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from fractions import Fraction
from math import ceil, floor

MICROS_PER_SECOND = 1_000_000
_UNIT_MICROS = {
    "h": 3600 * MICROS_PER_SECOND,
    "m": 60 * MICROS_PER_SECOND,
    "s": MICROS_PER_SECOND,
    "ms": 1000,
    "us": 1,
}

# Counts below it are shown to the unit where there is room for as many digits.
_SHORT_COUNT = 100_000
# 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z, the times that a datetime and RFC 3339 can say.
_FIRST_MOMENT, _LAST_MOMENT = -62_135_596_800 * MICROS_PER_SECOND, 253_402_300_799 * MICROS_PER_SECOND

# Go's notation, which Kubernetes and CEL's duration() read, limited to 11 years of hours: Go's ends at 292 years, and
# the API server answers a sum beyond that with an error of its own.
DURATION_PATTERN = r"^([0-9]{1,5}(\.[0-9]{1,6})?h|[0-9]{1,7}(\.[0-9]{1,6})?(m|s|ms|us))+$"
_TERM = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|ms|us|m|s)")


def seconds(micros: int) -> float:
    """Return microseconds as seconds with six decimals, as JSON and YAML documents carry times."""
    return round(micros / MICROS_PER_SECOND, 6)


def parse_duration_us(text: str, *, rounding: Callable[[Fraction], int] = floor) -> int:
    """Return the microseconds of a duration such as `10m` or `1h30m`. Raise ValueError, with a sentence, for others."""
    if not re.fullmatch(DURATION_PATTERN, text):
        days = re.fullmatch(r"([0-9]{1,3})d", text)
        hours = f"; {text} is {int(days[1]) * 24}h" if days else ""
        raise ValueError(
            f"{text!r} is not a duration; write hours, minutes and seconds, such as 10m, 1h30m or 90s{hours}"
        )
    return rounding(sum((Fraction(number) * _UNIT_MICROS[unit] for number, unit in _TERM.findall(text)), Fraction(0)))


def format_duration(micros: int) -> str:
    """Return the duration for people, in at most two units: `-1m05s`, `2h03m`, `850ms`."""
    sign, micros = ("-", -micros) if micros < 0 else ("", micros)
    if micros <= 999_000:
        return f"{sign}{ceil(micros / 1000)}ms" if micros else "0s"
    if micros < 10 * MICROS_PER_SECOND:
        return f"{sign}{micros / MICROS_PER_SECOND:.1f}s"
    seconds = round(micros / MICROS_PER_SECOND)
    if seconds < 60:
        return f"{sign}{seconds}s"
    if seconds < 3600:
        return f"{sign}{seconds // 60}m{seconds % 60:02d}s"
    minutes = round(seconds / 60)
    return f"{sign}{minutes // 60}h{minutes % 60:02d}m"


def format_exactly(seconds: int) -> str:
    """Return a duration as a manifest takes it, without the units that are zero: 45s, 1m30s, 27777h46m40s; 0 is 0."""
    minutes, rest = divmod(seconds, 60)
    terms = [f"{value}{unit}" for value, unit in ((minutes // 60, "h"), (minutes % 60, "m"), (rest, "s")) if value]
    return "".join(terms) or "0"


def format_at_least(micros: int) -> str:
    """Return a duration for people that is no shorter than this, as advice has to be: 2h04m for 2 h 3 min 1 s."""
    units = (1000, MICROS_PER_SECOND // 10, MICROS_PER_SECOND, 60 * MICROS_PER_SECOND)
    limits = (999_000, 99 * MICROS_PER_SECOND // 10, 3599 * MICROS_PER_SECOND)
    unit = next((unit for unit, limit in zip(units, limits, strict=False) if micros <= limit), units[-1])
    return format_duration(-(-micros // unit) * unit)


def format_count(number: int) -> str:
    """Return a count in the width of a column, rounded down: 950, 41k, 1.2M, 3G."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= size:
            whole, tenths = divmod(number * 10 // size, 10)
            return f"{whole}.{tenths}{unit}" if whole < 10 and tenths else f"{whole}{unit}"
    return str(number)


def format_progress(done: int, images: int, *, comma: str = ",") -> str:
    """Return how many of how many are done, to the image as long as that is short: 993/1,000, 41,207/1.2M.

    Where each column counts, `comma` is empty.
    """
    counts = (f"{count:,}" if count < _SHORT_COUNT else format_count(count) for count in (done, images))
    return "/".join(counts).replace(",", comma)


def to_micros(moment: datetime) -> int:
    """Return the microseconds since 1970 of an aware datetime, exactly."""
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * MICROS_PER_SECOND + delta.microseconds


def from_micros(micros: int) -> datetime:
    """Return the aware datetime of microseconds since 1970; beyond the years 1 to 9999 the first or last one there is.

    A job of 10 ** 12 images on one slow device ends so late, which is to say never.
    """
    seconds, rest = divmod(max(_FIRST_MOMENT, min(micros, _LAST_MOMENT)), MICROS_PER_SECOND)
    return datetime.fromtimestamp(seconds, tz=UTC).replace(microsecond=rest)


def parse_time_us(text: str) -> int:
    """Return the microseconds since 1970 of an RFC 3339 time. Raise ValueError if it is none or has no offset."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no offset from UTC")
    return to_micros(moment)


def format_time(micros: int) -> str:
    """Return microseconds since 1970 as RFC 3339 in UTC, to the second."""
    return from_micros(micros).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def slack_between(finish_us: int, deadline_us: int) -> str:
    """Return how long before the deadline the finish is, by both times to the second, as `format_time` shows them."""
    seconds = deadline_us // MICROS_PER_SECOND - finish_us // MICROS_PER_SECOND
    return format_duration(seconds * MICROS_PER_SECOND)


def format_time_at_least(micros: int) -> str:
    """Return microseconds since 1970 as RFC 3339 in UTC, to the second and no earlier, as advice has to be."""
    return format_time(-(-micros // MICROS_PER_SECOND) * MICROS_PER_SECOND)


def format_exact_time(micros: int) -> str:
    """Return microseconds since 1970 as RFC 3339 in UTC, to the microsecond."""
    return from_micros(micros).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def clock_time(micros: int, *, now_us: int) -> str:
    """Return microseconds since 1970 for people, in UTC: `02:14:05 UTC`, with the date if that isn't today's."""
    moment = from_micros(micros)
    is_today = moment.date() == from_micros(now_us).date()
    return f"{moment:%H:%M:%S} UTC" if is_today else f"{moment:%Y-%m-%d %H:%M:%S} UTC"
