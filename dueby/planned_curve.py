"""A job's curve as a document, and the document as a picture and as rows of words.

The command, the library and the report of a run show the same document.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

from dueby_api.curve import CurveAnswer, CurveDevices, PlannedPoint
from dueby_api.prices import MICRO_UNITS, format_units
from dueby_api.units import MICROS_PER_SECOND, format_duration, seconds
from dueby_api.words import counted
from dueby_pages.charts.curve import MAX_ALONE, LineKind, ShownCurve, ShownLine, ShownPanel
from dueby_planner.answer import device_word
from dueby_planner.model.curve import CurvePoint, JobCurve, SomeDevices

_ROWS = 14
"""Rows of a table that people read."""
MIX, CHEAPEST = "fewest devices, all classes", "cheapest devices, all classes"


def curve_answer(name: str, curve: JobCurve) -> CurveAnswer:
    """Return the curve of the job of this name as a document."""
    problem, knee, bound_us = curve.problem, curve.knee, curve.store_bound_us
    return CurveAnswer(
        job=name,
        device=device_word(problem.pool),
        over=curve.over,
        deadline_seconds=seconds(problem.time_us),
        images=problem.images,
        confidence=problem.confidence,
        currency=curve.currency,
        knee_seconds=None if knee is None else seconds(knee.time_us),
        store_seconds=None if bound_us is None else seconds(bound_us),
        points=tuple(_planned_point(point) for point in curve.points),
        warnings=problem.pool.warnings,
    )


def _planned_point(point: CurvePoint) -> PlannedPoint:
    return PlannedPoint(
        deadline_seconds=seconds(point.time_us),
        images=point.images,
        fewest=_devices(point.fewest) if point.fewest else None,
        cheapest=_devices(point.cheapest) if point.cheapest else None,
        lower_bound=_units(point.cost_bound),
        alone={name: _devices(some) for name, some in point.alone.items()},
    )


def _devices(some: SomeDevices) -> CurveDevices:
    return CurveDevices(gpus=some.gpus, cost=_units(some.cost))


def _units(micro: int | None) -> float | None:
    return None if micro is None else micro / MICRO_UNITS


def curve_story(curve: CurveAnswer) -> str:
    """Return what the curve says, in sentences."""
    if not curve.points:
        return f"No number of {curve.device}s of this pool is enough, whatever is asked for."
    sentences = []
    if curve.over == "time":
        first = curve.points[0]
        gpus = counted(first.fewest.gpus, curve.device) if first.fewest else "no device"
        sentences.append(f"The earliest deadline is {_time(first.deadline_seconds)}, on {gpus}.")
    else:
        sentences.append(f"At most {counted(curve.points[-1].images, 'image')} can be done by the deadline.")
    if curve.knee_seconds:
        saved = "cost" if curve.currency else f"{curve.device} time"
        sentences.append(f"From {_time(curve.knee_seconds)} on, waiting longer saves less than a tenth of the {saved}.")
    if curve.store_seconds:
        sentences.append(f"The store allows no less than {_time(curve.store_seconds)}.")
    if gap := curve.gap:
        sentences.append(f"What is called cheapest is at most {max(0.0001, gap):.2%} above the least cost.")
    return " ".join(sentences)


def curve_rows(curve: CurveAnswer) -> tuple[list[str], list[list[str]]]:
    """Return the headings and rows of a table: some of the points, with the job's own and the knee."""
    headings = ["T" if curve.over == "time" else "N", "FEWEST"]
    classes, currency = curve.classes[:MAX_ALONE], curve.currency
    if currency:
        headings += ["COST", "CHEAPEST", "COST"]
    headings += [f"{name} ALONE" for name in classes]
    rows = []
    for point in _chosen(curve):
        row = [_place(curve, point), _count(point.fewest)]
        if currency:
            row += [_amount(point.fewest, currency), _count(point.cheapest), _amount(point.cheapest, currency)]
        rows.append([*row, *(_count(point.alone.get(name)) for name in classes)])
    return headings, rows


