"""A calendar as one HTML page: devices over time, each job against its deadline, and the jobs in a table.

Like the report of a run the page loads nothing, and everything in it that comes from outside is escaped.
"""

from dataclasses import dataclass

from dueby_api.units import MICROS_PER_SECOND
from dueby_api.words import from_now, noun_of
from dueby_pages.calendar import NO_JOBS, ShownCalendar, ShownJob
from dueby_pages.charts.axes import clock_ticks, name_moment, named_ticks, time_axis
from dueby_pages.charts.devices import colour, draw_devices, looks
from dueby_pages.charts.job_rows import draw_row, draw_scale, slack_words
from dueby_pages.charts.svg import Markup
from dueby_pages.templating import Sign, render
from dueby_pages.wording import NOTHING, counted, duration, number, percent

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
