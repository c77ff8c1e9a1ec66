"""What a person should know about how a layout was measured: where the sizes end, what was left out, how sure it is.

And of a GPU that has run for a while: its clock, its power, and what holds the clock down. That is the card's own doing
and lasts as long as the load. It is in the latency, and nobody's programs are to blame.
"""

from collections.abc import Iterator, Mapping
from statistics import median

from dueby_api.words import counted
from dueby_planner.model.rule import WIDE_SPREAD
from dueby_planner.profiles.pool import QUIETER
from dueby_planner.small_samples import Z95
from dueby_profiler.analysis.document import run_spread
from dueby_profiler.analysis.groups import MeasuredGroups
from dueby_profiler.analysis.points import Measurements
from dueby_profiler.analysis.statistics import WANTED_ERROR, relative_error
from dueby_profiler.measuring.sweep import SweepEnd
from dueby_profiler.monitor.features.gpu_features import REASONS

# That nothing runs, or that somebody has set a limit, is none of the card's doing.
_NOT_ITS_OWN = ("idle", "application_clocks")
# Less is noise.
_NOTABLE_HEAT = 1.02


def remarks(groups: MeasuredGroups, *, end: SweepEnd, crash: str | None = None) -> Iterator[str]:
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


def describe_name(other_name: str | None) -> Iterator[str]:
    """Yield what the driver calls a GPU whose class has another name: one of two products on a node with one label."""
    if other_name:
        yield f"the driver calls this GPU {other_name}"


def describe_heat(state: Mapping[str, float], heat: float) -> Iterator[str]:
    """Yield clauses on a GPU of which NVML has said this at the end of a long run, and whose steps took `heat` times as
    long then.
    """
    values = [
        _of("SM clock {:,.0f}{} MHz", state, "sm_clock_mhz", "sm_clock_max_mhz"),
        _of("{:,.0f}{} W", state, "power_w", "power_limit_w"),
        _of("{:,.0f}{} °C", state, "temperature_c", ""),
    ]
    if seen := [value for value in values if value]:
        yield f"at the end of a run under full load: {', '.join(seen)}"
    reasons = int(state.get("throttle_reasons", 0))
    if held := [words for name, (bit, words, _) in REASONS.items() if reasons & bit and name not in _NOT_ITS_OWN]:
        yield f"its clock was held down: {', '.join(held)}"
    if heat >= _NOTABLE_HEAT:
        yield f"steps took {heat:.2f} times as long when it was hot, and all latencies are those"


def _of(words: str, state: Mapping[str, float], name: str, most: str) -> str:
    if name not in state:
        return ""
    return words.format(state[name], f" of {state[most]:,.0f}" if most in state else "")
