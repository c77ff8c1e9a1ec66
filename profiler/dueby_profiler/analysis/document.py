"""From what was measured to the GPUProfile that the planner reads.

Times are rounded up: a plan made from them is late by no rounding. Where a size has few first mini-batches, their p95
is its median stretched by what all sizes together show of the stretch, and never below the largest one seen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import ceil, exp, log, sqrt
from re import sub
from statistics import fmean, median, stdev
from typing import Any

from dueby_api.engines import EngineName
from dueby_api.gpu_profile import (
    Device,
    GPUProfile,
    Latency,
    ProfiledModel,
    ProfileMetadata,
    ProfileSpec,
    Quantiles,
    Spread,
    Step,
)
from dueby_api.inference_job import API_VERSION, Model
from dueby_planner.profiles.interpolation import describe_fit
from dueby_planner.profiles.observed import MAX_SPREAD, MIN_SPREAD
from dueby_planner.small_samples import Z95, foresight, widening
from dueby_profiler.analysis.memory import Largest
from dueby_profiler.analysis.points import Measurements
from dueby_profiler.analysis.statistics import pooled_spread, quantile, slowness
from dueby_profiler.presets import ENOUGH_CREWS

MAX_NAME = 253
# From two, anything could follow.
_MIN_CREWS = 3


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a profile says beside its measurements."""

    device_class: str
    model: Model
    engine: EngineName
    device: Device
    software: Mapping[str, Any] = field(default_factory=dict)
    measured_at: datetime
    busy: bool


def build_profile(found: Measurements, facts: Facts, largest: Largest) -> GPUProfile:
    """The profile of a device class on one node."""
    model = facts.model
    spec = ProfileSpec(
        device_class=facts.device_class,
        model=ProfiledModel(name=model.name, image_size=model.image_size, precision=model.precision),
        engine=facts.engine,
        device=facts.device,
        software=dict(facts.software),
        measured_at=facts.measured_at.replace(microsecond=0),
        processes=found.processes,
        max_mini_batch_size=largest.mini_batch_size,
        extrapolated=largest.extrapolated,
        startup_micros=_startup(found),
        spread=Spread(run=run_spread(found)),
        contention=contention_factor(found.contentions),
        busy=facts.busy,
        steps=_steps(found),
    )
    return GPUProfile(
        api_version=API_VERSION,
        kind="GPUProfile",
        metadata=ProfileMetadata(name=profile_name(facts)),
        spec=spec.replace(latency_fit=describe_fit(spec)),
    )


def profile_name(facts: Facts) -> str:
    """cpu-1-efficientnet-b0-224-fp32-openvino-<node>: what Kubernetes accepts as a name, and a file's name too."""
    model = facts.model
    device = facts.device
    parts = [
        facts.device_class,
        model.name,
        str(model.image_size),
        model.precision,
        facts.engine,
        device.node,
        device.uuid,
    ]
    return object_name(parts)


def object_name(parts: Sequence[str | None]) -> str:
    """The parts that there are as one name."""
    joined = "-".join(part for part in parts if part)
    return sub(r"[^a-z0-9]+", "-", joined.lower()).strip("-")[:MAX_NAME].rstrip("-")


def run_spread(found: Measurements) -> float | None:
    """`spread.run`: how much the next run will differ from the means of the few crews that were measured.

    What a moment does to a machine it does to all of its slices, so processes that ran side by side are one sample.
    A visit to a size takes a second or so, and what a moment does to it, the sizes after it don't have: a run, which is
    longer, differs by what a crew's sizes have in common (`own`). But L is the mean of n such visits and has the whole
    of their spread in it (`seen`): t sqrt(own^2 + seen^2 / n), over the quantile by which the planner multiplies it.
    """
    means = {size: found.crew_means_us(size) for size in found.visits}
    seen = pooled_spread({size: list(crews.values()) for size, crews in means.items()})
    if seen is None:
        return None
    slow = slowness(means)
    own = min(seen, stdev(slow))
    spread = widening(len(slow) - 1) * sqrt(own**2 + seen**2 / len(slow))
    # Of too few crews it is not taken for smaller than what the planner assumes without any.
    least = MIN_SPREAD if len(slow) < ENOUGH_CREWS else 0.0
    return round(min(MAX_SPREAD, max(least, spread)), 4)


def contention_factor(factors: Sequence[float]) -> float:
    """How much slower than the sum of both, of several processes; at least 1."""
    return round(max(1.0, fmean(factors)), 3) if factors else 1.0


def _startup(found: Measurements) -> Quantiles:
    startups = found.startups_us or found.rough_startups_us
    return _quantiles(
        startups, stretch=max(_stretch([startups]), _foreseen(startups, crews=len(startups) // found.alike))
    )


def _foreseen(startups: Sequence[int], *, crews: int) -> float:
    """The p95 of the next start-up over their median; they are lognormal, about. 1 where there are too few to say."""
    if crews < _MIN_CREWS:
        return 1.0
    return exp(Z95 * foresight(crews) * stdev(log(startup) for startup in startups))


def _steps(found: Measurements) -> tuple[Step, ...]:
    warmups = dict(found.warmups_us)
    # The one that can't be missing; there is none where time was too short for fresh processes.
    if found.sizes[-1] not in warmups:
        warmups[found.sizes[-1]] = [found.rough_warmups_us[found.sizes[-1]]]
    stretch = _stretch(list(warmups.values()))
    return tuple(_step(found, size, warmups.get(size, []), stretch) for size in found.sizes)


def _step(found: Measurements, size: int, warmups: Sequence[int], stretch: float) -> Step:
    durations = [duration for visit in found.visits[size] for duration in visit.durations_us]
    peaks = found.peak_mib.get(size)
    return Step(
        mini_batch_size=size,
        samples=len(durations),
        latency_micros=Latency(
            mean=ceil(found.mean_us(size)),
            p50=quantile(durations, 0.5),
            p90=quantile(durations, 0.9),
            p95=quantile(durations, 0.95),
        ),
        warmup_micros=_quantiles(warmups, stretch=stretch) if warmups else None,
        memory_mib=max(peaks) if peaks else None,
    )


def _stretch(groups: Sequence[Sequence[int]]) -> float:
    """The p95 of each value over its group's median, all groups together."""
    return quantile([ceil(1e6 * value / median(group)) for group in groups for value in group], 0.95) / 1e6


def _quantiles(values: Sequence[int], *, stretch: float) -> Quantiles:
    middle = median(values)
    return Quantiles(p50=ceil(middle), p95=max(*values, ceil(middle * stretch)))
