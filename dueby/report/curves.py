"""Images over time against the plan, and under it the rate.

The planned curve is drawn from the numbers that the planner used: each worker's first mini-batch after start-up and
warm-up, then one a step. A re-plan that has an end begins a new planned line at what was done by then.
"""

from collections import Counter
from collections.abc import Sequence

from dueby.report.axes import (
    STRETCH,
    TimeAxis,
    curve,
    deadline_mark,
    figure,
    label_beside,
    stretched,
    text,
    thin,
    time_axis,
    time_scale,
    value_scale,
    value_ticks,
)
from dueby.report.html import Markup, join, tag
from dueby.report.run import Run
from dueby.report.wording import duration, number, percent
from dueby_api.plan import PlannedWorker
from dueby_api.run_record import Revision

_TOP, _HEIGHT, _RATE_TOP, _RATE_HEIGHT = 36, 260, 24, 96
# Why a plan is made for the whole of what there is to do.
WHOLE_PLANS = ("Started", "Resumed")
Points = Sequence[tuple[float, float]]


def planned_points(revision: Revision, *, images: int, done: float = 0) -> list[tuple[float, float]]:
    """(seconds, images) of a plan, from the images done when it began: its workers' lines in sum for the first plan, a
    straight line to its end for a re-plan, and nothing for helpers that have no end of their own."""
    finishes = [(worker, revision.finish_s(worker)) for worker in revision.workers]
    planned = [(worker, finish_s) for worker, finish_s in finishes if finish_s is not None]
    if revision.reason not in WHOLE_PLANS or not planned:
        end_s = revision.expected_s
        return [] if end_s is None else [(revision.at_seconds, done), (end_s, float(images))]
    lines = Counter(_worker_line(worker, finish_s) for worker, finish_s in planned)
    moments = thin(sorted({0.0, *(moment for line in lines for moment, _ in line)}))
    sums = [done + sum(count * interpolate(line, moment) for line, count in lines.items()) for moment in moments]
    return [(moment, min(float(images), total)) for moment, total in zip(moments, sums, strict=True)]


def _worker_line(worker: PlannedWorker, finish_s: float) -> tuple[tuple[float, float], ...]:
    """One worker's plan: nothing, the first mini-batch, the last one."""
    size = float(worker.mini_batch_size)
    warm_s = max(0.0, finish_s - worker.iterations * worker.step_s)
    begin_s = max(0.0, warm_s - worker.warmup_s)
    return (0.0, 0.0), (begin_s, 0.0), (warm_s, size), (finish_s, size * (worker.iterations + 1))


def interpolate(points: Points, moment: float) -> float:
    """The line's value; before and after it, its first and last one."""
    before = points[0]
    for after in points:
        if after[0] >= moment:
            width = after[0] - before[0]
            return after[1] if width <= 0 else before[1] + (after[1] - before[1]) * (moment - before[0]) / width
        before = after
    return points[-1][1]


def rates(points: Points, *, end_s: float, windows: int = 48) -> list[tuple[float, float]]:
    """(seconds, images per second), each over a window of the time line."""
    if end_s <= 0:
        return []
    width = end_s / windows
    done = [interpolate(points, i * width) for i in range(windows + 1)]
    return [((i + 0.5) * width, (done[i + 1] - done[i]) / width) for i in range(windows)]


def draw_images(run: Run) -> Markup:
    """Both figures on the same axis of time."""
    images = run.images or max(1, run.done)
    actual = [(0.0, float(run.inherited)), *((moment, float(done)) for moment, done, _ in run.progress.samples)]
    plans = [
        points
        for revision in run.plan.revisions
        if (points := planned_points(revision, images=images, done=interpolate(actual, revision.at_seconds)))
    ]
    ends = [points[-1][0] for points in plans] + [run.end_s, run.at_confidence_s or 0.0]
    axis = time_axis(last_s=max(ends), deadline_s=run.deadline_s)
    return join(
        tag("div", _draw_totals(run, axis, images, actual, plans), class_="figure"),
        tag("div", _draw_rates(run, axis, actual, plans), class_="figure"),
    )


