"""Which features decide W: how much worse predictions become if a feature's values are shuffled among unseen rows.

Features that rise and fall together are shuffled together: alone, each could be derived from the others, and none would
seem to matter. The intervals are over many splits of the rows by configuration, each with a model of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dueby_study.warmup.learning.held_out import FOLDS, log_error
from dueby_study.warmup.learning.regressors import correlated_groups, grouped_folds, learn, spearman
from dueby_study.warmup.learning.sample import Floats, Sample

# As many as the study shows.
MAX_GROUPS = 15
_SPLITS = 4
_SHUFFLES = 5


@dataclass(frozen=True, kw_only=True)
class Importance:
    """A group of features that rise and fall together."""

    name: str
    """The member that is most like W."""
    members: tuple[str, ...]
    mean: float
    """By how much the root mean square error of the logarithm grows; 0.7 is a factor of 2."""
    low: float
    """The 5th percentile over the splits."""
    high: float
    """The 95th percentile."""


def importances(sample: Sample, kind: str, *, seed: int = 0) -> list[Importance]:
    """Return the groups that matter most, the most important first."""
    groups = correlated_groups(sample.values)
    grown = np.array(
        [row for split in range(_SPLITS) for row in _grown(sample, kind, groups, seed=seed * _SPLITS + split)]
    )
    importances_of_groups = [_importance(sample, group, grown[:, place]) for place, group in enumerate(groups)]
    return sorted(importances_of_groups, key=lambda importance: importance.mean, reverse=True)[:MAX_GROUPS]


def _grown(sample: Sample, kind: str, groups: Sequence[Sequence[int]], *, seed: int) -> list[Floats]:
    """Return for each fold by how much the error grows if each group is shuffled."""
    random = np.random.default_rng(seed)
    growths = []
    for seen, unseen in grouped_folds(sample.configurations, folds=FOLDS, seed=seed):
        predict = learn(kind, sample.columns, sample.values[seen], sample.log_us[seen])
        values, log_us = sample.values[unseen], sample.log_us[unseen]
        shuffled = [_shuffled(values, group, random) for group in groups for _ in range(_SHUFFLES)]
        # All in one call: calling the regressor costs more than its rows do.
        guessed = predict(np.concatenate([values, *shuffled])).reshape(-1, len(unseen))
        errors = np.array([log_error(log_us, row) for row in guessed])
        growths.append(errors[1:].reshape(len(groups), _SHUFFLES).mean(axis=1) - errors[0])
    return growths


def _shuffled(values: Floats, group: Sequence[int], random: np.random.Generator) -> Floats:
    changed = values.copy()
    changed[:, list(group)] = values[random.permutation(len(values))][:, list(group)]
    return changed


def _importance(sample: Sample, group: Sequence[int], grown: Floats) -> Importance:
    names = [sample.columns.names[place] for place in group]
    like_w = np.abs(spearman(np.column_stack([sample.values[:, list(group)], sample.log_us]))[-1, :-1])
    low, high = np.quantile(grown, [0.05, 0.95])
    return Importance(
        name=names[int(like_w.argmax())],
        members=tuple(names),
        mean=float(grown.mean()),
        low=float(low),
        high=float(high),
    )
