"""What people see while a job runs: the progress of each worker's share, the rate, the expected finish and the slack.

On a terminal it is a live table; elsewhere (CI, a log file) a line now and then. Everything goes to stderr.
"""

import time
from types import TracebackType
from typing import Self

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dueby.cli.console import people_console
from dueby.local.loop import Status
from dueby.local.processes import Process
from dueby_api.units import format_count, format_duration

# Often enough to see that it goes on, rarely enough for a log of a run that takes hours.
LINE_EVERY_S = 10.0
# The table is drawn by cores that the workers use.
REFRESHES_PER_S = 4
_COLOURS = {"lost": "red", "stopped": "yellow", "done": "green"}


class Screen:
    """The screen of one run, as a context manager: `show` and `say` may be called while it is entered."""

    def __init__(self) -> None:
        self.console = people_console(stderr=True)
        self.live = Live(console=self.console, refresh_per_second=REFRESHES_PER_S, transient=True)
        self.line_due = 0.0

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.live.stop()

    def say(self, sentence: str) -> None:
        """Print a sentence that stays above the table."""
        self.console.print(Text(sentence))

    def show(self, status: Status) -> None:
        """Show the state of the job; on a terminal it replaces the one before."""
        if self.console.is_terminal:
            self.live.update(Group(_overall(status), _workers(status)))
        elif time.monotonic() >= self.line_due:
            self.line_due = time.monotonic() + LINE_EVERY_S
            self.console.print(Text(f"  {_counts(status)}; {_forecast(status)}"))
            if status.waits:
                self.console.print(Text(f"  {status.waits}"))


def _overall(status: Status) -> Group:
    bar = ProgressBar(total=status.model.images, completed=status.model.images_done, width=60)
    waits = [Text(status.waits, style="yellow")] if status.waits else []
    return Group(Text(_counts(status)), bar, Text(_forecast(status)), *waits, Text())


def _counts(status: Status) -> str:
    failed = f", {status.failed:,} unreadable" if status.failed else ""
    return (
        f"{format_count(status.model.images_done)}/{format_count(status.model.images)} images"
        f"{failed}, {status.images_per_second:,.0f} images/s"
    )


def _forecast(status: Status) -> str:
    model, finish_us = status.model, status.work.expected_finish_us
    rest = format_duration(model.deadline_us - model.now_us)
    if finish_us is None:
        return f"deadline in {rest}"
    slack_us = model.deadline_us - finish_us
    words = f"slack {format_duration(slack_us)}" if slack_us >= 0 else f"late by {format_duration(-slack_us)}"
    return f"expected to finish in {format_duration(finish_us - model.now_us)}, deadline in {rest}: {words}"


def _workers(status: Status) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("WORKER", "CLASS", "ENGINE", "STATE", "SHARE"):
        table.add_column(heading, no_wrap=True)
    for heading in ("IMAGES", "IMAGES/S", "STEP"):
        table.add_column(heading, justify="right", no_wrap=True)
    for process in status.processes.started:
        table.add_row(*_worker(process))
    return table


def _worker(process: Process) -> tuple[Text | ProgressBar, ...]:
    assignment, progress = process.assignment, process.progress
    state = process.state if process.is_gone else progress.state
    share = assignment.share
    at = min(max(progress.next_part, share.first), share.end)
    bar = ProgressBar(total=max(1, len(share)), completed=at - share.first if len(share) else 1, width=20)
    step_us = progress.step_us
    return (
        Text(assignment.worker),
        Text(assignment.device_class),
        Text(f"{assignment.choice.engine} x{assignment.choice.mini_batch_size}"),
        Text(state, style=_COLOURS.get(state, "")),
        bar,
        Text(f"{progress.images_done:,}"),
        Text(f"{progress.images_per_second or 0.0:,.0f}"),
        Text(f"{step_us / 1000:,.1f} ms" if step_us else ""),
    )
