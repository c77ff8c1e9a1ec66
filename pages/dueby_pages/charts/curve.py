"""A curve as a picture for a slide: devices, and with prices cost, over the deadline or over the images.

Unlike the charts of a page it is a whole SVG document of a fixed size, with its styles in it, so that it looks the same
wherever it is put. Both axes are logarithmic: twice the time is the same way everywhere, and half the devices, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from textwrap import wrap
from typing import Literal

from dueby_api.units import MICROS_PER_SECOND, format_count, format_duration
from dueby_pages.charts.axes import name_time
from dueby_pages.charts.svg import Child, Markup, element

_WIDTH, _HEIGHT = 1120, 560
_LEFT, _BETWEEN, _RIGHT, _TOP, _BOTTOM = 64, 84, 28, 132, 104
_FONT = "font-family:system-ui,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"
_INK, _FAINT, _GRID = "#1d2733", "#5b6875", "#e4e8ec"
_COLOURS = {"fewest": "#0b5fa5", "cheapest": "#16875a"}
# Of classes alone: told apart by hue and by dashes.
_ALONE = (("#d9822b", "6 3"), ("#8a5fa8", "2 3"), ("#b03a48", "8 3 2 3"), ("#5f8f2f", "4 4"), ("#6d7a86", "1 4"))
_TIMES = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 18_000, 36_000, 86_400, 259_200, 864_000)
# About as wide as a letter is in a text of 13 px.
_LETTER = 7.0
MAX_ALONE = len(_ALONE)
"""Classes of which a picture has room for a line each."""


LineKind = Literal["fewest", "cheapest", "alone"]


@dataclass(frozen=True, kw_only=True)
class ShownLine:
    """One line of a panel."""

    name: str
    kind: LineKind
    points: Sequence[tuple[float, float]]
    """(seconds or images, devices or cost)."""


@dataclass(frozen=True, kw_only=True)
class ShownPanel:
    """One pair of axes."""

    title: str
    lines: Sequence[ShownLine]
    knee: tuple[float, float, str] | None = None
    """Where more time begins to save little, and its name."""


@dataclass(frozen=True, kw_only=True)
class ShownCurve:
    """A curve as it is shown."""

    title: str
    story: str
    """What it says, in a sentence."""
    axis: str
    """What the horizontal axis is."""
    is_over_time: bool
    panels: Sequence[ShownPanel]
    now: tuple[float, str] | None = None
    """The job's own deadline or images, and its name."""
    bound: tuple[float, str] | None = None
    """What the store bounds, and its name."""


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """Where a panel's values are in the picture."""

    left: float
    right: float
    first: float
    last: float
    least: float
    most: float

    def x(self, value: float) -> float:
        return self.left + (self.right - self.left) * _part(value, self.first, self.last)

    def y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - _TOP) * _part(value, self.least, self.most)


def _part(value: float, first: float, last: float) -> float:
    return log10(value / first) / log10(last / first) if last > first else 0.5


def draw_curve(shown: ShownCurve) -> Markup:
    """Return the picture as an SVG document."""
    count = len(shown.panels)
    width = (_WIDTH - _LEFT - _RIGHT - _BETWEEN * (count - 1)) / max(1, count)
    drawn = [
        _draw_panel(shown, panel, left=_LEFT + place * (width + _BETWEEN), width=width)
        for place, panel in enumerate(shown.panels)
    ]
    return element(
        "svg",
        element("rect", width=_WIDTH, height=_HEIGHT, fill="#ffffff"),
        _text(shown.title, 24, 36, size=21, weight=600),
        [
            _text(line, 24, 58 + 18 * place, size=13, fill=_FAINT)
            for place, line in enumerate(wrap(shown.story, int((_WIDTH - 48) / _LETTER)))
        ],
        drawn,
        _legend(shown),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        width=_WIDTH,
        height=_HEIGHT,
        role="img",
        aria_label=f"{shown.title}. {shown.story}",
        style=_FONT,
    )


