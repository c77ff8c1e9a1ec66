"""A calendar as people read it: a table of the jobs with a bar for each over time, and why one was refused."""

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from dueby.cli.tables import Column, fitted_table
from dueby_api.calendar import CalendarAnswer, PlannedJob
from dueby_api.units import MICROS_PER_SECOND, format_duration
from dueby_api.words import counted
from dueby_planner.answer import device_word
from dueby_planner.calendar.answer import refusal_sentence
from dueby_planner.calendar.calendar import Calendar, Placement

_HEADINGS = ("JOB", "CLASS", "ACTION", "DEVICES", "STARTS", "EXPECTED", "DEADLINE", "SLACK", "NOW")
_TEXT = {"JOB", "CLASS", "ACTION", "NOW"}
# Columns of the console that a bar has, and what stands for a share of the pool.
_BAR, _SHARES = 24, "▁▂▃▄▅▆▇█"
_DEADLINE = "╎"


def print_table(calendar: Calendar, answer: CalendarAnswer, console: Console, *, warnings_on: Console) -> None:
    """Print the jobs in the order in which they were given, the pool, and the sentences about those without a place."""
    horizon_s = max(_times(calendar, answer))
    devices = sum(pool.devices for pool in answer.pool)
    rows = [
        _row(found, planned, horizon_s=horizon_s, devices=devices)
        for found, planned in zip(calendar.placements, answer.jobs, strict=True)
    ]
    headings = (*_HEADINGS[:-1], f"NOW TO {format_duration(round(horizon_s * MICROS_PER_SECOND))}")
    columns = [
        Column(heading=heading, cells=cells, is_text=kind in _TEXT)
        for heading, kind, cells in zip(headings, _HEADINGS, zip(*rows, strict=True), strict=True)
    ]
    console.print(fitted_table(columns, width=console.width))
    console.print()
    word = device_word(calendar.placements[0].job.problem.pool)
    for pool in answer.pool:
        console.print(
            Text(f"{pool.device_class}: at most {pool.peak:,} of {counted(pool.devices, word)} are held at once.")
        )
    for found in calendar.placements:
        if found.action in ("Refuse", "Hold"):
            console.print(Text(f"{found.job.name}: {refusal_sentence(calendar, found)}", style="red"))
        elif found.action == "Wait":
            console.print(Text(f"{found.job.name} waits: no device is left for it now."))
    for warning in answer.warnings:
        warnings_on.print(Text(f"Warning: {warning}.", style="yellow"))


def _row(found: Placement, planned: PlannedJob, *, horizon_s: float, devices: int) -> tuple[str, ...]:
    deadline_us = found.job.problem.time_us
    head = (planned.name, planned.deadline_class, planned.action)
    bar = _bar(planned, deadline_s=deadline_us / MICROS_PER_SECOND, horizon_s=horizon_s, devices=devices)
    if planned.expected_seconds is None or planned.slack_seconds is None:
        return (*head, "-", "-", "-", format_duration(deadline_us), "-", bar)
    begins_s = min(window.from_seconds for window in planned.windows)
    return (
        *head,
        f"{planned.gpus:,}",
        "now" if begins_s == 0 else _duration(begins_s),
        _duration(planned.expected_seconds),
        format_duration(deadline_us),
        _duration(planned.slack_seconds),
        bar,
    )


def _bar(planned: PlannedJob, *, deadline_s: float, horizon_s: float, devices: int) -> str:
    """Return how many devices the job holds over time, as a share of all, with its deadline."""
    cells = []
    for column in range(_BAR):
        from_s, to_s = (horizon_s * edge / _BAR for edge in (column, column + 1))
        held = sum(
            window.count * max(0.0, min(window.to_seconds, to_s) - max(window.from_seconds, from_s))
            for window in planned.windows
        ) / (to_s - from_s)
        cells.append(_SHARES[min(len(_SHARES) - 1, int(held / devices * len(_SHARES)))] if held else " ")
    at = min(_BAR - 1, int(deadline_s / horizon_s * _BAR))
    if cells[at] == " ":
        cells[at] = _DEADLINE
    return "".join(cells)


def _times(calendar: Calendar, answer: CalendarAnswer) -> Iterator[float]:
    for found, planned in zip(calendar.placements, answer.jobs, strict=True):
        yield found.job.problem.time_us / MICROS_PER_SECOND
        yield from (window.to_seconds for window in planned.windows)


def _duration(seconds: float) -> str:
    return format_duration(round(seconds * MICROS_PER_SECOND))
