"""Ticks at times of the day, for charts of what happens at a time and not so long after a start."""

from datetime import UTC, datetime, timedelta

from dueby_api.units import MICROS_PER_SECOND, from_micros
from dueby_pages.charts.axes import time_ticks


def clock_ticks(now_us: int, end_s: float) -> list[tuple[float, str]]:
    """Return round times of the day in UTC between now and `end_s` seconds later, in seconds from now, with names."""
    ticks = time_ticks(end_s)
    step_s = max(1.0, ticks[1] if len(ticks) > 1 else end_s)
    found = []
    at_s = -(now_us / MICROS_PER_SECOND) % step_s
    while at_s <= end_s:
        moment = from_micros(now_us + round(at_s * MICROS_PER_SECOND))
        found.append((at_s, _name(moment, is_exact=step_s < 60)))
        at_s += step_s
    return found


def name_moment(now_us: int, seconds: float) -> str:
    """Return the time of the day, in UTC, and the day where it is another than today's."""
    now, moment = (_to_the_second(from_micros(now_us + round(at * MICROS_PER_SECOND))) for at in (0, seconds))
    day = "" if moment.date() == now.date() else f"{_day(moment)} "
    return f"{day}{moment:%H:%M:%S}"


def _name(moment: datetime, *, is_exact: bool) -> str:
    moment = _to_the_second(moment)
    if (moment.hour, moment.minute, moment.second) == (0, 0, 0):
        return _day(moment)
    return f"{moment:%H:%M:%S}" if is_exact else f"{moment:%H:%M}"


def _to_the_second(moment: datetime) -> datetime:
    # from_micros never returns the last moment that a datetime can say, so half a second can be added.
    return (moment.astimezone(UTC) + timedelta(milliseconds=500)).replace(microsecond=0)


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%b}"
