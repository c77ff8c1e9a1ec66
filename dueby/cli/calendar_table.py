"""A calendar on the terminal: a table of the jobs with a bar for each over time, the pool, and what is to be said."""

from collections.abc import Collection, Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dueby.terminal.console import people_console, print_warnings
from dueby.terminal.tables import Column, broken, fitted_table
from dueby_api.units import MICROS_PER_SECOND, format_duration
from dueby_api.words import counted, time_span
from dueby_pages.calendar import NO_JOBS, ShownCalendar, ShownJob, ShownPool

_TEXT = {"JOB", "CLASS", "ACTION", "PHASE", "BAR"}
# The expected end is the deadline less the slack, and a picture can be missed before a figure.
_EXPENDABLE = {"EXPECTED": 1, "BAR": 2}
# Columns of the console that a bar has, and what stands for a share of the pool.
_BAR, _SHARES = 24, "▁▂▃▄▅▆▇█"
_DEADLINE = "╎"
# A job's name may have 63 letters, and its namespace's as many: one such name shall not take the others' bars.
_NAME = 30


def print_table(shown: ShownCalendar, *, notes: Collection[str] = (), is_verbose: bool = False) -> None:
    """Print the calendar on stdout, and its warnings on stderr; those that are `notes` as `print_warnings` does."""
    console = people_console()
    for line in lines_of(shown, console):
        console.print(line)
    print_warnings(shown.warnings, people_console(stderr=True), notes=notes, is_verbose=is_verbose)


def lines_of(shown: ShownCalendar, console: Console) -> Iterator[Table | Text]:
    """Yield the jobs in their order, the pool, and the sentences about those without a place."""
    if shown.jobs:
        yield _table(shown, width=console.width)
        yield Text()
    else:
        yield Text(NO_JOBS)
    for pool in shown.pool:
        yield Text(f"{pool.device_class}: {_held(pool, shown.device)}.")
    for job in shown.jobs:
        if job.sentence:
            yield Text(job.sentence, style="red" if job.is_refused or job.is_late else "")
    for note in shown.notes:
        yield Text(note)


def _held(pool: ShownPool, device: str) -> str:
    if pool.devices is None:
        return f"at most {pool.peak:,} at once by what the jobs' statuses say; how many there are isn't known"
    return f"at most {pool.peak:,} of {counted(pool.devices, device)} are held at once"


def _table(shown: ShownCalendar, *, width: int) -> Table:
    names = (
        *("JOB", "CLASS", "PHASE" if shown.is_of_cluster else "ACTION", "DEVICES"),
        *("STARTS", "EXPECTED", "DEADLINE", "SLACK", "BAR"),
    )
    rows = [_row(job, shown) for job in shown.jobs]
    columns = [
        Column(
            heading=f"NOW TO {_duration(shown.horizon_s)}" if name == "BAR" else name,
            cells=cells,
            is_text=name in _TEXT,
            expendable=_EXPENDABLE.get(name),
        )
        for name, cells in zip(names, zip(*rows, strict=True), strict=True)
    ]
    return fitted_table(columns, width=width)


def _row(job: ShownJob, shown: ShownCalendar) -> tuple[str, ...]:
    return (
        broken(job.name, _NAME),
        job.deadline_class,
        job.state,
        "-" if job.gpus is None else f"{job.gpus:,}",
        _moment(job.starts_s),
        _moment(job.expected_s),
        _moment(job.deadline_s),
        _duration(job.slack_s),
        _bar(job, horizon_s=shown.horizon_s, devices=sum(pool.height for pool in shown.pool)),
    )


def _bar(job: ShownJob, *, horizon_s: float, devices: int) -> str:
    """Return how many devices the job holds over time, as a share of all, with its deadline."""
    cells = []
    for column in range(_BAR):
        from_s, to_s = (horizon_s * edge / _BAR for edge in (column, column + 1))
        held = sum(hold.count * max(0.0, min(hold.to_s, to_s) - max(hold.from_s, from_s)) for hold in job.holds)
        share = held / (to_s - from_s) / max(1, devices)
        cells.append(_SHARES[min(len(_SHARES) - 1, int(share * len(_SHARES)))] if held else " ")
    if job.deadline_s is not None and 0 <= job.deadline_s <= horizon_s:
        at = min(_BAR - 1, int(job.deadline_s / horizon_s * _BAR))
        if cells[at] == " ":
            cells[at] = _DEADLINE
    return "".join(cells)


def _moment(seconds: float | None) -> str:
    """Return when something is, or was: 29m58s, now, 1h10m ago."""
    if seconds is None or seconds > 0:
        return _duration(seconds)
    return f"{time_span(round(-seconds * MICROS_PER_SECOND))} ago" if seconds else "now"


def _duration(seconds: float | None) -> str:
    return "-" if seconds is None else format_duration(round(seconds * MICROS_PER_SECOND))
