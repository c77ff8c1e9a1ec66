"""How far workers were from the plan: a strip for each quantity, with a dot for each worker.

The axis is actual / expected and logarithmic, so that twice and half the planned time are as far from the middle.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log
from statistics import median

from dueby_pages.charts.axes import chart, text, thin, vertical_line
from dueby_pages.charts.svg import Markup, element
from dueby_pages.wording import change, duration, fine

_ROW, _TOP = 46, 30
# More dots than this cover each other.
_MAX_DOTS = 400
_RATIOS = (0.25, 0.5, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.25, 2.0, 4.0)
_NAMES = {0.25: "a quarter", 0.5: "half", 1.0: "as planned", 2.0: "twice", 4.0: "4 times"}
# Half the axis as a ratio: no less, so that differences of a few percent look like few, and no more, so that one
# stray worker doesn't press all others together; its dot is at the edge then.
_MIN_REACH, _MAX_REACH = 1.12, 4.0


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One quantity of one worker, in seconds; either may be unknown."""

    expected: float | None
    actual: float | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A worker's quantities by name."""

    worker: str
    kind: str
    """Device class and mini-batch size."""
    revision: int | None
    """Revision of the plan that started the worker."""
    parts: int | None
    """Parts that the worker put into the sink."""
    pairs: dict[str, Pair]


def draw_deviations(rows: Sequence[Comparison]) -> Markup | None:
    """Return the chart; None if there is nothing to compare."""
    shown = {
        name: [row.pairs[name] for row in rows if _is_known(row.pairs[name])]
        for name in (rows[0].pairs if rows else ())
    }
    shown = {name: pairs for name, pairs in shown.items() if pairs}
    if not shown:
        return None
    reach = _reach([_ratio(pair) for pairs in shown.values() for pair in pairs])
    bottom = _TOP + _ROW * len(shown)
    marks = [
        mark
        for i, (name, pairs) in enumerate(shown.items())
        for mark in _draw_strip(name, pairs, reach, _TOP + _ROW * i)
    ]
    return chart(
        _draw_scale(reach, bottom),
        marks,
        height=bottom + 26,
        label="Actual over expected, a dot for each worker",
        class_="strips",
    )


def _draw_strip(name: str, pairs: Sequence[Pair], reach: float, y: float) -> list[Markup]:
    write: Callable[[float | None], str] = duration if name == "finish" else fine
    middle_expected, middle_actual = median(p.expected or 0 for p in pairs), median(p.actual or 0 for p in pairs)
    medians = f"{write(middle_expected)} planned, {write(middle_actual)} actual"
    marks = [
        text(name, x=0, y=y + 13, class_="strip-name"),
        text(medians, x="100%", y=y + 13, anchor="end", class_="strip-values"),
        element("line", x1=0, x2="100%", y1=y + 28, y2=y + 28, class_="track"),
    ]
    ratios = thin(sorted(_ratio(pair) for pair in pairs), most=_MAX_DOTS)
    marks += [element("circle", cx=_place(ratio, reach), cy=y + 28, r=5, class_="dot") for ratio in ratios]
    return marks


def _draw_scale(reach: float, bottom: float) -> list[Markup]:
    # The small factor keeps a tick at the very edge that rounding has put just outside.
    ticks = [ratio for ratio in _RATIOS if abs(log(ratio)) <= reach * 1.001]
    # Ticks close to the middle would run into its name.
    ticks = [r for r in ticks if r == 1 or abs(log(r)) > reach / 4]
    marks: list[Markup] = []
    for ratio in ticks:
        x = _place(ratio, reach)
        marks.append(vertical_line(x, top=_TOP - 6, bottom=bottom, class_="as-planned" if ratio == 1 else "grid"))
        name = _NAMES.get(ratio) or change(ratio, 1).replace(".0", "")
        # The style sheet hides what would run into others on a narrow page.
        minor = " minor" if ratio != 1 and abs(log(ratio)) < 0.4 * reach else ""
        marks.append(text(name, x=x, y=bottom + 18, anchor="middle", class_=f"tick{minor}"))
    marks.append(text("a dot for each worker; medians", x="50%", y=12, anchor="middle", class_="axis-name wide-only"))
    marks.append(text("← shorter", x=0, y=12, class_="axis-name"))
    marks.append(text("longer →", x="100%", y=12, anchor="end", class_="axis-name"))
    return marks


def _reach(ratios: Sequence[float]) -> float:
    """Return half the axis's width as a logarithm: what the dots need, within limits."""
    widest = max(abs(log(ratio)) for ratio in ratios)
    return min(log(_MAX_REACH), max(log(_MIN_REACH), widest * 1.15))


def _place(ratio: float, reach: float) -> str:
    share = 50 + 50 * max(-1.0, min(1.0, log(ratio) / reach))
    return f"{share:.2f}%"


def _is_known(pair: Pair) -> bool:
    return bool(pair.expected and pair.actual and pair.expected > 0 and pair.actual > 0)


def _ratio(pair: Pair) -> float:
    return (pair.actual or 1.0) / (pair.expected or 1.0)
