"""A calendar as one HTML page: devices over time, each job against its deadline, and the jobs in a table.

Like the report of a run the page loads nothing, and everything in it that comes from outside is escaped.

Each job has a line of its own: when it holds devices, when it is done, and its deadline.
"""

from dataclasses import dataclass

from dueby_api.units import MICROS_PER_SECOND
from dueby_api.words import from_now, noun_of
from dueby_pages.calendar import NO_JOBS, ShownCalendar, ShownJob
from dueby_pages.charts.axes import (
    TimeAxis,
    chart,
    clock_ticks,
    name_moment,
    named_ticks,
    time_axis,
    time_scale,
    vertical_line,
)
from dueby_pages.charts.devices import Ticks, colour, draw_devices, looks
from dueby_pages.charts.svg import Markup, element
from dueby_pages.templating import Sign, render
from dueby_pages.wording import NOTHING, counted, duration, number, percent

_ROW, _BAR = 22, 12
# Lines of a chart that somebody reads; the table has every job.
_MAX_ROWS = 200
# Sentences about jobs, above the chart.
_MAX_SENTENCES = 10
_ACTIONS = {
    "Start": "starts now",
    "Reserve": "starts later",
    "Hold": "held: no place found",
    "StartLate": "starts, late",
    "Refuse": "refused",
    "Wait": "waits",
}
_ICONS = {"good": "M3.5 8.5l3 3 6-7", "late": "M8 3.5V8l3 2.5", "bad": "M4 4l8 8M12 4l-8 8"}


def draw_scale(axis: TimeAxis, ticks: Ticks) -> Markup:
    return chart(time_scale(axis, top=0, bottom=0, ticks=ticks), height=_ROW, label="Times")


def draw_row(shown: ShownCalendar, index: int, axis: TimeAxis, ticks: Ticks) -> Markup:
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


@dataclass(frozen=True, kw_only=True)
class JobRow:
    """A job in the chart of lines and in the table."""

    job: ShownJob
    number: int
    style: str
    looks: str
    slack: str
    line: Markup | None
    cells: tuple[str, ...]
    """State, devices, start, expected end, end at the confidence, deadline, slack."""


def render_calendar(shown: ShownCalendar) -> str:
    """Return the page's text."""
    axis = time_axis(last_s=shown.horizon_s, deadline_s=None)
    ticks = clock_ticks(shown.now_us, shown.horizon_s) if shown.is_of_cluster else named_ticks(axis.end_s)
    rows = tuple(
        JobRow(
            job=job,
            number=index + 1,
            style=colour(index),
            looks=looks(job),
            slack=slack_words(job),
            line=draw_row(shown, index, axis, ticks) if index < _MAX_ROWS else None,
            cells=_cells(job, shown),
        )
        for index, job in enumerate(shown.jobs)
    )
    return render(
        "calendar.html.j2",
        shown=shown,
        title=shown.title or _title(shown),
        sign=_sign(shown),
        story=shown.story or _story(shown),
        sentences=_sentences(shown),
        devices=draw_devices(shown, axis, ticks) if shown.pool else None,
        rows=rows,
        drawn=min(len(rows), _MAX_ROWS),
        scale=draw_scale(axis, ticks),
    )


def _title(shown: ShownCalendar) -> str:
    if shown.is_of_cluster:
        return f"{counted(len(shown.jobs), 'job')} in the cluster"
    devices = sum(pool.devices or 0 for pool in shown.pool)
    return f"{counted(len(shown.jobs), 'job')} on {counted(devices, shown.device)}"


def _sign(shown: ShownCalendar) -> Sign:
    """Return the worst that there is to say."""
    refused, late = sum(job.is_refused for job in shown.jobs), sum(job.is_late for job in shown.jobs)
    if refused:
        return Sign(name=f"{counted(refused, 'job')} without a place", tone="bad", icon=_ICONS["bad"])
    if late:
        return Sign(name=f"{counted(late, 'job')} late", tone="late", icon=_ICONS["late"])
    return Sign(name="No job is late", tone="good", icon=_ICONS["good"])


def _sentences(shown: ShownCalendar) -> tuple[str, ...]:
    """Return why jobs are refused or late, or Hard and without a promise. That the others wait is in the table."""

    def is_urgent(job: ShownJob) -> bool:
        return job.is_refused or job.is_late or (shown.is_of_cluster and job.deadline_class == "Hard")

    sentences = [job.sentence for job in shown.jobs if job.sentence and is_urgent(job)]
    more = len(sentences) - _MAX_SENTENCES
    left_out = [f"There is something to say of {counted(more, 'other job')}, too."] if more > 0 else []
    return (*sentences[:_MAX_SENTENCES], *left_out)


def _story(shown: ShownCalendar) -> str:
    if not shown.jobs:
        return NO_JOBS
    held, ends = sum(bool(job.holds) for job in shown.jobs), [job.expected_s for job in shown.jobs]
    if not held:
        return "No job has devices."
    some = f"{number(held)} of {counted(len(shown.jobs), 'job')} {noun_of(held, 'has devices', 'have devices')}"
    who = "Every job has devices" if held == len(shown.jobs) else some
    last_s = max((end_s for end_s in ends if end_s is not None), default=None)
    last = "" if last_s is None else f" The last one is expected to end {from_now(round(last_s * MICROS_PER_SECOND))}."
    return f"{who} now or later.{last}"


def _cells(job: ShownJob, shown: ShownCalendar) -> tuple[str, ...]:
    def moment(seconds: float | None) -> str:
        if seconds is None:
            return NOTHING
        if shown.is_of_cluster:
            return name_moment(shown.now_us, seconds)
        return "now" if seconds == 0 else duration(seconds)

    confidence = "" if job.sure_s is None else f" ({percent(job.confidence)})"
    return (
        _ACTIONS.get(job.state, job.state),
        number(job.gpus),
        moment(job.starts_s),
        moment(job.expected_s),
        f"{moment(job.sure_s)}{confidence}",
        moment(job.deadline_s),
        duration(job.slack_s),
    )
