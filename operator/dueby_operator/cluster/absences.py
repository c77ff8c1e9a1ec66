"""When nodes go away, and when they come back: a node's annotation, and the chart's maintenance windows. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from functools import lru_cache

from dueby_api.errors import Invalid
from dueby_api.units import MICROS_PER_SECOND, to_micros
from dueby_operator.objects.parse import micros_of
from dueby_operator.settings import Maintenance, WeeklyWindow
from dueby_planner.model.problem import NEVER_US
from dueby_planner.schedule.devices import Absence

DRAIN_AT = "dueby.dev/drain-at"
# So far ahead weekly windows are seen. Few deadlines are further off, and each change of what is there costs time.
WEEKS_AHEAD = 4
_HOUR_US = 3600 * MICROS_PER_SECOND
DAY_US = 24 * _HOUR_US


def read_drain_at(annotations: Mapping[str, str]) -> int | None:
    """Return when the node is to be drained, in microseconds since 1970; None if its annotations don't say.

    Raise Invalid if they say something that is no time.
    """
    text = annotations.get(DRAIN_AT)
    drain_at_us = micros_of(text)
    if text is not None and drain_at_us is None:
        raise Invalid(DRAIN_AT, f"must be a time such as 2026-12-01T06:00:00Z, but is {text[:40]!r}")
    return drain_at_us


def find_absences(
    labels: Mapping[str, str], maintenance: Iterable[Maintenance], *, drain_at_us: int | None = None
) -> tuple[Absence, ...]:
    """Return when a node with these labels is away, in microseconds since 1970, in order, with gaps between.

    Weekly windows are not among them. A node that is drained is away until its annotation is.
    """
    absences = [
        Absence(to_micros(window.from_time), to_micros(window.to_time))
        for window in maintenance
        if window.from_time and window.to_time and window.selects(labels)
    ]
    if drain_at_us is not None:
        absences.append(Absence(drain_at_us, NEVER_US))
    return _merged(absences)


def find_weekly(labels: Mapping[str, str], maintenance: Iterable[Maintenance]) -> tuple[WeeklyWindow, ...]:
    """Return the windows of each week in which a node with these labels is away."""
    return tuple(window.weekly for window in maintenance if window.weekly and window.selects(labels))


def with_weekly(once: tuple[Absence, ...], weekly: tuple[WeeklyWindow, ...], *, now_us: int) -> tuple[Absence, ...]:
    """Return the absences and those of the weeks ahead, in order, with gaps between."""
    return _with_weeks_from(once, weekly, now_us // DAY_US) if weekly else once


# Thousands of nodes are asked many times a day, and have few different answers.
@lru_cache(maxsize=1024)
def _with_weeks_from(once: tuple[Absence, ...], weekly: tuple[WeeklyWindow, ...], day: int) -> tuple[Absence, ...]:
    return _merged([*once, *(absence for window in weekly for absence in _occurrences(window, day))])


def _occurrences(window: WeeklyWindow, day: int) -> Iterator[Absence]:
    """Yield the window as often as it comes from before this day, counted from 1970, until after the weeks ahead."""
    weekdays, start, zone = window.weekdays, time.fromisoformat(window.start), window.zone
    first = date(1970, 1, 1) + timedelta(days=day)
    # The last one may have begun a week ago, and a zone's date is at most a day off.
    for days in range(-8, 7 * WEEKS_AHEAD + 2):
        begins_on = first + timedelta(days=days)
        if begins_on.weekday() in weekdays:
            from_us = to_micros(datetime.combine(begins_on, start, tzinfo=zone))
            yield Absence(from_us, from_us + window.hours * _HOUR_US)


def _merged(absences: Iterable[Absence]) -> tuple[Absence, ...]:
    merged: list[Absence] = []
    for absence in sorted(absences):
        if merged and absence.from_us <= merged[-1].to_us:
            merged[-1] = Absence(merged[-1].from_us, max(absence.to_us, merged[-1].to_us))
        else:
            merged.append(absence)
    return tuple(merged)


def from_now(absences: Sequence[Absence], now_us: int) -> tuple[Absence, ...]:
    """Return those of the absences that are not over, in times from now."""
    return tuple(
        Absence(max(0, away.from_us - now_us), away.to_us if away.to_us == NEVER_US else away.to_us - now_us)
        for away in absences
        if away.to_us > now_us
    )