def _draw_panel(shown: ShownCurve, panel: ShownPanel, *, left: float, width: float) -> list[Child]:
    points = [point for line in panel.lines for point in line.points]
    if not points:
        return [_text(f"{panel.title}: nothing to show", left, _TOP - 14, size=14)]
    across = [x for x, _ in points] + ([shown.now[0]] if shown.now else [])
    first, last = min(across), max(across)
    if shown.bound and shown.is_over_time:
        first = min(first, shown.bound[0] * 0.9)
    up = [y for _, y in points]
    frame = _Frame(
        left=left,
        right=left + width,
        first=first,
        last=last,
        least=_rounded(min(up), down=True),
        most=_rounded(max(up), down=False),
    )
    return [
        _text(panel.title, left - 40, _TOP - 26, size=14.5, weight=600),
        _draw_bound(shown, frame),
        _draw_grid(shown, frame),
        _text(shown.axis, frame.right, _HEIGHT - _BOTTOM + 42, size=12.5, fill=_FAINT, anchor="end"),
        # The lines of single classes lie over the broad ones, where these are the same.
        [_draw_line(line, frame, panel.lines) for line in sorted(panel.lines, key=lambda line: line.kind == "alone")],
        _draw_now(shown, frame),
        _draw_knee(panel, frame),
    ]


def _draw_grid(shown: ShownCurve, frame: _Frame) -> list[Markup]:
    bottom = _HEIGHT - _BOTTOM
    marks = []
    for value in _thinned(_decades(frame.least, frame.most), 9):
        y = frame.y(value)
        marks.append(element("line", x1=frame.left, x2=frame.right, y1=y, y2=y, stroke=_GRID))
        marks.append(_text(_number(value), frame.left - 8, y + 4, size=12, fill=_FAINT, anchor="end"))
    times = [float(seconds) for seconds in _TIMES if frame.first <= seconds <= frame.last]
    ticks = _thinned(times if shown.is_over_time else _decades(frame.first, frame.last), 8)
    for value in ticks if len(ticks) > 1 else [frame.first, frame.last]:
        x = frame.x(value)
        marks.append(element("line", x1=x, x2=x, y1=bottom, y2=bottom + 5, stroke=_FAINT))
        marks.append(_text(_tick(value, shown), x, bottom + 20, size=12, fill=_FAINT, anchor="middle"))
    marks.append(element("line", x1=frame.left, x2=frame.right, y1=bottom, y2=bottom, stroke=_FAINT))
    return marks


def _tick(value: float, shown: ShownCurve) -> str:
    if not shown.is_over_time:
        return _number(value)
    return name_time(value) if value in _TIMES else format_duration(round(value * MICROS_PER_SECOND))


def _draw_line(line: ShownLine, frame: _Frame, lines: Sequence[ShownLine]) -> Markup:
    colour, dashes, width = _looks(line, lines)
    path = "M" + "L".join(f"{frame.x(x):.1f} {frame.y(y):.1f}" for x, y in line.points)
    return element(
        "path",
        element("title", line.name),
        d=path,
        fill="none",
        stroke=colour,
        stroke_width=width,
        stroke_dasharray=dashes,
        stroke_linejoin="round",
    )


def _looks(line: ShownLine, lines: Sequence[ShownLine]) -> tuple[str, str | None, float]:
    if line.kind != "alone":
        return _COLOURS[line.kind], None, 3.0
    place = [other.name for other in lines if other.kind == "alone"].index(line.name)
    colour, dashes = _ALONE[place % MAX_ALONE]
    return colour, dashes, 1.8


def _draw_now(shown: ShownCurve, frame: _Frame) -> list[Markup]:
    if shown.now is None or not frame.first <= shown.now[0] <= frame.last:
        return []
    x = frame.x(shown.now[0])
    is_right = x > (frame.left + frame.right) / 2
    return [
        element(
            "line",
            x1=x,
            x2=x,
            y1=_TOP - 20,
            y2=_HEIGHT - _BOTTOM,
            stroke=_INK,
            stroke_width=1.4,
            stroke_dasharray="5 4",
        ),
        # Above the panel: its topmost line may be anywhere.
        _text(shown.now[1], x + (-6 if is_right else 6), _TOP - 10, size=12.5, anchor="end" if is_right else "start"),
    ]


