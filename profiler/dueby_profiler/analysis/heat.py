"""What is to be known of a GPU that has run for a while: its clock, its power, and what holds the clock down.

That is the card's own doing and lasts as long as the load. It is in the latency, and nobody's programs are to blame.
"""

from collections.abc import Iterator, Mapping

from dueby_profiler.monitor.features.gpu_features import REASONS

# That nothing runs, or that somebody has set a limit, is none of the card's doing.
_NOT_ITS_OWN = ("idle", "application_clocks")
# Less is noise.
_NOTABLE_HEAT = 1.02


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
