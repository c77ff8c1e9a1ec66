"""W between the sizes that a profile measured: the model's shape, through the profile's own first mini-batches.

A profile measures W at three sizes. There the model is put right; between them, what it was off by is taken to run
evenly in the logarithm of the size. So a family that was never seen (another model, another image size) has the level
that was measured, and only the shape is learnt. How far off that is, is tried as it is used: families are left out
whole, three of their sizes are put back, and the others are predicted.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dueby_profiler.measuring.sweep import warmup_sizes
from dueby_study.warmup.held_out import FOLDS, relative_error
from dueby_study.warmup.regressors import Predict, grouped_folds, learn
from dueby_study.warmup.sample import Floats, Numbers, Sample

Shape = Callable[[Floats], Floats]
"""From mini-batch sizes to logarithms of W."""
_SIZE = "mini_batch_size"


@dataclass(frozen=True, kw_only=True)
class BetweenErrors:
    """Median relative errors between a family's smallest, middle and largest size, with nothing else of it seen."""

    rows: int
    model: float
    straight: float
    """Straight lines between the three."""
    next_larger: float
    """The next larger of the three: what a plan takes without a model."""

    @property
    def is_learnt_better(self) -> bool:
        """Whether the learnt shape comes nearer than straight lines."""
        return self.model < self.straight

    @property
    def least(self) -> float:
        """The error of the better one."""
        return min(self.model, self.straight)


@dataclass(frozen=True, kw_only=True)
class Tried:
    """The rows between, and what was predicted for them; logarithms."""

    rows: Numbers
    """Their places in the sample."""
    model: Floats
    straight: Floats
    next_larger: Floats


def anchored(shape: Shape, measured: Mapping[int, float]) -> Shape:
    """The shape, put right at the sizes of which the logarithm of W was measured."""
    sizes = np.array(sorted(measured), dtype=np.float64)
    off = np.array([measured[size] for size in sorted(measured)]) - shape(sizes)
    return lambda wanted: shape(wanted) + np.interp(np.log(wanted), np.log(sizes), off)


def straight(measured: Mapping[int, float]) -> Shape:
    """Straight lines between the measured sizes."""
    sizes = sorted(measured)
    times = np.exp([measured[size] for size in sizes])
    return lambda wanted: np.log(np.interp(wanted, sizes, times))


def next_larger(measured: Mapping[int, float]) -> Shape:
    """The W of the next larger size."""
    sizes = sorted(measured)
    logs = np.array([measured[size] for size in sizes])
    return lambda wanted: logs[np.searchsorted(sizes, wanted)]


def shape_of(predict: Predict, row: Floats, names: Sequence[str]) -> Shape:
    """A row's prediction as a function of the mini-batch size alone."""
    place = names.index(_SIZE) if _SIZE in names else None

    def shape(sizes: Floats) -> Floats:
        rows = np.tile(row, (len(sizes), 1))
        if place is not None:
            rows[:, place] = sizes
        return predict(rows)

    return shape


def leave_families_out(sample: Sample, kind: str, names: Sequence[str]) -> Tried | None:
    """Every family as a profile would see it, the other families to learn from; None where none has four sizes."""
    columns, values = sample.columns.only(names), sample.of(names)
    found: list[tuple[Numbers, Floats, Floats, Floats]] = []
    for seen, unseen in grouped_folds(sample.families, folds=FOLDS, seed=0):
        predict = learn(kind, columns, values[seen], sample.log_us[seen])
        for measured, rows in _families(sample, unseen):
            shape = shape_of(predict, values[rows[0]], names)
            shapes = (anchored(shape, measured), straight(measured), next_larger(measured))
            model, lines, larger = (guess(sample.sizes[rows]) for guess in shapes)
            found.append((rows, model, lines, larger))
    if not found:
        return None
    rows, model, lines, larger = (np.concatenate(parts) for parts in zip(*found))
    return Tried(rows=rows, model=model, straight=lines, next_larger=larger)


def between_errors(sample: Sample, tried: Tried | None) -> dict[str, BetweenErrors]:
    """By device class."""
    if tried is None:
        return {}
    found, log_us = {}, sample.log_us[tried.rows]
    for name in sorted(set(sample.device_classes)):
        mine = sample.of_class(name)[tried.rows]
        if mine.any():
            found[name] = BetweenErrors(
                rows=int(mine.sum()),
                model=relative_error(log_us[mine], tried.model[mine]),
                straight=relative_error(log_us[mine], tried.straight[mine]),
                next_larger=relative_error(log_us[mine], tried.next_larger[mine]),
            )
    return found


def _families(sample: Sample, unseen: Numbers) -> Iterator[tuple[dict[int, float], Numbers]]:
    """Of each family the medians at the sizes that a profile would measure, and the rows at the others."""
    for family in sorted(set(sample.families[unseen].tolist())):
        rows = unseen[sample.families[unseen] == family]
        sizes = sample.sizes[rows]
        anchors = warmup_sizes([int(size) for size in set(sizes.tolist())])
        between = rows[~np.isin(sizes, anchors)]
        if len(between):
            yield {size: float(np.median(sample.log_us[rows[sizes == size]])) for size in anchors}, between
