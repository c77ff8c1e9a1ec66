"""How far off predictions are where the rows were not seen: by the model, and by what one would do without it.

Rows are split by configuration, so that what is predicted was never measured, only others like it. Beside the model are
a constant (the class's median), a line in the mini-batch size for the class, and one for each family: the same model,
image size, engine and class at other mini-batch sizes. The last is what a profile could do by itself.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dueby_study.warmup.regressors import grouped_folds, learn
from dueby_study.warmup.sample import Floats, Numbers, Sample

FOLDS = 5
Guess = Callable[[Sample, Numbers, Numbers], Floats]
"""From a sample, the rows to learn from and the rows to predict, to the latter's logarithms of W."""


@dataclass(frozen=True, kw_only=True)
class ClassErrors:
    """Median relative errors at configurations that were not seen: 0.1 is 10 %."""

    rows: int
    configurations: int
    model: float
    four: float
    """The model of four parameters."""
    constant: float
    line: float
    family_line: float


def predicted(sample: Sample, guess: Guess, *, seed: int = 0) -> Floats:
    """Every row's prediction, from the rows of other configurations."""
    found = np.empty(len(sample))
    for seen, unseen in grouped_folds(sample.configurations, folds=FOLDS, seed=seed):
        found[unseen] = guess(sample, seen, unseen)
    return found


def by(kind: str, names: Sequence[str]) -> Guess:
    """A regressor of this kind with these columns."""

    def guess(sample: Sample, seen: Numbers, unseen: Numbers) -> Floats:
        values = sample.of(names)
        return learn(kind, sample.columns.only(names), values[seen], sample.log_us[seen])(values[unseen])

    return guess


def by_constant(sample: Sample, seen: Numbers, unseen: Numbers) -> Floats:
    """The class's median."""
    return _each(np.unique(sample.device_classes, return_inverse=True)[1], sample, seen, unseen, least=10**9)


def by_line(sample: Sample, seen: Numbers, unseen: Numbers) -> Floats:
    """The class's line in the mini-batch size."""
    return _each(np.unique(sample.device_classes, return_inverse=True)[1], sample, seen, unseen, least=2)


def by_family_line(sample: Sample, seen: Numbers, unseen: Numbers) -> Floats:
    """The family's own line; the class's where two sizes of it were not seen."""
    own = _each(sample.families, sample, seen, unseen, least=2)
    return np.where(_sizes_seen(sample, seen, unseen) >= 2, own, by_line(sample, seen, unseen))


def relative_error(log_us: Floats, guessed: Floats) -> float:
    """The median of how far the predictions are off."""
    return float(np.median(np.abs(np.expm1(guessed - log_us))))


def log_error(log_us: Floats, guessed: Floats) -> float:
    """Root mean square of the logarithms' errors."""
    return float(np.sqrt(np.mean((guessed - log_us) ** 2)))


def errors_by_class(sample: Sample, guessed: Mapping[str, Floats]) -> dict[str, ClassErrors]:
    """The errors of each class's rows; `guessed` has the fields of ClassErrors."""
    found = {}
    for name in sorted(set(sample.device_classes)):
        mine = sample.of_class(name)
        errors = {field: relative_error(sample.log_us[mine], values[mine]) for field, values in guessed.items()}
        configurations = len(set(sample.configurations[mine].tolist()))
        found[name] = ClassErrors(rows=int(mine.sum()), configurations=configurations, **errors)
    return found


def _sizes_seen(sample: Sample, seen: Numbers, unseen: Numbers) -> Numbers:
    sizes = {
        family: len(set(sample.sizes[seen][sample.families[seen] == family].tolist()))
        for family in set(sample.families[unseen].tolist())
    }
    return np.array([sizes[family] for family in sample.families[unseen].tolist()])


def _each(groups: Numbers, sample: Sample, seen: Numbers, unseen: Numbers, *, least: int) -> Floats:
    """Each group's own line where it has seen so many sizes, and else its median."""
    found = np.full(len(unseen), float(np.median(sample.log_us[seen])))
    for group in set(groups[unseen].tolist()):
        mine, wanted = seen[groups[seen] == group], groups[unseen] == group
        if len(set(sample.sizes[mine].tolist())) >= least:
            found[wanted] = _line(sample.sizes[mine], sample.log_us[mine])(sample.sizes[unseen][wanted])
        elif len(mine):
            found[wanted] = np.median(sample.log_us[mine])
    return found


def _line(sizes: Floats, log_us: Floats) -> Callable[[Floats], Floats]:
    """W = a + s b of least relative squares, never below the least that was seen, as a logarithm."""
    times = np.exp(log_us)
    weighed = np.column_stack([1 / times, sizes / times])
    (base, slope), *_ = np.linalg.lstsq(weighed, np.ones(len(times)))
    least = times.min()
    return lambda wanted: np.log(np.maximum(base + slope * wanted, least))
