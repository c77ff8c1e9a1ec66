"""Scales, ticks and the frame of a chart.

A chart is as wide as its column, from 360 to 1100 px, and its text must not scale with it. So there is no viewBox:
horizontal positions are percentages of the chart's width, vertical ones and all sizes are pixels. Only curves, whose
paths can't be given in percent, are in an inner SVG with a width of 1000 units that is stretched, with strokes that
are not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import floor, log10

from dueby_api.units import MICROS_PER_SECOND, format_count, format_exactly, from_micros
from dueby_pages.charts.svg import Child, Markup, element

# Seconds between ticks that people read without reckoning: parts of a minute, an hour and a day.
_TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
# Width of the inner SVG of curves, in its own units.
STRETCH = 1000
# More points than this can't be told apart in a chart 1100 px wide, and make the page large.
MAX_POINTS = 400
# Names of more letters than that are moved if they are nearer to an edge of the chart than so many percent.
_SHORT, _EDGE = 3, 4
# A name that was moved is left out if the next one is nearer than so many percent: it would run into it.
_ROOM = 16
# A deadline further off than this many times the run would squeeze the run into a corner of the chart.
_FAR_OFF = 3


@dataclass(frozen=True, kw_only=True)
class TimeAxis:
    """The chart's width as seconds from 0 to `end_s`, with the deadline if that lies on it."""

    end_s: float
    deadline_s: float | None

    def share(self, seconds: float) -> float:
        """Return the position of the moment as a percentage of the width."""
        return round(min(100.0, max(0.0, 100 * seconds / self.end_s)), 3)

    def at(self, seconds: float) -> str:
        """Return the position of the moment as an attribute's value."""
        return f"{self.share(seconds):g}%"

    @property
    def shows_deadline(self) -> bool:
        return self.deadline_s is not None and self.deadline_s <= self.end_s


def time_axis(*, last_s: float, deadline_s: float | None) -> TimeAxis:
    """Return an axis that reaches to the last event, and to the deadline unless that is too far off to show both."""
    last_s = last_s if last_s > 0 else max(1.0, deadline_s or 0.0)
    ends = [last_s, deadline_s] if deadline_s is not None and deadline_s <= _FAR_OFF * last_s else [last_s]
    # 3 % of room, so that a mark at the end isn't on the edge.
    return TimeAxis(end_s=1.03 * max(ends), deadline_s=deadline_s)


