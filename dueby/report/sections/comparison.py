"""Expected against actual: how far each worker's start-up, warm-up, step and finish were from the plan's."""

from dataclasses import dataclass

from dueby.report.charts.deviations import Comparison, Pair, draw_deviations
from dueby.report.charts.workers import FINISHED
from dueby.report.run import Run
from dueby.report.sections.facts import Facts
from dueby_api.run_record import WorkerRecord
from dueby_api.start_parts import mean_parts, start_words
from dueby_api.units import MICROS_PER_SECOND
from dueby_pages.charts.svg import Markup
from dueby_pages.wording import change, counted, duration, number

# The table is folded away; more rows than this are for a query of the run's files, not for a page.
_MAX_ROWS = 64


@dataclass(frozen=True, kw_only=True)
class ComparisonSection:
    """What the section shows."""

    facts: Facts
    """Of the run as a whole."""
    chart: Markup
    rows: tuple[Comparison, ...]
    """The table's; the latest workers if there are too many."""
    workers: int
    """How many there are in all."""


def comparison_section(run: Run) -> ComparisonSection | None:
    """Return the section; None if no quantity has both a planned and an actual value."""
    rows = compare(run)
    chart = draw_deviations(rows)
    if chart is None:
        return None
    return ComparisonSection(facts=_overall(run), chart=chart, rows=_latest(rows), workers=len(rows))


def compare(run: Run) -> tuple[Comparison, ...]:
    """Return each worker beside what the plan that started it expected; lost and stopped workers have no finish."""
    rows = []
    for name, worker in run.workers.items():
        planned = run.planned.get(name)
        pairs = {
            "start-up": Pair(expected=planned.startup_s if planned else None, actual=_seconds(worker.startup_us)),
            "warm-up": Pair(expected=planned.warmup_s if planned else None, actual=_seconds(worker.warmup_us)),
            "step": Pair(expected=planned.step_s if planned else None, actual=_seconds(worker.step_us)),
            "finish": Pair(expected=run.planned_finish_s.get(name), actual=_finish_of(worker, run)),
        }
        rows.append(
            Comparison(
                worker=name,
                kind=f"{worker.device_class} · {worker.mini_batch_size}",
                revision=worker.revision,
                parts=worker.parts_committed,
                pairs=pairs,
            )
        )
    return tuple(rows)


def _finish_of(worker: WorkerRecord, run: Run) -> float | None:
    """Return when the worker was done; a worker that was busy to the end of a complete run finished with the run."""
    ended_s, state = worker.states[-1] if worker.states else (0.0, "")
    if state in FINISHED:
        return ended_s
    return run.summary.actual_seconds if state in ("running", "tails") and run.is_complete else None


def _overall(run: Run) -> Facts:
    """Return the whole run's finish and rate; nothing before it has ended."""
    expected_s, actual_s = run.expected_s, run.summary.actual_seconds
    if not expected_s or not actual_s or run.images is None:
        return []
    planned, actual = ((run.images - run.inherited) / s for s in (expected_s, actual_s))
    return [
        ("finish", f"{duration(expected_s)} planned, {duration(actual_s)} actual, {change(actual_s, expected_s)}"),
        (
            "images per second, start-up included",
            f"{number(planned)} planned, {number(actual)} actual, {change(actual, planned)}",
        ),
        *_starting(run),
        *_waiting(run),
    ]


def _starting(run: Run) -> Facts:
    """Return what the workers' start-ups and first mini-batches consisted of, as means."""
    workers = list(run.workers.values())
    parts = mean_parts(
        worker.start_parts | ({} if worker.warmup_us is None else {"firstBatch": round(worker.warmup_us)})
        for worker in workers
        if worker.start_parts
    )
    return [("start-up, on average", start_words(parts))] if parts else []


def _waiting(run: Run) -> Facts:
    """Return how long the workers waited for images, and what the images' store gave if it refused more."""
    share, rate = run.summary.input_wait, run.summary.observed_requests_per_second
    facts: list[tuple[str, str]] = []
    if share is not None:
        facts.append(("waiting for images", f"{share:.0%} of the workers' time after their warm-up"))
    if rate is not None:
        facts.append(("the images' store", f"gave {counted(round(rate), 'request')} a second and refused more"))
    return facts


def _latest(rows: tuple[Comparison, ...]) -> tuple[Comparison, ...]:
    """Return the rows of the workers that finished last, in the order of the workers."""
    shown = sorted(rows, key=lambda row: row.pairs["finish"].actual or 0.0, reverse=True)[:_MAX_ROWS]
    names = {row.worker for row in shown}
    return tuple(row for row in rows if row.worker in names)


def _seconds(micros: float | None) -> float | None:
    return None if micros is None else micros / MICROS_PER_SECOND
