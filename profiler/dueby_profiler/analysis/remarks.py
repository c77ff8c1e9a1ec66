"""What a person should know of how a layout was measured: where the sizes end, what time left out, what it costs."""

from collections.abc import Iterator
from statistics import median

from dueby_planner.small_samples import Z95
from dueby_profiler.analysis.document import run_spread
from dueby_profiler.analysis.points import Measurements
from dueby_profiler.analysis.statistics import WANTED_ERROR, relative_error
from dueby_profiler.measuring.sweep import End


def remarks(found: Measurements, *, end: End, rounds_left_out: int) -> Iterator[str]:
    """Clauses, without the layout's name and without a full stop."""
    yield f"mini-batches up to {found.sizes[-1]}: {end.value}"
    if not found.startups_us:
        yield (
            "no time was left for fresh processes, so the start-up is that of processes that had to compile (too long) "
            "and the warm-up that of processes that had run other sizes (too short)"
        )
    elif rounds_left_out:
        yield f"no time was left for {rounds_left_out} more rounds of fresh processes"
    yield what_is_known(found)


def what_is_known(found: Measurements) -> str:
    """How well the mean step and the spread are known, and what the spread costs a plan."""
    size = found.fastest_size()
    errors = [relative_error(visit.durations_us) for visit in found.visits[size]]
    error, wanted = median(errors), f"{WANTED_ERROR:.0%}"
    known = f"within {max(error, 0.001):.1%}" if error < 1 else "from a few steps"
    clauses = [f"{found.processes} processes, the mean step of each known {known} (aim: {wanted})"]
    spread = run_spread(found)
    if spread is None:
        clauses.append("no spread between runs, so plans will assume one")
    else:
        why = f", as wide as {found.crews} starts foresee the next"
        clauses.append(f"spread between runs {spread:.1%}{why}: plans at confidence 0.95 keep {Z95 * spread:.0%} spare")
    return "; ".join(clauses)