def _chosen(curve: CurveAnswer) -> list[PlannedPoint]:
    step, knee, last = -(-len(curve.points) // _ROWS), curve.knee, len(curve.points) - 1
    return [
        point
        for place, point in enumerate(curve.points)
        if place % step == 0 or place == last or point is knee or curve.is_asked(point)
    ]


def _place(curve: CurveAnswer, point: PlannedPoint) -> str:
    text = _time(point.deadline_seconds) if curve.over == "time" else f"{point.images:,}"
    signs = ["asked for"] if curve.is_asked(point) else []
    if point is curve.knee:
        signs.append("knee")
    return f"{text} ({', '.join(signs)})" if signs else text


def _count(some: CurveDevices | None) -> str:
    return f"{some.gpus:,}" if some else "none"


def _amount(some: CurveDevices | None, currency: str) -> str:
    return "unknown" if some is None or some.cost is None else format_units(some.cost, currency)


def _time(duration_s: float) -> str:
    return format_duration(round(duration_s * MICROS_PER_SECOND))


def shown_curve(curve: CurveAnswer) -> ShownCurve:
    """Return the curve as it is drawn."""
    is_over_time = curve.over == "time"
    deadline, images, bound_s = _time(curve.deadline_seconds), counted(curve.images, "image"), curve.store_seconds
    now = (curve.deadline_seconds, f"deadline {deadline}") if is_over_time else (float(curve.images), images)
    about = images if is_over_time else f"by a deadline of {deadline}"
    return ShownCurve(
        title=f"{curve.job}: {about}, at confidence {curve.confidence:g}",
        story=curve_story(curve),
        axis="deadline" if is_over_time else "images",
        is_over_time=is_over_time,
        panels=_panels(curve),
        now=now if curve.points else None,
        bound=(bound_s, "the store is no faster") if bound_s and is_over_time else None,
    )


def _panels(curve: CurveAnswer) -> list[ShownPanel]:
    """Return the panel of devices, and with prices that of costs; the knee is marked in the last one."""
    knee, currency = curve.knee, curve.currency
    by_devices = ShownPanel(title=f"{curve.device}s", lines=_lines(curve, lambda some: float(some.gpus)), knee=None)
    if currency:
        mark = None
        if knee and knee.cheapest and knee.cheapest.cost:
            name = f"knee: {_time(knee.deadline_seconds)}, {_amount(knee.cheapest, currency)}"
            mark = (knee.deadline_seconds, knee.cheapest.cost, name)
        costs = _lines(curve, lambda some: some.cost)
        return [by_devices, ShownPanel(title=f"Cost, {currency}", lines=costs, knee=mark)]
    if knee and knee.fewest:
        mark = (knee.deadline_seconds, float(knee.fewest.gpus), f"knee: {_time(knee.deadline_seconds)}")
        return [replace(by_devices, knee=mark)]
    return [by_devices]


def _lines(curve: CurveAnswer, value: Callable[[CurveDevices], float | None]) -> list[ShownLine]:
    """Return the lines that have points: each class alone, the fewest devices and, with prices, the cheapest."""
    lines: list[tuple[str, LineKind, Iterable[CurveDevices | None]]] = [
        (f"{name} alone", "alone", [point.alone.get(name) for point in curve.points])
        for name in curve.classes[:MAX_ALONE]
    ]
    lines.append((MIX, "fewest", [point.fewest for point in curve.points]))
    if curve.currency:
        lines.append((CHEAPEST, "cheapest", [point.cheapest for point in curve.points]))
    across = [point.deadline_seconds if curve.over == "time" else float(point.images) for point in curve.points]
    shown = [
        ShownLine(
            name=name,
            kind=kind,
            points=[(at, amount) for at, some in zip(across, devices, strict=True) if some and (amount := value(some))],
        )
        for name, kind, devices in lines
    ]
    return [line for line in shown if line.points]