def time_ticks(end_s: float) -> tuple[float, ...]:
    """Return round moments from 0 on, about eight of them."""
    most = 8
    if end_s < most:
        return value_ticks(end_s, most=most)
    step = next((step for step in _TIME_STEPS if end_s / step <= most), None)
    step = step or 86_400 * -(-int(end_s) // (86_400 * most))
    return tuple(float(step * i) for i in range(floor(end_s / step) + 1))


def value_ticks(top: float, *, most: int = 5) -> tuple[float, ...]:
    """Return 0 and the multiples of 1, 2 or 5 times a power of ten up to `top`, about `most` of them."""
    power = 10.0 ** floor(log10(top / most))
    step = next(power * factor for factor in (1, 2, 5, 10) if top / (power * factor) <= most)
    # The small summand keeps a tick at the top that rounding has put just above it.
    return tuple(step * i for i in range(floor(top / step + 1e-9) + 1))


def thin(items: Sequence[float], *, most: int = MAX_POINTS) -> list[float]:
    """Return about `most` of the items, evenly chosen, and always the last one."""
    step = -(-len(items) // most)
    return [*items[:-1:step], *items[-1:]]


def name_time(seconds: float) -> str:
    """Return the moment without the units that are zero: 45s, 1m30s, 2h."""
    return f"{seconds:g}s" if seconds != round(seconds) else format_exactly(round(seconds))


def chart(*children: Child, height: float, label: str, class_: str = "") -> Markup:
    """Return the outer SVG; `label` says in a sentence what it shows, for people who can't see it."""
    return element(
        "svg", *children, class_=f"plot {class_}".strip(), height=height, width="100%", role="img", aria_label=label
    )


def stretched(*children: Child, top: float, height: float) -> Markup:
    """Return the inner SVG for curves: x in 0..1000 over the whole width, y in pixels."""
    box = f"0 0 {STRETCH} {height:g}"
    return element("svg", *children, y=top, width="100%", height=height, viewBox=box, preserveAspectRatio="none")


def curve(points: Sequence[tuple[float, float]], *, class_: str) -> Markup:
    """Return a line through points of an inner SVG."""
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return element("path", d=path, class_=f"curve {class_}", vector_effect="non-scaling-stroke")


def text(content: str, *, x: str | float, y: float, class_: str = "", anchor: str = "start", dx: float = 0) -> Markup:
    return element("text", content, x=x, y=y, dx=dx or None, text_anchor=anchor, class_=class_ or None)


def label_beside(content: str, *, share: float, y: float, class_: str, gap: float = 6) -> Markup:
    """Return a label on that side of a position where there is more room."""
    if share > 50:
        return text(content, x=f"{share:g}%", y=y, anchor="end", dx=-gap, class_=class_)
    return text(content, x=f"{share:g}%", y=y, dx=gap, class_=class_)


def vertical_line(x: str, *, top: float, bottom: float, class_: str) -> Markup:
    return element("line", x1=x, x2=x, y1=top, y2=bottom, class_=class_)


def named_ticks(end_s: float) -> list[tuple[float, str]]:
    """Return round moments from 0 on, with their names."""
    return [(seconds, name_time(seconds)) for seconds in time_ticks(end_s)]


def time_scale(
    axis: TimeAxis, *, top: float, bottom: float, ticks: Sequence[tuple[float, str]] | None = None
) -> list[Markup]:
    """Return the grid and the times under it: round ones from 0 on, or those that are given with their names."""
    marks: list[Markup] = []
    named = named_ticks(axis.end_s) if ticks is None else ticks
    # Ticks are as far from each other as the first two.
    is_crowded = len(named) > 1 and axis.share(named[1][0]) - axis.share(named[0][0]) < _ROOM
    for i, (seconds, name) in enumerate(named):
        # The style sheet hides every second time on a narrow page, where they would run into each other.
        x, minor = axis.at(seconds), " minor" if i % 2 else ""
        marks.append(vertical_line(x, top=top, bottom=bottom, class_="grid"))
        anchor = _anchor(name, axis.share(seconds))
        if anchor == "middle" or not is_crowded:
            marks.append(text(name, x=x, y=bottom + 18, anchor=anchor, class_=f"tick{minor}"))
    return marks


def _anchor(name: str, share: float) -> str:
    """Return which part of a name is at its position: at an edge, half of a long one would be cut off."""
    if len(name) <= _SHORT or _EDGE <= share <= 100 - _EDGE:
        return "middle"
    return "start" if share < _EDGE else "end"


def value_scale(ticks: Sequence[float], *, top: float, bottom: float, most: float) -> list[Markup]:
    """Return horizontal grid lines with their values on the left."""
    marks: list[Markup] = []
    for value in ticks:
        y = round(bottom - (bottom - top) * value / most, 1)
        marks.append(element("line", x1=0, x2="100%", y1=y, y2=y, class_="grid base" if value == 0 else "grid"))
        named = f"{value:g}" if 0 < value < 1 else format_count(round(value))
        marks.append(text(named, x=-8, y=y + 4, anchor="end", class_="tick"))
    return marks


def deadline_mark(axis: TimeAxis, *, top: float, bottom: float, name: str) -> list[Markup]:
    """Return the deadline's line and the area after it, or a note at the edge if the deadline is beyond the chart."""
    if axis.deadline_s is None:
        return []
    if not axis.shows_deadline:
        return [text(f"{name} →", x="100%", y=top - 9, anchor="end", class_="deadline-name")]
    share = axis.share(axis.deadline_s)
    return [
        element("rect", x=f"{share:g}%", y=top, width=f"{100 - share:g}%", height=bottom - top, class_="beyond"),
        vertical_line(f"{share:g}%", top=top - 4, bottom=bottom, class_="deadline"),
        label_beside(name, share=share, y=top - 9, class_="deadline-name", gap=0),
    ]


def clock_ticks(now_us: int, end_s: float) -> list[tuple[float, str]]:
    """Return round times of the day in UTC between now and `end_s` seconds later, in seconds from now, with names."""
    ticks = time_ticks(end_s)
    step_s = max(1.0, ticks[1] if len(ticks) > 1 else end_s)
    named = []
    at_s = -(now_us / MICROS_PER_SECOND) % step_s
    while at_s <= end_s:
        moment = from_micros(now_us + round(at_s * MICROS_PER_SECOND))
        named.append((at_s, _name(moment, is_exact=step_s < 60)))
        at_s += step_s
    return named


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
