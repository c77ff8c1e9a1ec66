"""Turn measurements into the GPUProfile that the planner reads.

Times are rounded up, so that no plan is late because of rounding. Where a size has few first mini-batches, the p95 of
its warm-up is its median stretched by the ratio that all sizes show together, and never below the largest value seen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import ceil, exp, log, sqrt
from re import sub
from statistics import fmean, median, stdev
from typing import Any

from dueby_api.agreement import Agreement
from dueby_api.classifiers import plain_name
from dueby_api.engines import EngineName
from dueby_api.gpu_profile import (
    DecodingRate,
    Device,
    GPUProfile,
    Latency,
    MeasuredStep,
    ProfiledModel,
    ProfileMetadata,
    ProfileSpec,
    Quantiles,
    Spread,
)
from dueby_api.inference_job import API_VERSION, Model
from dueby_planner.model.rule import WIDE_SPREAD
from dueby_planner.profiles.interpolation import describe_fit
from dueby_planner.profiles.observed import MAX_SPREAD, MIN_SPREAD
from dueby_planner.small_samples import Z95, foresight, own_share, widening
from dueby_profiler.analysis.memory import Largest
from dueby_profiler.analysis.points import Measurements
from dueby_profiler.analysis.statistics import (
    WANTED_SPREAD_ERROR,
    pooled_spread,
    quantile,
    slowness,
    spread_error,
)
from dueby_profiler.measuring.messages import DecodingRates
from dueby_profiler.presets import ENOUGH_GROUPS

# Of a Kubernetes object.
MAX_NAME = 253
# Two start-ups say nothing about the spread of the next one.
_MIN_GROUPS = 3


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a profile states besides its measurements."""

    device_class: str
    model: Model
    engine: EngineName
    device: Device
    software: Mapping[str, Any] = field(default_factory=dict)
    measured_at: datetime
    busy: bool
    agreement: Agreement | None = None
    cut_short: bool = False
    remarks: tuple[str, ...] = ()


def build_profile(measurements: Measurements, facts: Facts, largest: Largest) -> GPUProfile:
    """Return the profile of one device class on one node."""
    model = facts.model
    spec = ProfileSpec(
        device_class=facts.device_class,
        model=ProfiledModel(name=model.name, image_size=model.image_size, precision=model.precision),
        engine=facts.engine,
        device=facts.device,
        software=dict(facts.software),
        # Kubernetes writes times in whole seconds; a profile must read back as it was written.
        measured_at=facts.measured_at.replace(microsecond=0),
        processes=measurements.processes,
        max_mini_batch_size=largest.mini_batch_size,
        extrapolated=largest.extrapolated,
        startup_micros=_startup(measurements),
        spread=Spread(run=run_spread(measurements), own_start=own_start(measurements)),
        contention=contention_factor(measurements.contentions),
        serial_micros=serial_micros(measurements.decodings),
        decoding=decoding_rates(measurements.decodings),
        busy=facts.busy,
        cut_short=facts.cut_short,
        remarks=facts.remarks,
        agreement=facts.agreement,
        steps=_steps(measurements),
    )
    return GPUProfile(
        api_version=API_VERSION,
        kind="GPUProfile",
        metadata=ProfileMetadata(name=profile_name(facts)),
        spec=spec.replace(latency_fit=describe_fit(spec)),
    )


def profile_name(facts: Facts) -> str:
    """Return the profile's name, such as cpu-1-efficientnet-b0-224-fp32-openvino-NODE.

    It is a valid name for a Kubernetes object and for a file.
    """
    model = facts.model
    device = facts.device
    parts = [
        facts.device_class,
        plain_name(model.name),
        str(model.image_size),
        model.precision,
        facts.engine,
        device.node,
        device.uuid,
    ]
    return object_name(parts)


def object_name(parts: Sequence[str | None]) -> str:
    """Join the parts that are given into one name that Kubernetes accepts."""
    joined = "-".join(part for part in parts if part)
    return sub(r"[^a-z0-9]+", "-", joined.lower()).strip("-")[:MAX_NAME].rstrip("-")


def run_spread(measurements: Measurements) -> float | None:
    """Return `spread.run`: the relative standard deviation of the next run's L around the profile's L.

    A moment affects all slices of a machine alike, so processes that ran side by side are one sample. A process spends
    about a second at each size, and a disturbance in that second affects this size only. A run takes longer, so it
    differs by what the sizes of one group have in common (`shared`). But L is the mean of n such groups, and each
    size's mean carries the whole spread between them (`seen`). The result is t sqrt(shared^2 + seen^2 / n), divided by
    the normal quantile that the planner multiplies it with.

    Return None if fewer than two groups were measured.
    """
    means = {size: measurements.group_means_us(size) for size in measurements.visits}
    seen = pooled_spread({size: list(groups.values()) for size, groups in means.items()})
    if seen is None:
        return None
    slow = slowness(means)
    # What sizes have in common is part of what each of them shows, so a larger estimate is chance.
    shared = min(seen, stdev(slow))
    spread = widening(len(slow) - 1) * sqrt(shared**2 + seen**2 / len(slow))
    # A few groups may agree by chance: they must not promise less spread than the planner assumes without any.
    lower_limit = MIN_SPREAD if len(slow) < ENOUGH_GROUPS else 0.0
    return round(min(MAX_SPREAD, max(lower_limit, spread)), 4)


