"""W between the sizes that a profile measured: the shape learnt, shifted to pass through the measured first
mini-batches.

A profile measures W at three sizes. There the prediction is corrected; between them, the correction is interpolated
linearly in the logarithm of the size. So a family that was never seen (another model, another image size) gets its
level from the profile, and only the shape is learnt. The error is measured the way the model is used: whole families
are left out, three of their sizes are put back, and the others are predicted.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dueby_profiler.measuring.sweep import warmup_sizes
from dueby_study.warmup.learning.held_out import FOLDS, relative_error
from dueby_study.warmup.learning.regressors import Predict, grouped_folds, learn
from dueby_study.warmup.learning.sample import Floats, Numbers, Sample

Shape = Callable[[Floats], Floats]
"""Returns logarithms of W for mini-batch sizes."""
_SIZE = "mini_batch_size"


@dataclass(frozen=True, kw_only=True)
class InterpolationErrors:
    """Median relative errors between a family's smallest, middle and largest size, with nothing else of it seen."""

    rows: int
    model: float
    straight: float
    """Of straight lines between the three."""
    next_larger: float
    """Of the next larger of the three sizes, which a plan takes without a model."""

    @property
    def is_learnt_better(self) -> bool:
        """Whether the learnt shape is nearer than straight lines."""
        return self.model < self.straight

    @property
    def least(self) -> float:
        """The error of the better way."""
        return min(self.model, self.straight)


@dataclass(frozen=True, kw_only=True)
class HeldOutRows:
    """Rows between the measured sizes of unseen families, and what was predicted for them, as logarithms."""

    rows: Numbers
    """Their indices in the sample."""
    model: Floats
    straight: Floats
    next_larger: Floats


def anchored(shape: Shape, measured: Mapping[int, float]) -> Shape:
    """Return the shape, shifted to pass through the measured logarithms of W."""
    sizes = np.array(sorted(measured), dtype=np.float64)
    off = np.array([measured[size] for size in sorted(measured)]) - shape(sizes)
    return lambda wanted: shape(wanted) + np.interp(np.log(wanted), np.log(sizes), off)


def straight(measured: Mapping[int, float]) -> Shape:
    """Return straight lines between the measured sizes."""
    sizes = sorted(measured)
    times = np.exp([measured[size] for size in sizes])
    return lambda wanted: np.log(np.interp(wanted, sizes, times))


def next_larger(measured: Mapping[int, float]) -> Shape:
    """Return the W of the next larger measured size."""
    sizes = sorted(measured)
    logs = np.array([measured[size] for size in sizes])
    return lambda wanted: logs[np.searchsorted(sizes, wanted)]


def shape_of(predict: Predict, row: Floats, names: Sequence[str]) -> Shape:
    """Return a row's prediction as a function of the mini-batch size alone."""
    place = names.index(_SIZE) if _SIZE in names else None

    def shape(sizes: Floats) -> Floats:
        rows = np.tile(row, (len(sizes), 1))
        if place is not None:
            rows[:, place] = sizes
        return predict(rows)

    return shape


def leave_families_out(sample: Sample, kind: str, names: Sequence[str]) -> HeldOutRows | None:
    """Predict every family as a profile would see it, with the other families to learn from; None if none has four
    sizes.
    """
    columns, values = sample.columns.only(names), sample.of(names)
    left_out: list[tuple[Numbers, Floats, Floats, Floats]] = []
    for seen, unseen in grouped_folds(sample.families, folds=FOLDS, seed=0):
        predict = learn(kind, columns, values[seen], sample.log_us[seen])
        for measured, rows in _families(sample, unseen):
            shape = shape_of(predict, values[rows[0]], names)
            shapes = (anchored(shape, measured), straight(measured), next_larger(measured))
            model, lines, larger = (guess(sample.sizes[rows]) for guess in shapes)
            left_out.append((rows, model, lines, larger))
    if not left_out:
        return None
    rows, model, lines, larger = (np.concatenate(parts) for parts in zip(*left_out))
    return HeldOutRows(rows=rows, model=model, straight=lines, next_larger=larger)


def interpolation_errors(sample: Sample, tried: HeldOutRows | None) -> dict[str, InterpolationErrors]:
    """Return the errors by device class."""
    if tried is None:
        return {}
    errors, log_us = {}, sample.log_us[tried.rows]
    for name in sorted(set(sample.device_classes)):
        mine = sample.of_class(name)[tried.rows]
        if mine.any():
            errors[name] = InterpolationErrors(
                rows=int(mine.sum()),
                model=relative_error(log_us[mine], tried.model[mine]),
                straight=relative_error(log_us[mine], tried.straight[mine]),
                next_larger=relative_error(log_us[mine], tried.next_larger[mine]),
            )
    return errors


def _families(sample: Sample, unseen: Numbers) -> Iterator[tuple[dict[int, float], Numbers]]:
    """Yield for each family the medians at the sizes that a profile would measure, and the rows at the other sizes."""
    for family in sorted(set(sample.families[unseen].tolist())):
        rows = unseen[sample.families[unseen] == family]
        sizes = sample.sizes[rows]
        anchors = warmup_sizes([int(size) for size in set(sizes.tolist())])
        between = rows[~np.isin(sizes, anchors)]
        if len(between):
            yield {size: float(np.median(sample.log_us[rows[sizes == size]])) for size in anchors}, between
