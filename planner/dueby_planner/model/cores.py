"""How many cores a GPU's worker gets, and how many would be enough where GPUs wait for decoding.

While a GPU computes a mini-batch, the worker's c cores decode the next one, which takes b (decode + get) / s(c). Where
that is longer than what the GPU takes, more GPUs are one answer and more cores the other. Only a plan knows which is
the smaller change, so it says so (alternatives.py).

More cores never make a step longer. So what so many of them are enough for, more are enough for, too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction

from dueby_planner.model.capacity import DeviceChoice, PoolGroup
from dueby_planner.model.speedup import LINEAR, Speedup


def cores_for(*, core_us: int, computed_us: int, most: int, speedup: Speedup = LINEAR) -> int:
    """Return the fewest cores, of `most`, with which a step is as short as with all of them; at least one."""
    return min(speedup.fewest_cores(speedup.at(most)), _wanted(core_us, computed_us, speedup))


def enough_cores(groups: Iterable[PoolGroup]) -> int:
    """Return how many cores each worker must have so that no GPU waits for decoding; 0 if none does now."""
    return max((_wanted(each.core_us, each.computed_us, each.speedup) for each in _waiting(groups)), default=0)


def present_cores(groups: Iterable[PoolGroup]) -> int:
    """Return the fewest cores that a worker has whose GPU would wait for decoding; one does."""
    return min(choice.cores for choice in _waiting(groups))


def with_cores(groups: Sequence[PoolGroup], cores: int) -> tuple[PoolGroup, ...]:
    """Return the groups where each worker whose GPU would wait for decoding has so many cores, if it has fewer now."""
    return tuple(
        replace(group, choices=tuple(_with_cores(each, cores) if _waits(each) else each for each in group.choices))
        for group in groups
    )


def _wanted(core_us: int, computed_us: int, speedup: Speedup) -> int:
    """Return the cores with which a mini-batch is decoded while another one is computed."""
    return speedup.fewest_cores(Fraction(core_us, max(1, computed_us)))


def _waiting(groups: Iterable[PoolGroup]) -> list[DeviceChoice]:
    """Return the choices whose GPUs would wait for decoding."""
    return [each for group in groups if group.count for each in group.choices if _waits(each)]


def _waits(choice: DeviceChoice) -> bool:
    return choice.cores > 0 and choice.core_us > choice.speedup.at(choice.cores) * choice.computed_us


def _with_cores(choice: DeviceChoice, cores: int) -> DeviceChoice:
    cores = max(choice.cores, cores)
    latency_us = max(choice.computed_us, choice.speedup.step_us(choice.core_us, cores))
    # W has grown by as much as L.
    less_us = choice.latency_us - latency_us
    return replace(
        choice,
        cores=cores,
        latency_us=latency_us,
        start_us=choice.start_us - less_us,
        expected_start_us=choice.expected_start_us - less_us,
        expected_warmup_us=choice.expected_warmup_us - less_us,
    )
