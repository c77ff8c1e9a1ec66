"""Times of the mini-batch sizes between the measured ones, for jobs that allow them (`interpolate`).

L comes from the fit (fits.py). The error of the fit becomes margin once the job's confidence is known. W is the upper
quantile of the warm-up model if the profile has one. Otherwise it is the W of the next larger measured size, as it is
for measured sizes without a W of their own.

Each gap is divided into eighths: more sizes would only make planning slower, and odd sizes are no better.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from dueby_api.gpu_profile import LatencyFit, MeasuredStep, ProfileSpec, Quantiles
from dueby_planner.profiles.fits import Fit, fit_latency

_EIGHTHS = 8


@dataclass(frozen=True, kw_only=True)
class ModelTimes:
    """The times of one mini-batch size, for the model alone, without the job's input."""

    mini_batch_size: int
    latency_us: int
    """L."""
    warmup: Quantiles
    """W."""
    error_us: int = 0
    """Standard error of an L that was interpolated; 0 if it was measured."""
    interpolation: str | None = None
    """How the times were interpolated, as a clause for people; None if the size was measured."""


def times_of(spec: ProfileSpec, *, interpolate: bool) -> list[ModelTimes]:
    """Return the times of every size up to MB, ascending: the measured ones and, if wanted, those between them."""
    largest = spec.max_mini_batch_size or spec.steps[-1].mini_batch_size
    times = [
        ModelTimes(
            mini_batch_size=step.mini_batch_size,
            latency_us=step.latency_micros.mean,
            warmup=warmup_of(spec, step.mini_batch_size),
        )
        for step in spec.steps
    ]
    fit = fit_of(spec) if interpolate else None
    if fit:
        measured = [step.mini_batch_size for step in spec.steps]
        times += [_interpolated_times(spec, fit, size) for size in interpolated_sizes(measured)]
    return sorted((t for t in times if t.mini_batch_size <= largest), key=lambda t: t.mini_batch_size)


def fit_of(spec: ProfileSpec) -> Fit | None:
    """Return the fit that the profile names, or else the best one; None if too few sizes were measured."""
    named = spec.latency_fit
    points = tuple((step.mini_batch_size, step.latency_micros.mean) for step in spec.steps)
    return fit_latency(points, kind=named.kind if named else None, error=named.error if named else None)


def describe_fit(spec: ProfileSpec) -> LatencyFit | None:
    """Return the fit as a profile names it."""
    fit = fit_of(spec)
    return LatencyFit(kind=fit.kind, error=fit.error) if fit else None


def interpolated_sizes(measured: Sequence[int]) -> Iterator[int]:
    """Yield the sizes that divide each gap between measured sizes into eighths; all whole ones if the gap is small."""
    for before, after in pairwise(measured):
        step = max(1, (after - before) // _EIGHTHS)
        yield from range(before + step, after, step)


def warmup_of(spec: ProfileSpec, size: int) -> Quantiles:
    """Return W of the size, or of the next larger one that has a W."""
    return next(s.warmup_micros for s in spec.steps if s.mini_batch_size >= size and s.warmup_micros)


def _interpolated_times(spec: ProfileSpec, fit: Fit, size: int) -> ModelTimes:
    predicted = _predicted_warmup(spec, size)
    if predicted:
        source = "the upper quantile of the warm-up model's prediction"
    else:
        source = f"that of mini-batches of {_next_measured(spec.steps, size)}"
    return ModelTimes(
        mini_batch_size=size,
        latency_us=fit.expected_us(size),
        error_us=fit.error_us(size),
        warmup=predicted or warmup_of(spec, size),
        interpolation=f"L is interpolated by the {fit.kind} fit (standard error {fit.error:.1%}), W is {source}",
    )


def _predicted_warmup(spec: ProfileSpec, size: int) -> Quantiles | None:
    predictions = spec.warmup_model.predictions if spec.warmup_model else ()
    return next((row.warmup_micros for row in predictions if row.mini_batch_size == size), None)


def _next_measured(steps: tuple[MeasuredStep, ...], size: int) -> int:
    return next(step.mini_batch_size for step in steps if step.mini_batch_size >= size and step.warmup_micros)
