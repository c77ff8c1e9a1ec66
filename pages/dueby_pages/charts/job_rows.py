"""Each job of a calendar on a line of its own: when it holds devices, when it is done, and its deadline."""

from dueby_pages.calendar import ShownCalendar, ShownJob
from dueby_pages.charts.axes import TimeAxis, chart, time_scale, vertical_line
from dueby_pages.charts.devices import Ticks, colour, looks
from dueby_pages.charts.svg import Markup, element
from dueby_pages.wording import NOTHING, duration

_ROW, _BAR = 22, 12


def draw_scale(axis: TimeAxis, ticks: Ticks) -> Markup:
    """Return the times under the rows."""
    return chart(time_scale(axis, top=0, bottom=0, ticks=ticks), height=_ROW, label="Times")


def draw_row(shown: ShownCalendar, index: int, axis: TimeAxis, ticks: Ticks) -> Markup:
    """Return the line of one job."""
    job = shown.jobs[index]
    return chart(
        [vertical_line(axis.at(seconds), top=0, bottom=_ROW, class_="grid") for seconds, _ in ticks],
        [_draw_bar(job, index, from_s, to_s, axis) for from_s, to_s in held(job)],
        _mark(job.sure_s, axis, "planned-finish") if job.holds else None,
        _mark(job.deadline_s, axis, "deadline"),
        height=_ROW,
        label=f"{job.name}: ends after {duration(job.expected_s)}, deadline {duration(job.deadline_s)}",
    )


def held(job: ShownJob) -> list[tuple[float, float]]:
    """Return from when to when the job holds devices, on whatever class."""
    merged: list[tuple[float, float]] = []
    for from_s, to_s in sorted((hold.from_s, hold.to_s) for hold in job.holds):
        if merged and from_s <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], to_s))
        else:
            merged.append((from_s, to_s))
    return merged


def slack_words(job: ShownJob) -> str:
    """Return how the job stands to its deadline, for the end of its line."""
    if job.slack_s is None:
        return NOTHING
    return f"late by {duration(-job.slack_s)}" if job.is_late else f"{duration(job.slack_s)} to spare"


def _draw_bar(job: ShownJob, index: int, from_s: float, to_s: float, axis: TimeAxis) -> Markup:
    start, stop = axis.share(from_s), axis.share(to_s)
    bar = element("div", class_=f"block thin {looks(job)}", style=f"{colour(index)};--height:{_BAR}px")
    return element("foreignObject", bar, x=f"{start:g}%", y=(_ROW - _BAR) / 2, width=f"{stop - start:g}%", height=_BAR)


def _mark(seconds: float | None, axis: TimeAxis, class_: str) -> Markup | None:
    """Return a line at the moment, or an arrow at the edge if that is later than what is shown."""
    if seconds is None or seconds < 0:
        return None
    if seconds > axis.end_s:
        arrow = element("path", d="M0-5L7 0L0 5Z", class_=f"{class_} arrow")
        return element("svg", arrow, x="100%", y=_ROW / 2, overflow="visible")
    return vertical_line(axis.at(seconds), top=2, bottom=_ROW - 2, class_=class_)
