"""A profile for an image size that was not measured, from one that was: same model, engine, precision and class.

What a step costs is how many pixels are in it: with r the ratio of the sizes' pixels, b images of the one cost what
r b images of the other do,

    L'(b) = L(r b)      W'(b) = W(b) + what L' is more      MB' = MB / r, if r > 1      S' = S

where L runs straight between the measured mini-batch sizes in logarithms, on from the least as it begins, and beyond
the largest in proportion. So a GPU that waits for its launches, or a core that waits for weights, costs the same at any
image size, and a transformer's tokens are pixels, too. MB isn't raised for smaller images, since nothing says how much
of the memory they take. How far this is off was measured (benchmarks/relatives.py): the error is that between sizes so
far apart, becomes part of `spread.run`, and so of the margin. Beyond a ratio of four nothing is predicted, and in a
cluster a job that asks for so much confidence that the margin would be two thirds of N is measured for.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from math import ceil, exp, log, log2, sqrt

from dueby_api.gpu_profile import GPUProfile, Latency, Predicted, ProfileSpec, Quantiles, Spread, Step
from dueby_api.inference_job import Model
from dueby_planner.model.rule import quantile
from dueby_planner.profiles.interpolation import warmup_of
from dueby_planner.profiles.observed import MAX_SPREAD, learn

# Standard errors that were measured, by the largest ratio of pixels (either way) that they were measured at.
ERRORS = ((2.1, 0.2), (4.2, 0.3))
# Of a profile that doesn't say how much runs differ.
_ASSUMED_RUN, _ASSUMED_NODE = 0.02, 0.03
# Above this share of N, which makes five devices of three, measuring first is the better way.
_MAX_MARGIN = 2 / 3
_MAX_NAME = 253


def predictions(profiles: Sequence[GPUProfile], model: Model) -> list[GPUProfile]:
    """For the classes that have no profile of this model, what the nearest image size of each engine predicts."""
    known = {p.spec.device_class for p in profiles if _distance(p, model) == 0}
    nearest: dict[tuple[str, str], list[GPUProfile]] = {}
    for profile in sorted((p for p in profiles if _may_tell(p, model)), key=lambda p: (_distance(p, model), p.name)):
        key = profile.spec.device_class, profile.spec.engine
        found = nearest.setdefault(key, [profile])
        if found[0] is not profile and found[0].spec.model.image_size == profile.spec.model.image_size:
            found.append(profile)
    made = [predict(p, model.image_size) for (name, _), found in nearest.items() if name not in known for p in found]
    return [profile for profile in made if profile]


def predict(profile: GPUProfile, image_size: int) -> GPUProfile | None:
    """The profile at another image size; None where that is too far, or none of its mini-batches would fit."""
    ratio = (image_size / profile.spec.model.image_size) ** 2
    error = error_at(ratio)
    spec = learn(profile.spec).spec
    largest = int((spec.max_mini_batch_size or spec.steps[-1].mini_batch_size) / max(1.0, ratio))
    if error is None or largest < 1:
        return None
    curve = latency_of_images([(step.mini_batch_size, step.latency_micros.mean) for step in spec.steps])
    run = _ASSUMED_RUN if spec.spread.run is None else spec.spread.run
    predicted = spec.replace(
        model=spec.model.replace(image_size=image_size),
        measured_at=None,
        max_mini_batch_size=largest,
        latency_fit=None,
        warmup_model=None,
        observed=(),
        predicted=Predicted(profile=profile.name, image_size=profile.spec.model.image_size, error=error),
        spread=Spread(run=round(min(MAX_SPREAD, sqrt(run**2 + error**2)), 4), node=spec.spread.node),
        steps=tuple(_step(spec, size, curve, ratio) for size in _sizes(spec, largest)),
    )
    name = f"predicted-at-{image_size}-px-from-{profile.name}"[:_MAX_NAME]
    return profile.replace(metadata=profile.metadata.replace(name=name), spec=predicted, status=None)


def is_bearable(predicted: ProfileSpec, *, confidence: float) -> bool:
    """Whether few enough devices are more than without the prediction's error at this confidence."""
    spread = predicted.spread
    run, node = spread.run or _ASSUMED_RUN, _ASSUMED_NODE if spread.node is None else spread.node
    return quantile(confidence) * (run + node) < _MAX_MARGIN


def error_at(ratio: float) -> float | None:
    """The standard error at this ratio of pixels; None where it is too far."""
    apart = max(ratio, 1 / ratio)
    return next((error for most, error in ERRORS if apart <= most), None)


def latency_of_images(points: Sequence[tuple[int, int]]) -> Callable[[float], int]:
    """L in microseconds, rounded up, of a number of images that need not be whole, from ascending measured sizes."""
    xs, ys = [log(size) for size, _ in points], [log(us) for _, us in points]
    # A step with more images never takes less time, and each image no more than the ones before it.
    slopes = [
        min(1.0, max(0.0, (after[1] - before[1]) / (after[0] - before[0])))
        for before, after in pairwise(zip(xs, ys, strict=True))
    ]

    def latency_us(images: float) -> int:
        x = log(images)
        if x >= xs[-1]:
            y = ys[-1] + x - xs[-1]
        elif x <= xs[0]:
            y = ys[0] + (slopes[0] if slopes else 1.0) * (x - xs[0])
        else:
            i = bisect_right(xs, x) - 1
            y = ys[i] + (ys[i + 1] - ys[i]) * (x - xs[i]) / (xs[i + 1] - xs[i])
        return max(1, ceil(exp(y) - 1e-6))

    return latency_us


def relatives_named(profiles: Iterable[GPUProfile]) -> list[str]:
    """What predicted profiles were predicted from, for people."""
    found = {(p.spec.device_class, p.spec.predicted) for p in profiles if p.spec.predicted}
    return [
        f"{name} by {told.profile}, at {told.image_size} px, within a standard error of {told.error:.0%}"
        for name, told in sorted(found, key=str)
        if told
    ]


def _sizes(spec: ProfileSpec, largest: int) -> list[int]:
    """The measured ones that fit, and MB itself, unless that is more than was measured."""
    measured = {step.mini_batch_size for step in spec.steps}
    return sorted({size for size in measured if size <= largest} | {min(largest, max(measured))})


def _step(spec: ProfileSpec, size: int, curve: Callable[[float], int], ratio: float) -> Step:
    mean_us = curve(size * ratio)
    known, warmup = next(step for step in spec.steps if step.mini_batch_size >= size), warmup_of(spec, size)
    more_us = max(0, mean_us - known.latency_micros.mean)
    return Step(
        mini_batch_size=size,
        latency_micros=Latency(mean=mean_us),
        warmup_micros=Quantiles(p50=warmup.p50 + more_us, p95=warmup.p95 + more_us),
        memory_mib=None if known.memory_mib is None else ceil(known.memory_mib * max(1.0, ratio)),
    )


def _may_tell(profile: GPUProfile, model: Model) -> bool:
    """Whether the profile is of a relative, itself measured, and near enough."""
    spec, distance = profile.spec, _distance(profile, model)
    return (
        spec.predicted is None
        and model.engine in ("auto", spec.engine)
        and distance is not None
        and distance > 0
        and error_at(2.0**distance) is not None
    )


def _distance(profile: GPUProfile, model: Model) -> float | None:
    """How far the image sizes are apart, as the power of two of their pixels; None for another model or precision."""
    of = profile.spec.model
    if (of.name, of.precision) != (model.name, model.precision) or model.engine not in ("auto", profile.spec.engine):
        return None
    return abs(2 * log2(of.image_size / model.image_size))