def _draw_bound(shown: ShownCurve, frame: _Frame) -> list[Markup]:
    if shown.bound is None or not frame.first <= shown.bound[0] <= frame.last:
        return []
    x = frame.x(shown.bound[0])
    left, right = (frame.left, x) if shown.is_over_time else (x, frame.right)
    bottom = _HEIGHT - _BOTTOM
    return [
        element("rect", x=left, y=_TOP - 8, width=max(1.0, right - left), height=bottom - _TOP + 8, fill="#f6e9d8"),
        element("line", x1=x, x2=x, y1=_TOP - 8, y2=bottom, stroke="#b3701a", stroke_width=1.4),
        _text(
            shown.bound[1],
            x + (6 if shown.is_over_time else -6),
            bottom - 10,
            size=12.5,
            fill="#8a5412",
            anchor="start" if shown.is_over_time else "end",
        ),
    ]


def _draw_knee(panel: ShownPanel, frame: _Frame) -> list[Markup]:
    if panel.knee is None:
        return []
    at, value, name = panel.knee
    x, y = frame.x(at), frame.y(value)
    is_right = x > (frame.left + frame.right) / 2
    return [
        element("circle", cx=x, cy=y, r=5.5, fill="#ffffff", stroke=_INK, stroke_width=2.2),
        _text(name, x + (-8 if is_right else 10), y - 12, size=12.5, weight=600, anchor="end" if is_right else "start"),
    ]


def _legend(shown: ShownCurve) -> list[Markup]:
    """Return a sign and a name for each line, side by side, in as many rows as they need."""
    marks: list[Markup] = []
    x, y = float(_LEFT - 40), float(_HEIGHT - 36)
    shown_names: set[str] = set()
    for panel in shown.panels:
        for line in panel.lines:
            if line.name in shown_names:
                continue
            shown_names.add(line.name)
            needed = 34 + _LETTER * len(line.name) + 22
            if x + needed > _WIDTH and x > _LEFT:
                x, y = float(_LEFT - 40), y + 20
            colour, dashes, width = _looks(line, panel.lines)
            marks.append(
                element(
                    "line",
                    x1=x,
                    x2=x + 26,
                    y1=y - 4,
                    y2=y - 4,
                    stroke=colour,
                    stroke_width=width,
                    stroke_dasharray=dashes,
                )
            )
            marks.append(_text(line.name, x + 34, y, size=13))
            x += needed
    return marks


def _text(
    content: str, x: float, y: float, *, size: float, fill: str = _INK, weight: int | None = None, anchor: str = "start"
) -> Markup:
    return element(
        "text", content, x=round(x, 1), y=round(y, 1), font_size=size, fill=fill, font_weight=weight, text_anchor=anchor
    )


def _decades(first: float, last: float) -> list[float]:
    """Return 1, 2 and 5 times the powers of ten from the first to the last value."""
    powers = range(floor(log10(first)), ceil(log10(last)) + 1)
    return [factor * 10.0**power for power in powers for factor in (1, 2, 5) if first <= factor * 10.0**power <= last]


def _rounded(value: float, *, down: bool) -> float:
    """Return the next 1, 2 or 5 times a power of ten, below or above."""
    values = [
        factor * 10.0**power for power in range(floor(log10(value)), floor(log10(value)) + 2) for factor in (1, 2, 5)
    ]
    return (
        max(v for v in values if v <= value * (1 + 1e-9)) if down else min(v for v in values if v >= value * (1 - 1e-9))
    )


def _thinned(ticks: list[float], most: int) -> list[float]:
    """Return at most so many of the ticks: if there are more, the powers of ten among them, or every second one."""
    if len(ticks) <= most:
        return ticks
    powers = [tick for tick in ticks if abs(log10(tick) - round(log10(tick))) < 1e-9]
    return powers if 2 <= len(powers) <= most else ticks[:: -(-len(ticks) // most)]


def _number(value: float) -> str:
    return f"{value:g}" if value < 1000 else format_count(round(value))
