"""Spans of time in which something is so: once, or in each week. They become the absences of devices."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple

from dueby_api.capacity import Timed, WeeklyWindow
from dueby_api.units import MICROS_PER_SECOND, to_micros
from dueby_planner.model.problem import NEVER_US

# So far ahead weekly windows are seen. Few deadlines are further off, and each change of what is there costs time.
WEEKS_AHEAD = 4
_HOUR_US = 3600 * MICROS_PER_SECOND
DAY_US = 24 * _HOUR_US
SEEN_US = 7 * WEEKS_AHEAD * DAY_US
"""Until so long from now weekly windows are known."""


class Span(NamedTuple):
    """From when to when something is so."""

    from_us: int
    to_us: int
    """NEVER_US if it has no end that is known."""


Spans = tuple[Span, ...]
"""Spans in order, with gaps between."""


def find_once(windows: Iterable[Timed]) -> Spans:
    """Return those of the windows that aren't weekly, in microseconds since 1970."""
    return merged(
        Span(to_micros(window.from_time), to_micros(window.to_time))
        for window in windows
        if window.from_time and window.to_time
    )


def find_weekly(windows: Iterable[Timed]) -> tuple[WeeklyWindow, ...]:
    """Return the windows of each week."""
    return tuple(window.weekly for window in windows if window.weekly)


def find_spans(windows: Sequence[Timed], *, now_us: int) -> Spans:
    """Return both, in microseconds since 1970: of weekly windows, some weeks ahead."""
    return with_weekly(find_once(windows), find_weekly(windows), now_us=now_us)


def with_weekly(once: Spans, weekly: tuple[WeeklyWindow, ...], *, now_us: int) -> Spans:
    """Return these spans and those of the weeks ahead."""
    return _with_weeks_from(once, weekly, now_us // DAY_US) if weekly else once


# Thousands of nodes are asked many times a day, and have few different answers.
@lru_cache(maxsize=1024)
def _with_weeks_from(once: Spans, weekly: tuple[WeeklyWindow, ...], day: int) -> Spans:
    return merged([*once, *(span for window in weekly for span in _occurrences(window, day))])


def _occurrences(window: WeeklyWindow, day: int) -> Iterator[Span]:
    """Yield the window as often as it comes from before this day, counted from 1970, until after the weeks ahead."""
    weekdays, start, zone = window.weekdays, time.fromisoformat(window.start), window.zone
    first = date(1970, 1, 1) + timedelta(days=day)
    # The last one may have begun a week ago, and a zone's date is at most a day off.
    for days in range(-8, 7 * WEEKS_AHEAD + 2):
        begins_on = first + timedelta(days=days)
        if begins_on.weekday() in weekdays:
            from_us = to_micros(datetime.combine(begins_on, start, tzinfo=zone))
            yield Span(from_us, from_us + window.hours * _HOUR_US)


def merged(spans: Iterable[Span]) -> Spans:
    """Return the spans; those that overlap or meet are one."""
    together: list[Span] = []
    for span in sorted(spans):
        if together and span.from_us <= together[-1].to_us:
            together[-1] = Span(together[-1].from_us, max(span.to_us, together[-1].to_us))
        else:
            together.append(span)
    return tuple(together)


@lru_cache(maxsize=1024)
def absences(away: Spans, present: Spans) -> Spans:
    """Return when devices are not there that are away in some spans, and there in others only."""
    return merged([*away, *outside(present)])


def outside(spans: Spans) -> Spans:
    """Return the time from 0 on that is in none of the spans."""
    borders = [0, *(border for span in spans for border in span), NEVER_US]
    return tuple(Span(*gap) for gap in zip(borders[::2], borders[1::2], strict=True) if gap[0] < gap[1])


def from_now(spans: Sequence[Span], now_us: int) -> Spans:
    """Return those of the spans that are not over, in times from now."""
    return tuple(
        Span(max(0, span.from_us - now_us), span.to_us if span.to_us == NEVER_US else span.to_us - now_us)
        for span in spans
        if span.to_us > now_us
    )
