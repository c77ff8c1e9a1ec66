"""A job's curve as a document, as a picture, and as rows of words."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from dueby_api.curve import CurveAnswer, CurveDevices, PlannedPoint
from dueby_api.inference_job import InferenceJob
from dueby_api.prices import MICRO_UNITS, format_amount
from dueby_api.units import MICROS_PER_SECOND, format_duration, seconds
from dueby_api.words import counted
from dueby_pages.charts.curve import MAX_ALONE, LineKind, ShownCurve, ShownLine, ShownPanel
from dueby_planner.answer import device_word
from dueby_planner.model.curve import CurvePoint, JobCurve, SomeDevices

_ROWS = 14
"""Rows of a table that people read."""
MIX, CHEAPEST = "fewest devices, all classes", "cheapest devices, all classes"


def curve_answer(curve: JobCurve) -> CurveAnswer:
    problem, knee, bound_us = curve.problem, curve.knee, curve.store_bound_us
    return CurveAnswer(
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


def curve_story(curve: JobCurve) -> str:
    problem = curve.problem
    what = device_word(problem.pool)
    if not curve.points:
        return f"No number of {what}s of this pool is enough, whatever is asked for."
    sentences = []
    if curve.over == "time":
        first = curve.points[0]
        gpus = counted(first.fewest.gpus, what) if first.fewest else "no device"
        sentences.append(f"The earliest deadline is {format_duration(first.time_us)}, on {gpus}.")
    else:
        sentences.append(f"At most {counted(curve.points[-1].images, 'image')} can be done by the deadline.")
    if knee := curve.knee:
        saved = "cost" if curve.currency else f"{what} time"
        sentences.append(
            f"From {format_duration(knee.time_us)} on, waiting longer saves less than a tenth of the {saved}."
        )
    if bound_us := curve.store_bound_us:
        sentences.append(f"The store allows no less than {format_duration(bound_us)}.")
    if curve.gap:
        sentences.append(f"What is called cheapest is at most {max(0.0001, curve.gap):.2%} above the least cost.")
    return " ".join(sentences)


def curve_rows(curve: JobCurve) -> tuple[list[str], list[list[str]]]:
    """Return the headings and rows of a table: some of the points, with the job's own and the knee."""
    headings = ["T" if curve.over == "time" else "N", "FEWEST"]
    classes = curve.classes[:MAX_ALONE]
    currency = curve.currency
    if currency:
        headings += ["COST", "CHEAPEST", "COST"]
    headings += [f"{name} ALONE" for name in classes]
    rows = []
    for point in _chosen(curve):
        row = [_place(curve, point), f"{point.fewest.gpus:,}" if point.fewest else "none"]
        if currency:
            row.append(_amount(point.fewest, currency))
            row += [f"{point.cheapest.gpus:,}" if point.cheapest else "none", _amount(point.cheapest, currency)]
        row += [f"{point.alone[name].gpus:,}" if name in point.alone else "none" for name in classes]
        rows.append(row)
    return headings, rows


def _chosen(curve: JobCurve) -> Sequence[CurvePoint]:
    step = -(-len(curve.points) // _ROWS)
    problem, knee = curve.problem, curve.knee
    own = [p for p in curve.points if (p.time_us, p.images) == (problem.time_us, problem.images)]
    some = {id(point): point for point in (*curve.points[::step], *curve.points[-1:], *own, *([knee] if knee else []))}
    return [point for point in curve.points if id(point) in some]


def _place(curve: JobCurve, point: CurvePoint) -> str:
    problem = curve.problem
    text = format_duration(point.time_us) if curve.over == "time" else f"{point.images:,}"
    signs = []
    if (point.time_us, point.images) == (problem.time_us, problem.images):
        signs.append("asked for")
    if point is curve.knee:
        signs.append("knee")
    return f"{text} ({', '.join(signs)})" if signs else text


def _amount(some: SomeDevices | None, currency: str) -> str:
    return "unknown" if some is None or some.cost is None else format_amount(some.cost, currency)


def shown_curve(job: InferenceJob, curve: JobCurve) -> ShownCurve:
    problem, what, is_over_time = curve.problem, device_word(curve.problem.pool), curve.over == "time"
    own = f"deadline {format_duration(problem.time_us)}" if is_over_time else counted(problem.images, "image")
    at = problem.time_us / MICROS_PER_SECOND if is_over_time else float(problem.images)
    bound_us = curve.store_bound_us
    bound = (bound_us / MICROS_PER_SECOND, "the store is no faster") if bound_us and is_over_time else None
    about = (
        f"{counted(problem.images, 'image')}"
        if is_over_time
        else f"by a deadline of {format_duration(problem.time_us)}"
    )
    return ShownCurve(
        title=f"{job.metadata.name}: {about}, at confidence {problem.confidence:g}",
        story=curve_story(curve),
        axis="deadline" if is_over_time else "images",
        is_over_time=is_over_time,
        panels=_panels(curve, what),
        now=(at, own) if curve.points else None,
        bound=bound,
    )


def _panels(curve: JobCurve, what: str) -> list[ShownPanel]:
    """Return the panel of devices, and with prices that of costs; the knee is marked in the last one."""
    knee, currency = curve.knee, curve.currency
    by_devices = ShownPanel(title=f"{what}s", lines=_lines(curve, lambda some: float(some.gpus)), knee=None)
    at = None if knee is None else _across(curve, knee)
    if currency:
        mark = None
        if knee and knee.cheapest and knee.cheapest.cost and at is not None:
            name = f"knee: {format_duration(knee.time_us)}, {format_amount(knee.cheapest.cost, currency)}"
            mark = (at, knee.cheapest.cost / MICRO_UNITS, name)
        costs = _lines(curve, lambda some: _units(some.cost))
        return [by_devices, ShownPanel(title=f"Cost, {currency}", lines=costs, knee=mark)]
    if knee and knee.fewest and at is not None:
        mark = (at, float(knee.fewest.gpus), f"knee: {format_duration(knee.time_us)}")
        return [replace(by_devices, knee=mark)]
    return [by_devices]


def _lines(curve: JobCurve, value: Callable[[SomeDevices], float | None]) -> list[ShownLine]:
    """Return the lines that have points: each class alone, the fewest devices and, with prices, the cheapest."""
    lines: list[tuple[str, LineKind, list[SomeDevices | None]]] = [
        (f"{name} alone", "alone", [point.alone.get(name) for point in curve.points])
        for name in curve.classes[:MAX_ALONE]
    ]
    lines.append((MIX, "fewest", [point.fewest for point in curve.points]))
    if curve.currency:
        lines.append((CHEAPEST, "cheapest", [point.cheapest for point in curve.points]))
    across = [_across(curve, point) for point in curve.points]
    shown = [
        ShownLine(
            name=name,
            kind=kind,
            points=[(at, amount) for at, some in zip(across, devices, strict=True) if some and (amount := value(some))],
        )
        for name, kind, devices in lines
    ]
    return [line for line in shown if line.points]


def _across(curve: JobCurve, point: CurvePoint) -> float:
    return point.time_us / MICROS_PER_SECOND if curve.over == "time" else float(point.images)
