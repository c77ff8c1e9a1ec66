"""What people see while a job runs: the progress of each worker's share, the rate, the expected finish and the slack.

On a terminal it is a live view, whose last state stays; elsewhere (CI, a log file, a terminal that can't move its
cursor) a line now and then. Everything goes to stderr.
"""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from dueby.cli.console import can_redraw, people_console
from dueby.cli.run_view import RunView, WorkerView
from dueby.local.loop import Status
from dueby.local.process import Process

# Often enough to see that it goes on, rarely enough for a log of a run that takes hours.
LINE_EVERY_S = 10.0
# The view is drawn by cores that the workers use.
REFRESHES_PER_S = 4


class Screen:
    """The screen of one run, as a context manager: `show` and `say` may be called while it is entered."""

    def __init__(self, console: Console | None = None, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.console = console or people_console(stderr=True)
        self.clock_s = clock_s
        self.live = Live(console=self.console, refresh_per_second=REFRESHES_PER_S)
        self.line_due_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.live.stop()

    def say(self, sentence: str) -> None:
        """Print a sentence that stays above the view."""
        self.console.print(Text(sentence))

    def show(self, status: Status) -> None:
        """Show the state of the job; on a terminal it replaces the one before."""
        # Before the first worker there is only a plan, and maybe a refusal, which is printed as such.
        if status.processes.started:
            self.draw(view_of(status))

    def draw(self, view: RunView) -> None:
        """Draw the view, or print its line if one is due."""
        if can_redraw(self.console):
            self.live.update(view)
            self.live.start()
        elif self.clock_s() >= self.line_due_s:
            self.line_due_s = self.clock_s() + LINE_EVERY_S
            for line in filter(None, (view.line, view.waits)):
                # Each in one line, however narrow: whoever reads them later looks for lines.
                self.console.print(Text(f"  {line}"), soft_wrap=True)


def view_of(status: Status) -> RunView:
    """Return what is shown of the status."""
    model = status.model
    return RunView(
        images=model.images,
        images_done=model.images_done,
        failed=status.failed,
        images_per_second=status.images_per_second,
        now_us=model.now_us,
        deadline_us=model.deadline_us,
        expected_finish_us=status.work.expected_finish_us,
        waits=status.waits,
        workers=[_worker(process) for process in status.processes.started],
    )


def _worker(process: Process) -> WorkerView:
    assignment, progress, share = process.assignment, process.progress, process.assignment.share
    at = min(max(progress.next_part, share.first), share.end)
    return WorkerView(
        name=assignment.worker,
        device_class=assignment.device_class,
        engine=assignment.choice.engine,
        mini_batch_size=assignment.choice.mini_batch_size,
        state=process.state if process.is_gone else progress.state,
        is_gone=process.is_gone,
        # A worker that was given none takes parts from the others' tails.
        share_done=(at - share.first) / len(share) if len(share) else 1.0,
        images=progress.images_done,
        images_per_second=progress.images_per_second or 0.0,
        step_us=progress.step_us,
    )
