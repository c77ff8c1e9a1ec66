"""Profiles for image sizes that were not measured, predicted from one that was, of the same model, engine and class.

The cost of a step depends on how many pixels are in it. With r the ratio of the two sizes' pixels, b images of the one
cost what r b images of the other do:

    L'(b) = L(r b)      W'(b) = W(b) + the growth of L'      MB' = MB / r, if r > 1      S' = S

Between the measured mini-batch sizes L is a straight line in logarithms. Below the smallest it goes on as it begins,
and beyond the largest it grows in proportion. So a GPU that waits for its launches, or a core that waits for weights,
takes the same time at any image size; and a transformer's tokens count as pixels, too. MB is not raised for smaller
images, because nothing says how much of the memory they take.

How far such predictions are off was measured (benchmarks/relatives.py). The error for sizes so far apart becomes part
of `spread.run`, and so of the margin. Beyond a ratio of four nothing is predicted. In a cluster, a job whose confidence
would make the margin two thirds of N is measured for instead.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from math import ceil, exp, log, log2, sqrt

from dueby_api.gpu_profile import GPUProfile, Latency, MeasuredStep, Predicted, ProfileSpec, Quantiles
from dueby_api.inference_job import Model
from dueby_api.subject import Subject, model_subject, profile_subject
from dueby_planner.model.rule import ASSUMED_SPREADS, quantile
from dueby_planner.profiles.interpolation import warmup_of
from dueby_planner.profiles.observed import MAX_SPREAD, learn

# Measured standard errors, each for ratios of pixels (either way) up to the one beside it.
ERRORS = ((2.1, 0.2), (4.2, 0.3))
# A margin of this share of N turns three devices into five. Measuring first costs less than that.
_MAX_MARGIN = 2 / 3
# The longest name of a Kubernetes object.
_MAX_NAME = 253


def predictions(profiles: Sequence[GPUProfile], model: Model, *, namespace: str | None = None) -> list[GPUProfile]:
    """Return predicted profiles for the classes without one of this model, from the nearest image size of each engine.

    A class whose nearest size was measured on several nodes gets a prediction for each of them. `namespace` is whose
    jobs are believed; None: everybody's.
    """
    measured = {p.spec.device_class for p in profiles if _distance(p, model) == 0}
    sources: dict[Subject, list[GPUProfile]] = {}
    for profile in sorted((p for p in profiles if _is_source(p, model)), key=lambda p: (_distance(p, model), p.name)):
        same_subject = sources.setdefault(_at_size(profile, model.image_size), [profile])
        if same_subject[0] is not profile and same_subject[0].spec.model.image_size == profile.spec.model.image_size:
            same_subject.append(profile)
    predicted = [
        predict(profile, model.image_size, namespace=namespace)
        for subject, same_subject in sources.items()
        if subject.device_class not in measured
        for profile in same_subject
    ]
    return [profile for profile in predicted if profile]


def predict(profile: GPUProfile, image_size: int, *, namespace: str | None = None) -> GPUProfile | None:
    """Return the profile at another image size; None if that is too far, or if no mini-batch would fit in memory."""
    ratio = (image_size / profile.spec.model.image_size) ** 2
    error = error_at(ratio)
    spec = learn(profile.spec, namespace=namespace).spec
    largest = int((spec.max_mini_batch_size or spec.steps[-1].mini_batch_size) / max(1.0, ratio))
    if error is None or largest < 1:
        return None
    curve = latency_of_images([(step.mini_batch_size, step.latency_micros.mean) for step in spec.steps])
    run = ASSUMED_SPREADS.run if spec.spread.run is None else spec.spread.run
    predicted = spec.replace(
        model=spec.model.replace(image_size=image_size),
        measured_at=None,
        max_mini_batch_size=largest,
        latency_fit=None,
        warmup_model=None,
        agreement=None,
        observed=(),
        predicted=Predicted(profile=profile.name, image_size=profile.spec.model.image_size, error=error),
        spread=spec.spread.replace(run=round(min(MAX_SPREAD, sqrt(run**2 + error**2)), 4)),
        steps=tuple(_step(spec, size, curve, ratio) for size in _sizes(spec, largest)),
    )
    name = f"predicted-at-{image_size}-px-from-{profile.name}"[:_MAX_NAME]
    return profile.replace(metadata=profile.metadata.replace(name=name), spec=predicted, status=None)


def is_bearable(predicted: ProfileSpec, *, confidence: float) -> bool:
    """Return whether the margin at this confidence is small enough to plan on the prediction rather than measure."""
    spread = predicted.spread
    run, node = spread.run or ASSUMED_SPREADS.run, ASSUMED_SPREADS.node if spread.node is None else spread.node
    return quantile(confidence) * (run + node) < _MAX_MARGIN


def error_at(ratio: float) -> float | None:
    """Return the standard error at this ratio of pixels; None if it is too far from 1."""
    apart = max(ratio, 1 / ratio)
    return next((error for most, error in ERRORS if apart <= most), None)


def latency_of_images(points: Sequence[tuple[int, int]]) -> Callable[[float], int]:
    """Return a function from a number of images, not necessarily whole, to L in microseconds, rounded up.

    `points` are the measured (size, L in us), ascending.
    """
    xs, ys = [log(size) for size, _ in points], [log(us) for _, us in points]
    # A step with more images never takes less time, and no image takes more time than the images before it.
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
        # A measured value stays what it was, although exp(log(L)) may exceed it by a rounding error.
        return max(1, ceil(exp(y) - 1e-6))

    return latency_us


def describe_predictions(profiles: Iterable[GPUProfile]) -> list[str]:
    """Return a clause for each predicted profile: its device class, its source and the error of the prediction."""
    predicted = {(p.spec.device_class, p.spec.predicted) for p in profiles if p.spec.predicted}
    return [
        f"{name} from {source.profile}, at {source.image_size} px, with a standard error of {source.error:.0%}"
        for name, source in sorted(predicted, key=str)
        if source
    ]


def _sizes(spec: ProfileSpec, largest: int) -> list[int]:
    """Return the measured sizes that fit in memory, and MB itself unless that is more than was measured."""
    measured = {step.mini_batch_size for step in spec.steps}
    return sorted({size for size in measured if size <= largest} | {min(largest, max(measured))})


def _step(spec: ProfileSpec, size: int, curve: Callable[[float], int], ratio: float) -> MeasuredStep:
    mean_us = curve(size * ratio)
    measured, warmup = next(step for step in spec.steps if step.mini_batch_size >= size), warmup_of(spec, size)
    more_us = max(0, mean_us - measured.latency_micros.mean)
    return MeasuredStep(
        mini_batch_size=size,
        latency_micros=Latency(mean=mean_us),
        warmup_micros=Quantiles(p50=warmup.p50 + more_us, p95=warmup.p95 + more_us),
        memory_mib=None if measured.memory_mib is None else ceil(measured.memory_mib * max(1.0, ratio)),
    )


def _is_source(profile: GPUProfile, model: Model) -> bool:
    """Return whether the model's profile can be predicted from this one, because it was measured and is near enough."""
    distance = _distance(profile, model)
    is_measured = profile.spec.predicted is None and not profile.spec.assumed
    return is_measured and distance is not None and distance > 0 and error_at(2.0**distance) is not None


def _distance(profile: GPUProfile, model: Model) -> float | None:
    """Return how far the image sizes are apart, as a power of two of their pixels; None if anything else differs."""
    if not model_subject(model).admits(_at_size(profile, model.image_size).about):
        return None
    return abs(2 * log2(profile.spec.model.image_size / model.image_size))


def _at_size(profile: GPUProfile, image_size: int) -> Subject:
    """Return what the profile is about, at another image size."""
    return profile_subject(profile.spec).of_size(image_size)
