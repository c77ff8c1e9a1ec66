"""How far predictions are off at rows that were not seen: those of the model, and those one could make without it.

Rows are split by configuration, so that what is predicted was never measured itself, only others like it. The model is
compared with a constant (the class's median), a line over the mini-batch size for the class, and one for each family:
the same model, image size, engine and class at other mini-batch sizes. The last is what a profile could do by itself.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dueby_study.warmup.learning.regressors import grouped_folds, learn
from dueby_study.warmup.learning.sample import Floats, Numbers, Sample

FOLDS = 5
Guess = Callable[[Sample, Numbers, Numbers], Floats]
"""Predicts logarithms of W from a sample, the rows to learn from, and the rows to predict."""


@dataclass(frozen=True, kw_only=True)
class ClassErrors:
    """Median relative errors at unseen configurations; 0.1 means 10 %."""

    rows: int
    configurations: int
    model: float
    four: float
    """With the model of four parameters."""
    constant: float
    line: float
    family_line: float


def predicted(sample: Sample, guess: Guess, *, seed: int = 0) -> Floats:
    """Return every row's prediction, learnt from the rows of other configurations."""
    predictions = np.empty(len(sample))
    for seen, unseen in grouped_folds(sample.configurations, folds=FOLDS, seed=seed):
        predictions[unseen] = guess(sample, seen, unseen)
    return predictions


def by(kind: str, names: Sequence[str]) -> Guess:
    """Return a regressor of this kind with these columns."""

    def guess(sample: Sample, seen: Numbers, unseen: Numbers) -> Floats:
        values = sample.of(names)
        return learn(kind, sample.columns.only(names), values[seen], sample.log_us[seen])(values[unseen])

    return guess


def by_constant(sample: Sample, seen: Numbers, unseen: Numbers) -> Floats:
    """Predict the class's median."""
    return _each(_class_numbers(sample), sample, seen, unseen, min_sizes=None)


def by_line(sample: Sample, seen: Numbers, unseen: Numbers) -> Floats:
    """Predict by the class's line over the mini-batch size."""
    return _each(_class_numbers(sample), sample, seen, unseen, min_sizes=2)


def by_family_line(sample: Sample, seen: Numbers, unseen: Numbers) -> Floats:
    """Predict by the family's own line, or by the class's if fewer than two of the family's sizes were seen."""
    by_family = _each(sample.families, sample, seen, unseen, min_sizes=2)
    return np.where(_sizes_seen(sample, seen, unseen) >= 2, by_family, by_line(sample, seen, unseen))


def relative_error(log_us: Floats, guessed: Floats) -> float:
    """Return the median relative error of the predictions."""
    return float(np.median(np.abs(np.expm1(guessed - log_us))))


def log_error(log_us: Floats, guessed: Floats) -> float:
    """Return the root mean square error of the logarithms."""
    return float(np.sqrt(np.mean((guessed - log_us) ** 2)))


def errors_by_class(sample: Sample, guessed: Mapping[str, Floats]) -> dict[str, ClassErrors]:
    """Return the errors of each class's rows; `guessed` has predictions by the fields of ClassErrors."""
    errors_of = {}
    for name in sorted(set(sample.device_classes)):
        mine = sample.of_class(name)
        errors = {field: relative_error(sample.log_us[mine], values[mine]) for field, values in guessed.items()}
        configurations = len(set(sample.configurations[mine].tolist()))
        errors_of[name] = ClassErrors(rows=int(mine.sum()), configurations=configurations, **errors)
    return errors_of


def _class_numbers(sample: Sample) -> Numbers:
    return np.unique(sample.device_classes, return_inverse=True)[1]


def _sizes_seen(sample: Sample, seen: Numbers, unseen: Numbers) -> Numbers:
    sizes = {
        family: len(set(sample.sizes[seen][sample.families[seen] == family].tolist()))
        for family in set(sample.families[unseen].tolist())
    }
    return np.array([sizes[family] for family in sample.families[unseen].tolist()])


def _each(groups: Numbers, sample: Sample, seen: Numbers, unseen: Numbers, *, min_sizes: int | None) -> Floats:
    """Predict by each group's own line if at least `min_sizes` of its sizes were seen, otherwise by its median."""
    predictions = np.full(len(unseen), float(np.median(sample.log_us[seen])))
    for group in set(groups[unseen].tolist()):
        mine, wanted = seen[groups[seen] == group], groups[unseen] == group
        if min_sizes is not None and len(set(sample.sizes[mine].tolist())) >= min_sizes:
            predictions[wanted] = _line(sample.sizes[mine], sample.log_us[mine])(sample.sizes[unseen][wanted])
        elif len(mine):
            predictions[wanted] = np.median(sample.log_us[mine])
    return predictions


def _line(sizes: Floats, log_us: Floats) -> Callable[[Floats], Floats]:
    """Fit W = a + s b by least relative squares, never below the smallest W that was seen; return it as a logarithm."""
    times = np.exp(log_us)
    weighed = np.column_stack([1 / times, sizes / times])
    (base, slope), *_ = np.linalg.lstsq(weighed, np.ones(len(times)))
    smallest = times.min()
    return lambda wanted: np.log(np.maximum(base + slope * wanted, smallest))