def _draw_totals(run: Run, axis: TimeAxis, images: int, actual: Points, plans: Sequence[Points]) -> Markup:
    bottom, most = _TOP + _HEIGHT, images * 1.08

    def place(points: Points) -> list[tuple[float, float]]:
        return [(axis.share(t) * STRETCH / 100, _HEIGHT * (1 - v / most)) for t, v in points]

    lines = [curve(place(points), class_="plan" if i == 0 else "plan again") for i, points in enumerate(plans)]
    named = f"deadline {duration(run.deadline_s)}"
    full = _TOP + _HEIGHT * (1 - images / most)
    return figure(
        time_scale(axis, top=_TOP, bottom=bottom),
        value_scale([v for v in value_ticks(most) if v <= 0.93 * images], top=_TOP, bottom=bottom, most=most),
        deadline_mark(axis, top=_TOP, bottom=bottom, name=named),
        tag("line", x1=0, x2="100%", y1=full, y2=full, class_="full"),
        text(f"N = {number(images)}", x=0, y=full - 7, class_="full-name"),
        stretched(lines, curve(place(actual), class_="actual"), top=_TOP, height=_HEIGHT),
        _mark_confidence(run, axis, full),
        _name_curves(run, axis, most, actual, plans),
        height=bottom + 26,
        label=f"{number(run.done)} of {number(images)} images in {duration(run.end_s)}, {named}",
    )


def _mark_confidence(run: Run, axis: TimeAxis, full: float) -> Markup | None:
    """From the expected finish to the one at the job's confidence."""
    if run.expected_s is None or run.at_confidence_s is None:
        return None
    start, end = axis.at(run.expected_s), axis.at(run.at_confidence_s)
    surely = f"at {percent(run.confidence)} confidence {duration(run.at_confidence_s)}"
    told = f"planned finish {duration(run.expected_s)}; {surely}"
    line = tag("line", tag("title", told), x1=start, x2=end, y1=full, y2=full, class_="margin")
    return join(line, _draw_range_end(start, full), _draw_range_end(end, full))


def _draw_range_end(x: str, y: float) -> Markup:
    """The end of a range."""
    return tag("line", x1=x, x2=x, y1=y - 5, y2=y + 5, class_="margin-end")


def _name_curves(run: Run, axis: TimeAxis, most: float, actual: Points, plans: Sequence[Points]) -> list[Markup]:
    """Each line's name beside it: the plan's above on the left, what happened below on the right."""

    def height(points: Points, moment: float) -> float:
        return _TOP + _HEIGHT * (1 - interpolate(points, moment) / most)

    marks: list[Markup] = []
    if plans:
        moment = 0.42 * plans[0][-1][0]
        marks.append(text("plan", x=axis.at(moment), y=height(plans[0], moment) - 8, anchor="end", class_="plan-name"))
    if len(actual) > 1:
        moment = 0.6 * actual[-1][0]
        marks.append(text("actual", x=axis.at(moment), y=height(actual, moment) + 18, dx=8, class_="actual-name"))
        last, y = actual[-1], height(actual, actual[-1][0])
        told = f"{number(last[1])} at {duration(run.end_s)}"
        marks.append(tag("circle", cx=axis.at(last[0]), cy=round(y, 1), r=4, class_="end-dot"))
        marks.append(_name_end(told, share=axis.share(last[0]), y=y, is_done=last[1] >= (run.images or 0)))
    return marks


def _name_end(told: str, *, share: float, y: float, is_done: bool) -> Markup:
    """Above the last dot, or where the plan goes on from there, on its right."""
    if is_done or share > 50:
        return label_beside(told, share=share, y=y - 9, class_="actual-name", gap=0)
    return label_beside(told, share=share, y=y + 18, class_="actual-name", gap=8)


def _draw_rates(run: Run, axis: TimeAxis, actual: Points, plans: Sequence[Points]) -> Markup | None:
    bottom = _RATE_TOP + _RATE_HEIGHT
    measured = rates(actual, end_s=actual[-1][0])
    if len(actual) < 3 or not measured:
        return None
    planned = rates(plans[0], end_s=plans[0][-1][0]) if plans else []
    most = 1.1 * max([rate for _, rate in [*measured, *planned]]) or 1.0

    def place(points: Points) -> list[tuple[float, float]]:
        return [(axis.share(t) * STRETCH / 100, _RATE_HEIGHT * (1 - max(0.0, v) / most)) for t, v in points]

    return figure(
        text("images per second", x=0, y=12, class_="axis-name"),
        time_scale(axis, top=_RATE_TOP, bottom=bottom),
        value_scale(value_ticks(most, most=3), top=_RATE_TOP, bottom=bottom, most=most),
        deadline_mark(axis, top=_RATE_TOP, bottom=bottom, name="") if axis.shows_deadline else None,
        stretched(
            curve(place(planned), class_="plan") if planned else None,
            curve(place(measured), class_="actual"),
            top=_RATE_TOP,
            height=_RATE_HEIGHT,
        ),
        height=bottom + 26,
        label="Images per second, planned and actual",
    )
