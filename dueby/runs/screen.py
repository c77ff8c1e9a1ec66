"""What people see while jobs run: the progress of each worker's share, the rate, the expected finish and the slack; of
several jobs a line each.

On a terminal it is a live view, whose last state stays; elsewhere (CI, a log file, a terminal that can't move its
cursor) a line now and then. Everything goes to stderr.
"""

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from dueby.local.process import Process
from dueby.local.running_job import Status
from dueby.runs.run_view import JobsView, JobView, RunView, WorkerView
from dueby.terminal.console import Teller, can_redraw, people_console
from dueby_api.units import parse_time_us
from dueby_api.words import from_now

# Often enough to see that it goes on, rarely enough for a log of a run that takes hours.
LINE_EVERY_S = 10.0
# The view is drawn by cores that the workers use.
REFRESHES_PER_S = 4


class Screen:
    """The screen of one command, as a context manager: `show` may be called while it is entered."""

    def __init__(
        self,
        console: Console | None = None,
        *,
        is_of_one: bool = True,
        watch: Callable[[RunView | JobsView], None] = lambda view: None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`is_of_one` is whether the command runs one job: who runs one need not be told which.

        `watch` is called with every view, also where none is drawn.
        """
        self.console = console or people_console(stderr=True)
        self.is_of_one = is_of_one
        self.watch = watch
        self.clock_s = clock_s
        self.live = Live(console=self.console, refresh_per_second=REFRESHES_PER_S)
        self.line_due_s = 0.0
        self.states: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.live.stop()

    def teller(self, job: str) -> Teller:
        """Return who tells people of this job, in sentences that stay above the view."""
        return Teller(console=self.console, prefix="" if self.is_of_one else f"{job}: ")

    def show(self, statuses: Sequence[Status]) -> None:
        """Show the state of the jobs; on a terminal it replaces the one before."""
        if not self.is_of_one:
            views = [job_view_of(status) for status in statuses]
            states = [f"{view.name} {view.state}" for view in views]
            if states != self.states:  # whoever reads a log learns at once what becomes of each
                self.states, self.line_due_s = states, 0.0
            self.draw(JobsView(jobs=views))
        # Before the first worker there is only a plan, and maybe a refusal, which is printed as such.
        elif statuses[0].processes.started:
            self.draw(view_of(statuses[0]))

    def draw(self, view: RunView | JobsView) -> None:
        """Draw the view, or print its lines if they are due."""
        self.watch(view)
        if can_redraw(self.console):
            self.live.update(view)
            self.live.start()
        elif self.clock_s() >= self.line_due_s:
            self.line_due_s = self.clock_s() + LINE_EVERY_S
            for line in view.lines:
                # Each in one line, however narrow: whoever reads them later looks for lines.
                self.console.print(Text(f"  {line}"), soft_wrap=True)


def job_view_of(status: Status) -> JobView:
    """Return what is shown of the status where there are others."""
    waits_for = _waits_for(status)
    has_begun = bool(status.processes.started)
    return JobView(
        name=status.name,
        state="Waiting" if waits_for and has_begun else status.status.phase or "",
        waits_for=waits_for,
        run=view_of(status),
    )


def _waits_for(status: Status) -> str:
    """Return why the job has no worker; empty if it has one, or needs none."""
    started, plan = status.processes.started, status.status.plan
    if status.model.is_complete or any(not process.is_gone for process in started):
        return ""
    if not started:
        return status.status.message or "It waits for a device."
    if plan is None or not plan.windows:
        return "It waits for a device."
    begins_us = min(parse_time_us(window.from_time) for window in plan.windows)
    return f"It waits for its next device, {from_now(max(0, begins_us - status.model.now_us))}."


def view_of(status: Status) -> RunView:
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
