"""Times of the mini-batch sizes between those that were measured, for jobs that allow them (`interpolate`).

L comes from the fit (`fits`); its error becomes margin where the job's confidence is known. W is the warm-up model's
upper quantile where the profile has such a model, else the next larger size's, as for measured sizes without a W. A
gap is filled in eighths: more would only make planning slower, and an odd size no better.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from dueby_api.gpu_profile import LatencyFit, ProfileSpec, Quantiles, Step
from dueby_planner.profiles.fits import Fit, fit_latency

_EIGHTHS = 8


@dataclass(frozen=True, kw_only=True)
class Times:
    """What is known of one mini-batch size; model alone, without the job's input."""

    mini_batch_size: int
    latency_us: int
    """L."""
    warmup: Quantiles
    """W."""
    error_us: int = 0
    """Standard error of an L that was not measured."""
    filled_in: str | None = None
    """How it was, where the size was not measured; a clause for people."""


def times_of(spec: ProfileSpec, *, interpolate: bool) -> list[Times]:
    """Every size up to MB, ascending: the measured ones and, if wanted, those between them."""
    largest = spec.max_mini_batch_size or spec.steps[-1].mini_batch_size
    found = [
        Times(
            mini_batch_size=step.mini_batch_size,
            latency_us=step.latency_micros.mean,
            warmup=warmup_of(spec, step.mini_batch_size),
        )
        for step in spec.steps
    ]
    fit = fit_of(spec) if interpolate else None
    if fit:
        found += [_between(spec, fit, size) for size in sizes_between([s.mini_batch_size for s in spec.steps])]
    return sorted((t for t in found if t.mini_batch_size <= largest), key=lambda t: t.mini_batch_size)


def fit_of(spec: ProfileSpec) -> Fit | None:
    """The fit that the profile names, or else the best one; None where too few sizes were measured."""
    named = spec.latency_fit
    points = tuple((step.mini_batch_size, step.latency_micros.mean) for step in spec.steps)
    return fit_latency(points, kind=named.kind if named else None, error=named.error if named else None)


def describe_fit(spec: ProfileSpec) -> LatencyFit | None:
    """The fit as a profile names it."""
    fit = fit_of(spec)
    return LatencyFit(kind=fit.kind, error=fit.error) if fit else None


def sizes_between(sizes: Sequence[int]) -> Iterator[int]:
    """The sizes that fill each gap in eighths, without its ends."""
    for before, after in pairwise(sizes):
        yield from range(before + max(1, (after - before) // _EIGHTHS), after, max(1, (after - before) // _EIGHTHS))


def warmup_of(spec: ProfileSpec, size: int) -> Quantiles:
    """W of the size, or of the next larger one that has it."""
    return next(s.warmup_micros for s in spec.steps if s.mini_batch_size >= size and s.warmup_micros)


def _between(spec: ProfileSpec, fit: Fit, size: int) -> Times:
    predicted = _predicted(spec, size)
    if predicted:
        source = "the upper quantile of the warm-up model's prediction"
    else:
        source = f"that of mini-batches of {_next_measured(spec.steps, size)}"
    return Times(
        mini_batch_size=size,
        latency_us=fit.expected_us(size),
        error_us=fit.error_us(size),
        warmup=predicted or warmup_of(spec, size),
        filled_in=f"L is filled in by the {fit.kind} fit (standard error {fit.error:.1%}), W is {source}",
    )


def _predicted(spec: ProfileSpec, size: int) -> Quantiles | None:
    known = spec.warmup_model.predictions if spec.warmup_model else ()
    return next((row.warmup_micros for row in known if row.mini_batch_size == size), None)


def _next_measured(steps: tuple[Step, ...], size: int) -> int:
    return next(step.mini_batch_size for step in steps if step.mini_batch_size >= size and step.warmup_micros)
