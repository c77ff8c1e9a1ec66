"""Images over time against the plan, and under it the rate.

The planned curve is drawn from the numbers that the planner used: each worker's first mini-batch after start-up and
warm-up, then one per step. A re-plan that has a finish of its own begins a new planned line at what was done by then.
"""

from collections import Counter
from collections.abc import Sequence

from dueby.report.run import Run
from dueby_api.plan import PlannedWorker
from dueby_api.run_record import Revision
from dueby_pages.charts.axes import (
    STRETCH,
    TimeAxis,
    chart,
    curve,
    deadline_mark,
    label_beside,
    stretched,
    text,
    thin,
    time_axis,
    time_scale,
    value_scale,
    value_ticks,
)
from dueby_pages.charts.svg import Markup, element, join
from dueby_pages.wording import duration, number, percent

_TOP, _HEIGHT, _RATE_TOP, _RATE_HEIGHT = 36, 260, 24, 96
# Reasons for which a plan covers everything that is left to do. Plans for other reasons add helpers to such a plan.
WHOLE_PLANS = ("Started", "Resumed")
# Room above the line of N for the label on it.
_HEADROOM = 1.08
# From a curve to the base line of a label above it, of one below it, and from the axis to one that would be below that.
_ABOVE, _BELOW, _ON_AXIS = 8, 18, 6
# Each rate is a mean over one of these windows: short enough to show a loss, long enough to smooth out mini-batches.
_WINDOWS = 48
Points = Sequence[tuple[float, float]]


def planned_points(revision: Revision, *, images: int, done: float = 0) -> list[tuple[float, float]]:
    """Return a plan as (seconds, images), from the images done when it began.

    The first plan is the sum of its workers' lines. A re-plan is a straight line to its finish; helpers that have no
    finish of their own give no points.
    """
    finishes = [(worker, revision.finish_s(worker)) for worker in revision.workers]
    planned = [(worker, finish_s) for worker, finish_s in finishes if finish_s is not None]
    if revision.reason not in WHOLE_PLANS or not planned:
        end_s = revision.expected_s
        return [] if end_s is None else [(revision.at_seconds, done), (end_s, float(images))]
    # Thousands of workers have only a few different lines, so each line is computed once.
    lines = Counter(_worker_line(worker, finish_s) for worker, finish_s in planned)
    moments = thin(sorted({0.0, *(moment for line in lines for moment, _ in line)}))
    sums = [done + sum(count * interpolate(line, moment) for line, count in lines.items()) for moment in moments]
    return [(moment, min(float(images), total)) for moment, total in zip(moments, sums, strict=True)]


def _worker_line(worker: PlannedWorker, finish_s: float) -> tuple[tuple[float, float], ...]:
    """Return one worker's plan: no images, those of its first mini-batch, all of them."""
    size = float(worker.mini_batch_size)
    warm_s = max(0.0, finish_s - worker.iterations * worker.step_s)
    begin_s = max(0.0, warm_s - worker.warmup_s)
    return (0.0, 0.0), (begin_s, 0.0), (warm_s, size), (finish_s, size * (worker.iterations + 1))


def interpolate(points: Points, moment: float) -> float:
    """Return the line's value at a moment; before and after the line, its first and last value."""
    before = points[0]
    for after in points:
        if after[0] >= moment:
            width = after[0] - before[0]
            return after[1] if width <= 0 else before[1] + (after[1] - before[1]) * (moment - before[0]) / width
        before = after
    return points[-1][1]


def rates(points: Points, *, end_s: float, windows: int = _WINDOWS) -> list[tuple[float, float]]:
    """Return (seconds, images per second) in the middle of each window of the time from 0 to `end_s`."""
    if end_s <= 0:
        return []
    width = end_s / windows
    done = [interpolate(points, i * width) for i in range(windows + 1)]
    return [((i + 0.5) * width, (done[i + 1] - done[i]) / width) for i in range(windows)]


def draw_images(run: Run) -> tuple[Markup, ...]:
    """Return the charts of images and of their rate, on the same time axis; no rate if there are too few samples."""
    images = run.images or max(1, run.done)
    actual = [(0.0, float(run.inherited)), *((moment, float(done)) for moment, done, _ in run.progress.samples)]
    plans = [
        points
        for revision in run.plan.revisions
        if (points := planned_points(revision, images=images, done=interpolate(actual, revision.at_seconds)))
    ]
    ends = [points[-1][0] for points in plans] + [run.end_s, run.at_confidence_s or 0.0]
    axis = time_axis(last_s=max(ends), deadline_s=run.deadline_s)
    charts = (_draw_totals(run, axis, images, actual, plans), _draw_rates(axis, actual, plans))
    return tuple(drawn for drawn in charts if drawn is not None)