def own_start(measurements: Measurements) -> float | None:
    """Return `spread.own_start`: the share of the variance of S that each of the processes side by side has alone.

    Return None if too few groups were measured to say how much these have in common, or if a group is one process.
    """
    size, startups = measurements.group_size, measurements.startups_us
    groups = [(startups[first : first + size], size) for first in range(0, len(startups), size)]
    # The group that explores the sizes is one of those that are enough, and its start-ups don't count.
    share = own_share(groups) if len(groups) >= ENOUGH_GROUPS - 1 else None
    return None if share is None else round(share, 4)


def is_spread_known(measurements: Measurements) -> bool:
    """Return whether more groups would hardly change a plan: the spread's own error is small, or the spread is."""
    spread = run_spread(measurements)
    # Plans say nothing of a spread below WIDE_SPREAD, not even of one that is widened because there are few groups.
    return spread is not None and (spread < WIDE_SPREAD or spread_error(measurements.groups) <= WANTED_SPREAD_ERROR)


def contention_factor(factors: Sequence[float]) -> float:
    """Return the contention of a profile: the mean over processes, at least 1."""
    # Decoding can't make the model faster: a factor below 1 is noise.
    return round(max(1.0, fmean(factors)), 3) if factors else 1.0


def serial_micros(decodings: Sequence[DecodingRates]) -> float | None:
    """Return what a GPU's worker does for one image at a time: the mean over processes; None if none measured it."""
    return round(fmean(rates.serial_us for rates in decodings), 1) if decodings else None


def decoding_rates(decodings: Sequence[DecodingRates]) -> tuple[DecodingRate, ...]:
    """Return the photos a second by cores: the mean over processes."""
    if not decodings:
        return ()
    by_cores = zip(*(rates.decoded_us for rates in decodings), strict=True)
    return tuple(
        DecodingRate(cores=cores, images_per_second=round(1e6 / fmean(image_us), 1))
        for cores, image_us in zip(decodings[0].cores, by_cores, strict=True)
    )


def _startup(measurements: Measurements) -> Quantiles:
    startups = measurements.startups_us or measurements.rough_startups_us
    return _quantiles(
        startups,
        stretch=max(_stretch([startups]), _foreseen_stretch(startups, groups=len(startups) // measurements.group_size)),
    )


def _foreseen_stretch(startups: Sequence[int], *, groups: int) -> float:
    """Return the p95 of the next start-up relative to the median, if start-ups are lognormal; 1 with too few groups."""
    if groups < _MIN_GROUPS:
        return 1.0
    return exp(Z95 * foresight(groups) * stdev(log(startup) for startup in startups))


def _steps(measurements: Measurements) -> tuple[MeasuredStep, ...]:
    warmups = dict(measurements.warmups_us)
    # The planner needs W of the largest size. If there was no time for fresh processes, take what exploring showed.
    if measurements.sizes[-1] not in warmups:
        warmups[measurements.sizes[-1]] = [measurements.rough_warmups_us[measurements.sizes[-1]]]
    stretch = _stretch(list(warmups.values()))
    return tuple(_step(measurements, size, warmups.get(size, []), stretch) for size in measurements.sizes)


def _step(measurements: Measurements, size: int, warmups: Sequence[int], stretch: float) -> MeasuredStep:
    heat = measurements.heat
    durations = [ceil(heat * duration) for visit in measurements.visits[size] for duration in visit.durations_us]
    peaks, host_peaks = measurements.peak_mib.get(size), measurements.host_mib.get(size)
    return MeasuredStep(
        mini_batch_size=size,
        samples=len(durations),
        latency_micros=Latency(
            mean=ceil(heat * measurements.mean_us(size)),
            p50=quantile(durations, 0.5),
            p90=quantile(durations, 0.9),
            p95=quantile(durations, 0.95),
        ),
        warmup_micros=_quantiles(warmups, stretch=stretch) if warmups else None,
        memory_mib=max(peaks) if peaks else None,
        host_memory_mib=max(host_peaks) if host_peaks else None,
    )


def _stretch(groups: Sequence[Sequence[int]]) -> float:
    """Return the p95 of each value relative to its group's median, over all groups together."""
    return quantile([ceil(1e6 * value / median(group)) for group in groups for value in group], 0.95) / 1e6


def _quantiles(values: Sequence[int], *, stretch: float) -> Quantiles:
    middle = median(values)
    return Quantiles(p50=ceil(middle), p95=max(*values, ceil(middle * stretch)))
