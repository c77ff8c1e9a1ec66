"""The table of the chaos, and whether its bars are met.

Nothing is to be lost, doubled or ended otherwise than expected, and the operator is to have no fault of its own, no
restart of its own and no long silence. Each Hard job has room, so none is to be refused. Being late is a matter of
chance, which jobs state: no more may be late than would be in 99 of 100 runs, if each were late with the probability
that its confidence leaves. BestEffort jobs are promised nothing, and don't count there.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from chaos.faults import InjectedFault
from chaos.hostile import Ending
from chaos.rows import JobResult
from chaos.watch import WatchResult

BAR_SILENCE_S = 60.0
# Of runs in which jobs are late as often as they state, so many have no more late ones than the bar.
BAR_SHARE = 0.99


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Everything that is judged."""

    jobs: Sequence[JobResult]
    endings: Sequence[Ending]
    faults: Sequence[InjectedFault]
    operator: WatchResult

    @property
    def promised(self) -> Sequence[JobResult]:
        """The jobs that are promised to be in time with their confidence."""
        return [job for job in self.jobs if job.is_promised]


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A figure that has a limit."""

    name: str
    value: float
    most: float
    note: str = ""

    @property
    def is_met(self) -> bool:
        """Whether the figure is within its limit."""
        return self.value <= self.most


def expected_late(jobs: Sequence[JobResult]) -> float:
    """How many would be late, if each were with the probability that its confidence leaves."""
    return sum(1 - job.planned.confidence for job in jobs)


def most_late(jobs: Sequence[JobResult], share: float = BAR_SHARE) -> int:
    """The least number that, in this share of runs, no more jobs than it would be late."""
    chances = [1.0]
    for job in jobs:
        late = 1 - job.planned.confidence
        chances = [
            (chances[count] if count < len(chances) else 0.0) * (1 - late)
            + (chances[count - 1] * late if count else 0.0)
            for count in range(len(chances) + 1)
        ]
    total = 0.0
    for count, chance in enumerate(chances):
        total += chance
        if total >= share:
            return count
    return len(jobs)


def bars(outcome: Outcome) -> list[Bar]:
    """All figures with a limit."""
    jobs, promised, operator = outcome.jobs, outcome.promised, outcome.operator
    unexpected = [job.planned.name for job in jobs if job.phase != "Succeeded"]
    hostile = [ending.case for ending in outcome.endings if not ending.is_expected]
    late = sum(job.is_late for job in promised)
    expected = f"{expected_late(promised):.1f} expected at their confidence"
    failed = [fault.kind for fault in outcome.faults if fault.error and not fault.is_interrupted]
    silence = f"at {operator.longest_silence_at_s / 60:.0f} min"
    return [
        Bar(name="rows lost", value=sum(job.lost for job in jobs), most=0),
        Bar(name="rows doubled", value=sum(job.doubled for job in jobs), most=0),
        Bar(name="rows of no image", value=sum(job.strange for job in jobs), most=0),
        Bar(name="rows with an error", value=sum(job.failed for job in jobs), most=0),
        Bar(name="healthy jobs late", value=late, most=most_late(promised), note=expected),
        Bar(name="healthy jobs that did not succeed", value=len(unexpected), most=0, note=", ".join(unexpected)),
        Bar(name="hostile cases that ended otherwise", value=len(hostile), most=0, note=", ".join(hostile)),
        Bar(name="restarts of the operator that nobody made", value=operator.unexplained_restarts, most=0),
        Bar(name="faults that the operator counted", value=operator.faults, most=0),
        Bar(name="longest time without a pass, s", value=operator.longest_silence_s, most=BAR_SILENCE_S, note=silence),
        Bar(name="faults that could not be made or undone", value=len(failed), most=0, note=", ".join(failed)),
    ]


def is_measured(outcome: Outcome) -> bool:
    """Whether anything can be said at all: without a job, or without the operator's metrics, nothing can."""
    return bool(outcome.jobs) and outcome.operator.passes > 0


def counts(outcome: Outcome) -> Mapping[str, float]:
    """Figures without a limit."""
    by_kind = Counter(fault.kind for fault in outcome.faults if fault.target is not None)
    kinds = sorted(job.planned.deadline_class for job in outcome.jobs)
    missed = sum(fault.target is None and not fault.error for fault in outcome.faults)
    return {
        **{f"fault: {kind}": by_kind[kind] for kind in sorted(by_kind)},
        "faults that found nothing to hit": missed,
        **{f"hostile: {ended}": count for ended, count in Counter(e.ended for e in outcome.endings).items()},
        "healthy jobs": len(outcome.jobs),
        **{f"healthy jobs: {kind}": count for kind, count in Counter(kinds).items()},
        "BestEffort jobs late": sum(job.is_late and not job.is_promised for job in outcome.jobs),
        "images": sum(job.planned.images for job in outcome.jobs),
        "rows": sum(job.rows for job in outcome.jobs),
        "healthy jobs late by the time of _SUCCESS": sum(bool(job.is_late_by_files) for job in outcome.jobs),
        "replans": sum(job.replans for job in outcome.jobs),
        **{f"operator: {what}": count for what, count in outcome.operator.counted.items()},
        "operator: passes": outcome.operator.passes,
        "operator: processes": outcome.operator.processes,
        "operator: peak memory, MiB": outcome.operator.peak_memory_mib,
        "API server ready, % of looks": round(100 * outcome.operator.api_ready_share, 1),
    }


def tell(console: Console, outcome: Outcome) -> bool:
    """Print the table; whether every bar is met."""
    table = Table(title="What was done, and what came of it", title_justify="left")
    table.add_column("")
    table.add_column("", justify="right")
    table.add_column("at most", justify="right")
    table.add_column("")
    for name, value in counts(outcome).items():
        table.add_row(name, f"{value:,g}" if value < 10_000 else f"{value:,.0f}", "", "")
    table.add_section()
    found = bars(outcome)
    for bar in found:
        style = "green" if bar.is_met else "bold red"
        table.add_row(bar.name, f"{bar.value:,g}", f"{bar.most:,g}", bar.note, style=style)
    console.print(table)
    if not is_measured(outcome):
        console.print("No job has ended, or the operator's metrics were never read: this run says nothing.")
    return is_measured(outcome) and all(bar.is_met for bar in found)