def _draw_totals(run: Run, axis: TimeAxis, images: int, actual: Points, plans: Sequence[Points]) -> Markup:
    bottom, most = _TOP + _HEIGHT, images * _HEADROOM

    def place(points: Points) -> list[tuple[float, float]]:
        return [(axis.share(t) * STRETCH / 100, _HEIGHT * (1 - v / most)) for t, v in points]

    lines = [curve(place(points), class_="plan" if i == 0 else "plan again") for i, points in enumerate(plans)]
    deadline_name = f"deadline {duration(run.deadline_s)}"
    full = _TOP + _HEIGHT * (1 - images / most)
    # A tick close to the line of N would have its value printed over the line's label.
    ticks = [value for value in value_ticks(most) if value <= 0.85 * images]
    return chart(
        time_scale(axis, top=_TOP, bottom=bottom),
        value_scale(ticks, top=_TOP, bottom=bottom, most=most),
        deadline_mark(axis, top=_TOP, bottom=bottom, name=deadline_name),
        element("line", x1=0, x2="100%", y1=full, y2=full, class_="full"),
        # Below its line: above it are the names of the end and of the deadline.
        text(f"N = {number(images)}", x=0, y=full + 16, class_="full-name"),
        stretched(lines, curve(place(actual), class_="actual"), top=_TOP, height=_HEIGHT),
        _mark_confidence(run, axis, full),
        _name_curves(run, axis, most, actual, plans),
        height=bottom + 26,
        label=f"{number(run.done)} of {number(images)} images in {duration(run.end_s)}, {deadline_name}",
    )


def _mark_confidence(run: Run, axis: TimeAxis, full: float) -> Markup | None:
    """Return the range from the planned finish to the one at the job's confidence."""
    if run.expected_s is None or run.at_confidence_s is None:
        return None
    start, end = axis.at(run.expected_s), axis.at(run.at_confidence_s)
    at_confidence = f"at {percent(run.confidence)} confidence {duration(run.at_confidence_s)}"
    title = element("title", f"planned finish {duration(run.expected_s)}; {at_confidence}")
    line = element("line", title, x1=start, x2=end, y1=full, y2=full, class_="margin")
    return join(line, _draw_range_end(start, full), _draw_range_end(end, full))


def _draw_range_end(x: str, y: float) -> Markup:
    return element("line", x1=x, x2=x, y1=y - 5, y2=y + 5, class_="margin-end")


def _name_curves(run: Run, axis: TimeAxis, most: float, actual: Points, plans: Sequence[Points]) -> list[Markup]:
    """Return each line's name beside it, on the side where the other line isn't."""

    def height(points: Points, moment: float) -> float:
        return _TOP + _HEIGHT * (1 - interpolate(points, moment) / most)

    def name(word: str, points: Points, moment: float, other: Points | None) -> Markup:
        """Name a line on its left if it is the upper one, and else on its right: lines only rise."""
        y = height(points, moment)
        if other is None or y <= height(other, moment):
            return text(word, x=axis.at(moment), y=y - _ABOVE, dx=-4, anchor="end", class_=f"{word}-name")
        return text(word, x=axis.at(moment), y=y + _BELOW, dx=8, class_=f"{word}-name")

    marks: list[Markup] = []
    plan = plans[0] if plans else None
    # Names at different fractions of the lines, so that they don't meet when the run goes as planned. The plan's is not
    # on the axis, where the name of a run that has done nothing is.
    if plan:
        (_, least), (_, whole) = plan[0], plan[-1]
        moment = interpolate([(done, seconds) for seconds, done in plan], least + 0.42 * (whole - least))
        marks.append(name("plan", plan, moment, actual))
    if len(actual) > 1:
        moment, last, y = 0.6 * actual[-1][0], actual[-1], height(actual, actual[-1][0])
        end_name = f"{number(last[1])} at {duration(run.end_s)}"
        if (
            height(actual, moment) + _BELOW > _TOP + _HEIGHT
        ):  # no room: the name of the curve's end is that of the curve
            end_name = f"actual: {end_name}"
        else:
            marks.append(name("actual", actual, moment, plan))
        marks.append(element("circle", cx=axis.at(last[0]), cy=round(y, 1), r=4, class_="end-dot"))
        marks.append(_name_end(end_name, share=axis.share(last[0]), y=y, is_done=last[1] >= (run.images or 0)))
    return marks


def _name_end(name: str, *, share: float, y: float, is_done: bool) -> Markup:
    """Return the last dot's label: above it, or on its right if the plan's line goes on above it."""
    if is_done or share > 50:
        return label_beside(name, share=share, y=y - 9, class_="actual-name", gap=0)
    y = min(y + _BELOW, _TOP + _HEIGHT - _ON_AXIS)
    return label_beside(name, share=share, y=y, class_="actual-name", gap=8)


def _draw_rates(axis: TimeAxis, actual: Points, plans: Sequence[Points]) -> Markup | None:
    bottom = _RATE_TOP + _RATE_HEIGHT
    measured = rates(actual, end_s=actual[-1][0])
    if len(actual) < 3 or not measured:
        return None
    planned = rates(plans[0], end_s=plans[0][-1][0]) if plans else []
    most = 1.1 * max([rate for _, rate in [*measured, *planned]]) or 1.0

    def place(points: Points) -> list[tuple[float, float]]:
        return [(axis.share(t) * STRETCH / 100, _RATE_HEIGHT * (1 - max(0.0, v) / most)) for t, v in points]

    return chart(
        text("images per second", x=0, y=12, class_="axis-name"),
        time_scale(axis, top=_RATE_TOP, bottom=bottom),
        value_scale(value_ticks(most, most=3), top=_RATE_TOP, bottom=bottom, most=most),
        # The chart above names the deadline.
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
