"""Expected against actual: how far each worker's start-up, warm-up, step and finish were from the plan's.

One strip a quantity, a dot a worker, on a logarithmic axis of actual / expected, so that twice and half are as far from
the plan. The exact numbers are in the table under it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log
from statistics import median

from dueby.report.axes import figure, text, thin, upright
from dueby.report.facts import Facts
from dueby.report.html import Markup, tag
from dueby.report.run import Run
from dueby.report.wording import change, duration, fine, number
from dueby_api.run_record import WorkerRecord
from dueby_api.units import MICROS_PER_SECOND

_ROW, _TOP = 46, 30
_MAX_ROWS = 64
_MAX_DOTS = 400
_RATIOS = (0.25, 0.5, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.25, 2.0, 4.0)
_NAMES = {0.25: "a quarter", 0.5: "half", 1.0: "as planned", 2.0: "twice", 4.0: "4 times"}


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
    pairs: dict[str, Pair]


def compare(run: Run) -> tuple[Comparison, ...]:
    """Each worker beside what the plan that started it expected; one that was lost or stopped has no finish."""
    rows = []
    for name, worker in run.workers.items():
        planned = run.planned.get(name)
        pairs = {
            "start-up": Pair(expected=planned.startup_s if planned else None, actual=_seconds(worker.startup_us)),
            "warm-up": Pair(expected=planned.warmup_s if planned else None, actual=_seconds(worker.warmup_us)),
            "step": Pair(expected=planned.step_s if planned else None, actual=_seconds(worker.step_us)),
            "finish": Pair(expected=run.planned_finish_s.get(name), actual=_finish_of(worker, run)),
        }
        rows.append(Comparison(worker=name, kind=f"{worker.device_class} · {worker.mini_batch_size}", pairs=pairs))
    return tuple(rows)


def _finish_of(worker: WorkerRecord, run: Run) -> float | None:
    """When the worker was done: with the run, where it was at work to the end of one that has all its rows."""
    ended_s, state = worker.states[-1] if worker.states else (0.0, "")
    if state == "done":
        return ended_s
    return run.summary.actual_seconds if state in ("running", "tails") and run.is_complete else None


def overall(run: Run) -> Facts:
    """The whole run's finish and rate, once it has ended."""
    expected_s, actual_s = run.expected_s, run.summary.actual_seconds
    if not expected_s or not actual_s or run.images is None:
        return []
    planned, actual = ((run.images - run.inherited) / s for s in (expected_s, actual_s))
    return [
        ("finish", f"{duration(expected_s)} planned, {duration(actual_s)} actual, {change(actual_s, expected_s)}"),
        ("images per second", f"{number(planned)} planned, {number(actual)} actual, {change(actual, planned)}"),
    ]


def draw_strips(rows: Sequence[Comparison]) -> Markup | None:
    """The figure; None where there is nothing to compare."""
    known = {
        name: [row.pairs[name] for row in rows if _is_known(row.pairs[name])]
        for name in (rows[0].pairs if rows else ())
    }
    known = {name: pairs for name, pairs in known.items() if pairs}
    if not known:
        return None
    reach = _reach([_ratio(pair) for pairs in known.values() for pair in pairs])
    bottom = _TOP + _ROW * len(known)
    marks = [
        mark
        for i, (name, pairs) in enumerate(known.items())
        for mark in _draw_strip(name, pairs, reach, _TOP + _ROW * i)
    ]
    drawing = figure(
        _draw_scale(reach, bottom),
        marks,
        height=bottom + 26,
        label="Actual over expected, a dot for each worker",
        class_="strips",
    )
    return tag("div", drawing, class_="figure bare")


def _draw_strip(name: str, pairs: Sequence[Pair], reach: float, y: float) -> list[Markup]:
    write: Callable[[float | None], str] = duration if name == "finish" else fine
    middle_expected, middle_actual = median(p.expected or 0 for p in pairs), median(p.actual or 0 for p in pairs)
    told = f"{write(middle_expected)} planned, {write(middle_actual)} actual"
    marks = [
        text(name, x=0, y=y + 13, class_="strip-name"),
        text(told, x="100%", y=y + 13, anchor="end", class_="strip-values"),
        tag("line", x1=0, x2="100%", y1=y + 28, y2=y + 28, class_="track"),
    ]
    ratios = thin(sorted(_ratio(pair) for pair in pairs), most=_MAX_DOTS)
    marks += [tag("circle", cx=_place(ratio, reach), cy=y + 28, r=5, class_="dot") for ratio in ratios]
    return marks


def _draw_scale(reach: float, bottom: float) -> list[Markup]:
    ticks = [ratio for ratio in _RATIOS if abs(log(ratio)) <= reach * 1.001]
    ticks = [r for r in ticks if r == 1 or abs(log(r)) > reach / 4]
    marks: list[Markup] = []
    for ratio in ticks:
        x = _place(ratio, reach)
        marks.append(upright(x, top=_TOP - 6, bottom=bottom, class_="as-planned" if ratio == 1 else "grid"))
        named = _NAMES.get(ratio) or change(ratio, 1).replace(".0", "")
        marks.append(text(named, x=x, y=bottom + 18, anchor="middle", class_="tick"))
    marks.append(text("a dot for each worker; medians", x="50%", y=12, anchor="middle", class_="axis-name"))
    marks.append(text("← shorter", x=0, y=12, class_="axis-name"))
    marks.append(text("longer →", x="100%", y=12, anchor="end", class_="axis-name"))
    return marks


def tabulate(rows: Sequence[Comparison]) -> Markup:
    """All the numbers, a row for each worker; the latest ones of very many."""
    shown = sorted(rows, key=lambda row: row.pairs["finish"].actual or 0.0, reverse=True)[:_MAX_ROWS]
    names = {row.worker for row in shown}
    head = tag(
        "tr",
        tag("th", "worker"),
        tag("th", "class · size"),
        [tag("th", name, class_="number") for name in ("start-up", "warm-up", "step", "finish")],
    )
    body = [_table_row(row) for row in rows if row.worker in names]
    table = tag("div", tag("table", tag("thead", head), tag("tbody", body)), class_="scroll", tabindex="0")
    which = f" ({number(len(shown))} of {number(len(rows))}, the latest)" if len(shown) < len(rows) else ""
    return tag("details", tag("summary", f"Planned and actual of each worker{which}"), table)


def _table_row(row: Comparison) -> Markup:
    cells = []
    for name, pair in row.pairs.items():
        write = duration if name == "finish" else fine
        planned = tag("span", f"{write(pair.expected)} → ", class_="quiet")
        cells.append(tag("td", planned, write(pair.actual), class_="number"))
    return tag("tr", tag("td", row.worker), tag("td", row.kind), cells)


def _reach(ratios: Sequence[float]) -> float:
    """Half the axis' width, as a logarithm: what the dots need, at least 10 % and at most four times."""
    widest = max(abs(log(ratio)) for ratio in ratios)
    return min(log(4.0), max(log(1.12), widest * 1.15))


def _place(ratio: float, reach: float) -> str:
    share = 50 + 50 * max(-1.0, min(1.0, log(ratio) / reach))
    return f"{share:.2f}%"


def _is_known(pair: Pair) -> bool:
    return bool(pair.expected and pair.actual and pair.expected > 0 and pair.actual > 0)


def _ratio(pair: Pair) -> float:
    return (pair.actual or 1.0) / (pair.expected or 1.0)


def _seconds(micros: float | None) -> float | None:
    return None if micros is None else micros / MICROS_PER_SECOND
