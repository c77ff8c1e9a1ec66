"""The top of the page: the outcome in a sentence and a few numbers, and the finish against the deadline."""

from dataclasses import dataclass

from dueby.report.run import Run
from dueby_api.prices import format_units
from dueby_pages.templating import Sign
from dueby_pages.wording import counted, duration, number, percent

# A deadline further off than this many times the run would make the bars too short to compare.
_FAR_OFF = 3


_PAUSE = "M6 4v8M10 4v8"
_SIGNS = {
    "Succeeded": Sign(name="In time", tone="good", icon="M3.5 8.5l3 3 6-7"),
    "Late": Sign(name="Late", tone="late", icon="M8 3.5V8l3 2.5"),
    "Failed": Sign(name="Failed", tone="bad", icon="M4 4l8 8M12 4l-8 8"),
    "Interrupted": Sign(name="Interrupted", tone="late", icon=_PAUSE),
    "Unfinished": Sign(name="Unfinished", tone="late", icon=_PAUSE),
}


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A finish as a bar from the start."""

    name: str
    tone: str
    seconds: float
    width: float
    """In percent of the widest bar and the deadline."""


@dataclass(frozen=True, kw_only=True)
class FinishBars:
    """The planned and the actual finish, crossed by the deadline."""

    bars: tuple[Bar, ...]
    deadline_s: float
    deadline_at: float | None
    """In percent like the widths; None if it is too far off to show."""
    first_deadline_s: float | None
    """What the deadline was when the bars were planned; None if it is the same."""


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A number with its name and what to compare it with."""

    name: str
    value: str
    note: str


@dataclass(frozen=True, kw_only=True)
class Headline:
    """What the top of the page shows."""

    sign: Sign
    story: str
    proof: str | None
    """Why it was not done with fewer devices."""
    finish: FinishBars | None
    warnings: tuple[str, ...]
    tiles: tuple[Tile, ...]


def headline(run: Run) -> Headline:
    """Return what the top of the run's page shows."""
    proof = run.first.proof_sentence if run.first else None
    return Headline(
        # The record may come from a later version, with verdicts that this one doesn't know.
        sign=_SIGNS.get(run.verdict, Sign(name=run.verdict, tone="late", icon="M8 4v5M8 11.5v.5")),
        story=_story(run),
        proof=f"{proof.rstrip('.')}." if proof else None,
        finish=_finish_bars(run),
        warnings=_warnings(run),
        tiles=_tiles(run),
    )


def _story(run: Run) -> str:
    """Return the run in one sentence, or two if it was resumed."""
    devices = f" on {counted(run.devices, run.noun)}" if run.devices else ""
    before = f" Earlier runs had classified {number(run.inherited)} of {number(run.images)}." if run.inherited else ""
    rest = None if run.images is None else run.images - run.inherited
    if run.is_complete and rest == 0:
        return f"Each of the {counted(run.images, 'image')} had a row before this run."
    if run.is_complete:
        return f"{counted(rest, 'image')} classified in {duration(run.end_s)}{devices}{_against_deadline(run)}.{before}"
    if not run.promise.feasible and not run.workers:
        return "Nothing was started: the deadline can't be met."
    so_far = f"{number(run.done)} of {counted(run.images, 'image')} done"
    if run.verdict == "Failed" and run.failed:
        too_many = run.job.spec.why_too_many(images=run.images, failed=run.failed) if run.job and run.images else ""
        return f"{so_far} in {duration(run.end_s)}{devices}. {too_many}".rstrip()
    return f"{so_far} after {duration(run.end_s)}{devices}. Run the same command again to continue."


def _against_deadline(run: Run) -> str:
    if run.deadline_s is None:
        return ""
    return f", {duration(abs(run.deadline_s - run.end_s))} {'before' if run.is_in_time else 'after'} the deadline"


def _finish_bars(run: Run) -> FinishBars | None:
    """Return the expected finish, the one at the confidence, and the actual one; None if there is none of them."""
    actual_name = "actual" if run.summary.verdict else "so far"
    rows = (
        ("planned", "plan", run.expected_s),
        (f"at {percent(run.confidence)}", "plan", run.at_confidence_s),
        (actual_name, "actual", run.end_s or None),
    )
    times = [(name, tone, seconds) for name, tone, seconds in rows if seconds is not None]
    if not times or run.deadline_s is None:
        return None
    latest = max(seconds for _, _, seconds in times)
    is_far = run.deadline_s > _FAR_OFF * latest
    # 4 % of room after the last mark; never 0, which a damaged record would make it.
    whole = 1.04 * max(latest, 0.0 if is_far else run.deadline_s, 1e-6)
    return FinishBars(
        bars=tuple(
            Bar(name=name, tone=tone, seconds=seconds, width=100 * seconds / whole) for name, tone, seconds in times
        ),
        deadline_s=run.deadline_s,
        deadline_at=None if is_far else 100 * run.deadline_s / whole,
        first_deadline_s=run.first_deadline_s if run.has_moved else None,
    )


def _warnings(run: Run) -> tuple[str, ...]:
    """Return what nobody may overlook."""
    # Random weights first: nothing else on the page means anything then.
    first = [run.summary.weights_warning] if run.summary.weights_warning else []
    return (*first, *run.notes)


def _tiles(run: Run) -> tuple[Tile, ...]:
    slack = None if run.deadline_s is None or run.summary.actual_seconds is None else run.deadline_s - run.end_s
    planned_for_s = run.first_deadline_s if run.has_moved else run.deadline_s
    planned = None if planned_for_s is None or run.at_confidence_s is None else planned_for_s - run.at_confidence_s
    before = ", before the edit" if run.has_moved else ""
    finish, planned_finish = run.summary.actual_seconds, duration(run.expected_s)
    return (
        Tile(name="images", value=number(run.images), note=f"{number(run.done)} done"),
        Tile(name="deadline", value=duration(run.deadline_s), note=_likelihood(run)),
        Tile(name="finish", value=duration(finish), note=f"planned {planned_finish}"),
        Tile(
            name="slack",
            value=duration(slack),
            note=f"planned {duration(planned)} at {percent(run.confidence)}{before}",
        ),
        Tile(name=f"{run.noun}s", value=number(run.devices), note=counted(len(run.replans), "re-plan")),
        Tile(name="failed images", value=number(run.failed), note=_share(run.failed, run.images)),
        *([Tile(name="cost", value=run.summary.cost, note=_planned_cost(run))] if run.summary.cost else []),
    )


def _planned_cost(run: Run) -> str:
    cost = run.promise.cost
    return f"planned {format_units(cost.total, cost.currency)}" if cost else ""


def _likelihood(run: Run) -> str:
    if run.has_moved:
        return f"edited; at first {duration(run.first_deadline_s)}"
    return "from the start" if run.probability is None else f"planned {percent(run.probability)} sure"


def _share(failed: int | None, images: int | None) -> str:
    return "" if failed is None or not images else f"{percent(failed / images, digits=2)} of all"
