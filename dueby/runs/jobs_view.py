"""The live view of several jobs: a line each, and what those wait for that have no worker. A function of what is known.

It is drawn again at whatever width the terminal has by then.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.text import Text

from dueby.runs.run_view import RunView, rate_words
from dueby.terminal.tables import Column, fitted_table
from dueby_api.units import format_progress
from dueby_api.words import from_now

_BAR = 10


@dataclass(frozen=True, kw_only=True)
class JobView:
    """What is shown of one job."""

    name: str
    state: str
    """Its phase."""
    waits_for: str
    """Why it has no worker now; empty if it has one."""
    run: RunView

    @property
    def line(self) -> str:
        """How it stands, in one line."""
        words = self.run.line if not self.waits_for else f"{self.state}: {self.waits_for}"
        return f"{self.name}: {words}"


@dataclass(frozen=True, kw_only=True)
class JobsView:
    """What is shown of all jobs; rich draws it."""

    jobs: Sequence[JobView]

    @property
    def share_done(self) -> float:
        """Of the images of all jobs: 0 to 1."""
        return sum(job.run.images_done for job in self.jobs) / max(1, sum(job.run.images for job in self.jobs))

    @property
    def lines(self) -> Sequence[str]:
        """How each job stands, and which store it waits for in a line of its own."""
        return [line for job in self.jobs for line in (job.line, *_store_waits(job))]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        runs = [job.run for job in self.jobs]
        columns = (
            Column(heading="JOB", cells=[job.name for job in self.jobs], is_text=True),
            Column(heading="STATE", cells=[job.state for job in self.jobs], is_text=True),
            Column(heading="WORKERS", cells=[f"{_at_work(run)}" for run in runs], expendable=2),
            Column(
                heading="DONE",
                cells=[ProgressBar(total=max(1, run.images), completed=run.images_done, width=_BAR) for run in runs],
                is_text=True,
                expendable=1,
            ),
            Column(heading="IMAGES", cells=[format_progress(run.images_done, run.images) for run in runs]),
            Column(heading="IMAGES/S", cells=[rate_words(run.images_per_second) for run in runs]),
            Column(heading="FINISH", cells=[_away(run.expected_finish_us, run) for run in runs]),
            Column(heading="DEADLINE", cells=[_away(run.deadline_us, run) for run in runs]),
        )
        yield fitted_table(columns, width=options.max_width)
        for job in self.jobs:
            if job.waits_for:
                yield Text(job.line)
            for waits in _store_waits(job):
                yield Text(waits, style="yellow")


def _store_waits(job: JobView) -> Sequence[str]:
    return [f"{job.name}: {job.run.waits}"] if job.run.waits else []


def _at_work(run: RunView) -> int:
    return sum(not worker.is_gone for worker in run.workers)


def _away(time_us: int | None, run: RunView) -> str:
    return "" if time_us is None else from_now(time_us - run.now_us)
