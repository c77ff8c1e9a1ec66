"""The live view of a run, as a function of what is known: what people see is tested without a job that runs.

Of several jobs it has a line each, and what those wait for that have no worker.

It is drawn again at whatever width and height the terminal has by then.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dueby.terminal.tables import Column, fitted_table
from dueby_api.units import format_duration, format_progress
from dueby_api.words import from_now, noun_of, slack_words

# Of each job, where there are several.
_BARS = 10
_BAR = 60
_SHARE, _NARROW_SHARE, _NARROW = 20, 10, 100
# Lines beside the workers': the counts, the bar, the forecast, a gap, the headings, and the one with the cursor.
_OTHER_LINES = 6
_COLOURS = {"lost": "red", "stopped": "yellow", "done": "green"}


@dataclass(frozen=True, kw_only=True)
class WorkerView:
    """What is shown of one worker."""

    name: str
    device_class: str
    engine: str
    mini_batch_size: int
    state: str
    is_gone: bool = False
    share_done: float = 0.0
    """Of the parts that it was given: 0 to 1."""
    images: int = 0
    images_per_second: float = 0.0
    step_us: int | None = None


@dataclass(frozen=True, kw_only=True)
class RunView:
    """What is shown of a run; rich draws it."""

    images: int
    images_done: int
    failed: int
    """Images of this run that could not be read."""
    images_per_second: float
    now_us: int
    deadline_us: int
    expected_finish_us: int | None
    waits: str
    """Which store the workers wait for, and what to do about it; empty if for none."""
    workers: Sequence[WorkerView]

    @property
    def share_done(self) -> float:
        """Of its images: 0 to 1."""
        return self.images_done / max(1, self.images)

    @property
    def line(self) -> str:
        """How far the run is and when it will end, in one line."""
        return f"{_counts(self)}; {_forecast(self)}"

    @property
    def lines(self) -> Sequence[str]:
        """The same, and what it waits for in a line of its own."""
        return [self.line, self.waits] if self.waits else [self.line]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        yield Text(_counts(self))
        # A bar ends without a new line, and what follows would be glued to it; padding is whole lines.
        bar = ProgressBar(total=max(1, self.images), completed=self.images_done, width=min(_BAR, width))
        yield Padding(bar, 0, expand=False)
        yield Text(_forecast(self))
        if self.waits:
            yield Text(self.waits, style="yellow")
        yield Text()
        lines_of_waits = ceil(len(self.waits) / width)
        yield from _workers(self.workers, width=width, lines=console.height - _OTHER_LINES - lines_of_waits)


def _counts(view: RunView) -> str:
    failed = f", {view.failed:,} unreadable" if view.failed else ""
    rate = "" if _is_done(view) else f", {rate_words(view.images_per_second)} images/s"
    counts = format_progress(view.images_done, view.images)
    return f"{counts} {noun_of(view.images, 'image')}{failed}{rate}"


def _is_done(view: RunView) -> bool:
    return view.images_done >= view.images


def _forecast(view: RunView) -> str:
    rest_us = view.deadline_us - view.now_us
    if view.images_done >= view.images:
        return (
            f"all images are done, {format_duration(abs(rest_us))} {'before' if rest_us >= 0 else 'after'} the deadline"
        )
    rest = f"deadline {from_now(rest_us)}"
    finish_us = view.expected_finish_us
    if finish_us is None:
        return rest
    slack_us = view.deadline_us - finish_us
    return f"expected to finish {from_now(max(0, finish_us - view.now_us))}, {rest}: {slack_words(slack_us)}"


def _workers(workers: Sequence[WorkerView], *, width: int, lines: int) -> Iterator[Text | Table]:
    """Yield a table of as many workers as there are lines for, and how many there are besides."""
    shown = list(workers)
    if len(workers) > lines:
        # Who works is shown before who is gone. One line is for the sentence about the others.
        first = sorted(range(len(workers)), key=lambda at: (workers[at].is_gone, at))[: max(1, lines - 1)]
        shown = [workers[at] for at in sorted(first)]
    bar = _SHARE if width >= _NARROW else _NARROW_SHARE
    columns = (
        Column(heading="WORKER", cells=[worker.name for worker in shown], is_text=True),
        Column(heading="CLASS", cells=[worker.device_class for worker in shown], is_text=True, expendable=3),
        Column(heading="ENGINE", cells=[_engine(worker) for worker in shown], is_text=True, expendable=2),
        Column(heading="STATE", cells=[_state(worker) for worker in shown], is_text=True),
        Column(
            heading="SHARE",
            cells=[ProgressBar(total=1.0, completed=worker.share_done, width=bar) for worker in shown],
            is_text=True,
        ),
        Column(heading="IMAGES", cells=[f"{worker.images:,}" for worker in shown]),
        Column(heading="IMAGES/S", cells=[rate_words(worker.images_per_second) for worker in shown]),
        Column(heading="STEP", cells=[_step(worker.step_us) for worker in shown], expendable=1),
    )
    if shown:
        yield fitted_table(columns, width=width)
    if len(shown) < len(workers):
        yield Text(f"and {len(workers) - len(shown):,} more")


def _engine(worker: WorkerView) -> str:
    return f"{worker.engine} x{worker.mini_batch_size}"


def _state(worker: WorkerView) -> Text:
    return Text(worker.state, style=_COLOURS.get(worker.state, ""))


def rate_words(images_per_second: float) -> str:
    # A slow model on one core does less than one image a second, and that isn't none.
    return f"{images_per_second:,.{0 if images_per_second >= 10 or not images_per_second else 1}f}"


def _step(step_us: int | None) -> str:
    return "" if step_us is None else f"{step_us / 1000:,.1f} ms"


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
                cells=[ProgressBar(total=max(1, run.images), completed=run.images_done, width=_BARS) for run in runs],
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
