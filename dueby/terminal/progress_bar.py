"""Progress of a measurement: on a terminal a bar with the time left, elsewhere (a log file, a terminal that
can't move its cursor) a line for each new phase.

`dueby profile` and `dueby-study` show the same. Messages about what was chosen or omitted, or is in doubt, stay on the
screen above the bar.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column
from rich.text import Text

from dueby.terminal.console import can_redraw
from dueby_api.units import MICROS_PER_SECOND, format_duration

if TYPE_CHECKING:
    from dueby_profiler.progress_listener import ProgressListener, ProgressUpdate

# The bar is drawn by the same cores that are being measured, so it is drawn rarely.
_REFRESHES_PER_S = 1
# The time left keeps its line, and what is being done is broken over lines instead.
_MAX_TIME_LEFT = len("at most 99m59s left")
_LONG_DESCRIPTION = len("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb: comparing engines: cudagraph")
_MIN_BAR, _MAX_BAR = 20, 40


@contextmanager
def show_progress(console: Console) -> Iterator["ProgressListener"]:
    """Give a listener to the profiler that shows its progress and messages on the console."""
    from dueby_profiler.progress_listener import ProgressListener

    if not can_redraw(console):
        yield ProgressListener(
            on_progress=lambda update: console.print(Text(f"  {update.doing} ({_time_left(update)})")),
            on_message=lambda message: console.print(Text(message)),
        )
        return
    began_s = time.monotonic()
    columns = (
        # markup=False: what is done is named as it is. The column doesn't ask the console.
        TextColumn("{task.description}", markup=False, table_column=Column(overflow="fold")),
        BarColumn(bar_width=max(_MIN_BAR, min(_MAX_BAR, console.width - _LONG_DESCRIPTION - _MAX_TIME_LEFT - 2))),
        TextColumn("{task.fields[left]}", table_column=Column(no_wrap=True, min_width=_MAX_TIME_LEFT)),
    )
    with Progress(*columns, console=console, transient=True, refresh_per_second=_REFRESHES_PER_S) as bar:
        task = bar.add_task("", total=1.0, left="")

        def show(update: "ProgressUpdate") -> None:
            # The share of the time, as far as it can be foreseen: phases differ too much in length to be counted.
            done_s = time.monotonic() - began_s
            share = done_s / (done_s + update.left_s)
            bar.update(task, completed=share, description=update.doing, left=_time_left(update))

        yield ProgressListener(on_progress=show, on_message=lambda message: bar.console.print(Text(message)))


def _time_left(update: "ProgressUpdate") -> str:
    return f"at most {format_duration(round(MICROS_PER_SECOND * update.left_s))} left"
