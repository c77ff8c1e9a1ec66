"""What was learnt, as a JSON document and as lines for people."""

from collections.abc import Iterator
from dataclasses import asdict
from math import exp
from typing import Any

from dueby_study.warmup.learning.held_out import ClassErrors
from dueby_study.warmup.learning.importance import Importance
from dueby_study.warmup.learning.learn import LearnedWarmups
from dueby_study.warmup.predicting.anchoring import InterpolationErrors
from dueby_study.warmup.predicting.learned_shape import LearnedShape

_WIDTH = 34


def document(learned: LearnedWarmups, shape: LearnedShape) -> dict[str, Any]:
    """Return what was learnt as JSON, with shares and growths rounded to three digits."""
    return {
        "rows": learned.rows,
        "configurations": learned.configurations,
        "features": learned.features,
        "regressor": learned.kind,
        "regressors": {kind: round(error, 3) for kind, error in learned.kinds.items()},
        "importances": [_rounded(importance) for importance in learned.importances],
        "four": list(learned.four),
        "fourRegressor": learned.four_kind,
        "fourSteps": [round(error, 3) for error in learned.steps],
        "errors": {name: _rounded(errors) for name, errors in learned.errors.items()},
        "upper": {name: round(factor, 3) for name, factor in learned.upper.items()},
        "between": {
            name: {**_rounded(errors), "upper": round(shape.upper[name], 3)} for name, errors in shape.errors.items()
        },
    }


def sentences(learned: LearnedWarmups, shape: LearnedShape) -> Iterator[str]:
    """Yield the same as lines of text."""
    yield f"{learned.rows} first mini-batches of {learned.configurations} configurations, {learned.features} features"
    yield ""
    yield "typical factor by which the predicted W is off at unseen configurations, by regressor"
    yield from (f"  {kind:{_WIDTH}} {exp(error):.3f}" for kind, error in learned.kinds.items())
    yield ""
    yield "growth of the error of log W if a group of features is shuffled (5 % to 95 % of splits)"
    for group in learned.importances:
        others = f"  with {', '.join(group.members)}" if len(group.members) > 1 else ""
        yield f"  {group.name:{_WIDTH}} {group.mean:6.3f} ({group.low:.3f} to {group.high:.3f}){others}"
    yield ""
    yield f"four parameters, with {learned.four_kind}: the factor with the first one only, the first two, ..."
    yield from (f"  {name:{_WIDTH}} {exp(error):.3f}" for name, error in zip(learned.four, learned.steps))
    yield ""
    yield "median relative error at unseen configurations"
    for name, errors in learned.errors.items():
        yield f"  {name}: {errors.rows} rows, {errors.configurations} configurations"
        yield f"    all features {errors.model:.1%}, four {errors.four:.1%}, family's line {errors.family_line:.1%}, "
        yield f"    class's line {errors.line:.1%}, class's median {errors.constant:.1%}"
        yield f"    upper quantile: {learned.upper[name]:.2f} times the prediction from four"
    yield ""
    yield "median relative error between the smallest, middle and largest size of an unseen family"
    for name, between in shape.errors.items():
        yield (
            f"  {name}: {between.rows} rows; learnt shape {between.model:.1%}, straight lines {between.straight:.1%}, "
            f"next larger size {between.next_larger:.1%}; upper quantile {shape.upper[name]:.2f} times the better one"
        )


def _rounded(record: Importance | ClassErrors | InterpolationErrors) -> dict[str, Any]:
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(record).items()}
