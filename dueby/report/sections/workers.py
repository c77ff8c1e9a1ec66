"""Workers against the deadline: which workers the chart shows, its key, and the re-plans under it."""

from dataclasses import dataclass

from dueby.report.charts.workers import STATES, choose_lanes, draw_workers
from dueby.report.run import Run
from dueby_api.run_record import ReplanRecord
from dueby_pages.charts.svg import Markup
from dueby_pages.wording import counted, duration, number, reason

_KEY = {**STATES, "done": "idle", "planned": "planned finish"}


@dataclass(frozen=True, kw_only=True)
class WorkersSection:
    """What the section shows."""

    chart: Markup
    key: dict[str, str]
    """The style sheet's class of a mark -> what the mark means."""
    shown: int
    """Workers in the chart, which may be fewer than the run had."""
    replans: tuple[str, ...]
    """A sentence for each."""


def workers_section(run: Run) -> WorkersSection | None:
    """Return the section; None if nothing is known of any worker."""
    if not run.workers:
        return None
    lanes = choose_lanes(run.workers)
    replans = tuple(_replan_sentence(replan) for replan in run.replans)
    return WorkersSection(chart=draw_workers(run, lanes), key=_KEY, shown=len(lanes), replans=replans)


def _replan_sentence(replan: ReplanRecord) -> str:
    counts = "" if replan.after is None else f": {number(replan.before)} to {counted(replan.after, 'worker')}"
    message = replan.message or f"{reason(replan.reason)}{counts}"
    return f"After {duration(replan.at_seconds)}: {message.rstrip('.')}."
