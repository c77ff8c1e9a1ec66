"""What a person should know about how a layout was measured: where the sizes end, what was left out, how sure it is."""

from collections.abc import Iterator
from statistics import median

from dueby_api.words import counted
from dueby_planner.model.rule import WIDE_SPREAD
from dueby_planner.profiles.pool import QUIETER
from dueby_planner.small_samples import Z95
from dueby_profiler.analysis.document import run_spread
from dueby_profiler.analysis.groups import MeasuredGroups
from dueby_profiler.analysis.points import Measurements
from dueby_profiler.analysis.statistics import WANTED_ERROR, relative_error
from dueby_profiler.measuring.sweep import End


def remarks(groups: MeasuredGroups, *, end: End, crash: str | None = None) -> Iterator[str]:
    """Yield clauses, each without the layout's name and without a full stop."""
    measurements = groups.counted
    yield f"mini-batch sizes up to {measurements.sizes[-1]}: {end.value}{f' ({crash})' if crash else ''}"
    if not measurements.startups_us:
        yield (
            "no time was left for fresh processes, so the start-up includes compiling (too long) and the warm-up is "
            "that of processes that had already run other sizes (too short)"
        )
    elif groups.missing:
        yield f"no time was left for {counted(groups.missing, 'more round')} of fresh processes"
    if left_out := len(groups.every) - len(groups.counting):
        yield (
            f"the times leave out {left_out} of {counted(len(groups.every), 'start')}, because other programs used up "
            f"to {groups.disturbance:.1f} cores meanwhile"
        )
    yield describe_certainty(measurements)


def describe_certainty(measurements: Measurements) -> str:
    """Say how well the mean step and the spread are known, and what the spread costs a plan."""
    size = measurements.fastest_size()
    errors = [relative_error(visit.durations_us) for visit in measurements.visits[size]]
    error, wanted = median(errors), f"{WANTED_ERROR:.0%}"
    certainty = f"known within {max(error, 0.001):.1%}" if error < 1 else "known from a few steps only"
    clauses = [
        f"{counted(measurements.processes, 'process', 'processes')}, the mean step of each {certainty} (aim: {wanted})"
    ]
    spread = run_spread(measurements)
    if spread is None:
        clauses.append("the spread between runs was not measured, so plans will assume one")
    else:
        clauses.append(
            f"spread between runs {spread:.1%}, widened because {measurements.groups} starts were measured: plans at "
            f"confidence 0.95 keep {Z95 * spread:.0%} spare"
        )
        if spread >= WIDE_SPREAD:
            clauses.append(QUIETER)
    return "; ".join(clauses)
