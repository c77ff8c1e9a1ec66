"""The only user of scikit-learn: regressors for the logarithm of W, splits of rows, and groups of correlated columns.

All regressors see logarithms (times multiply: a model twice as heavy takes twice as long), the operations of a
mini-batch if both of their factors are known, and a column of 0 and 1 for each category.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn import config_context
from sklearn.base import clone
from sklearn.cluster import AgglomerativeClustering
from sklearn.ensemble import ExtraTreesRegressor, GradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dueby_study.warmup.learning.sample import Columns, Floats, Numbers

Predict = Callable[[Floats], Floats]
"""Returns logarithms of W for rows of columns."""
# Features rise and fall together if the absolute value of Spearman's correlation is above this.
CORRELATED = 0.7
_PRODUCTS = (("mini_batch_size", "image_flops"), ("mini_batch_size", "image_size"))


def learn(kind: str, columns: Columns, values: Floats, log_us: Floats) -> Predict:
    """Fit a regressor of this kind to the rows; return its prediction."""
    predict = _KINDS[kind](expand(values, columns=columns), log_us)
    return lambda rows: predict(expand(rows, columns=columns))


def expand(values: Floats, *, columns: Columns) -> Floats:
    """Return logarithms of the numbers, products of some of them, and a column for each category."""
    columns_by_name: dict[str, Floats] = {}
    for name, column in zip(columns.names, values.T):
        if name in columns.levels:
            places = range(len(columns.levels[name]))
            columns_by_name |= {f"{name}={place}": np.where(column == place, 1.0, 0.0) for place in places}
        else:
            columns_by_name[name] = np.sign(column) * np.log1p(np.abs(column))
    for one, other in _PRODUCTS:
        if one in columns_by_name and other in columns_by_name:
            columns_by_name[f"{one}*{other}"] = columns_by_name[one] + columns_by_name[other]
    return np.column_stack(list(columns_by_name.values()))


def grouped_folds(groups: Numbers, *, folds: int, seed: int) -> Iterator[tuple[Numbers, Numbers]]:
    """Yield rows to learn from and rows to test on, with no group in both."""
    splitter = GroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    yield from splitter.split(np.zeros(len(groups)), groups=groups)


def correlated_groups(values: Floats) -> list[list[int]]:
    """Return groups of columns that rise and fall together, by their indices."""
    if values.shape[1] < 2:
        return [[place] for place in range(values.shape[1])]
    distances = 1 - np.abs(spearman(values))
    group_of = AgglomerativeClustering(
        n_clusters=None, metric="precomputed", linkage="average", distance_threshold=1 - CORRELATED
    ).fit_predict(distances)
    return [[int(place) for place in np.flatnonzero(group_of == number)] for number in range(max(group_of) + 1)]


def spearman(values: Floats) -> Floats:
    """Return the correlation of the columns' ranks; missing values get the middle rank."""
    ranks = np.column_stack([_ranks(column) for column in values.T])
    return np.clip(np.nan_to_num(np.corrcoef(ranks, rowvar=False)), -1, 1)


def _ranks(column: Floats) -> Floats:
    is_known = ~np.isnan(column)
    _, places, counts = np.unique(column[is_known], return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = np.full(len(column), (is_known.sum() + 1) / 2)
    ranks[is_known] = (ends - (counts - 1) / 2)[places]
    return ranks


# Columns that are null in all rows of a fold are kept, so that the other columns keep their indices.
_FILLED = SimpleImputer(keep_empty_features=True)


def _fitted(*steps: Any) -> Callable[[Floats, Floats], Predict]:
    """Return a function that fits these steps of scikit-learn."""

    def fit(values: Floats, log_us: Floats) -> Predict:
        # Without this, scikit-learn checks the parameters of each of some hundred small trees, which takes longer than
        # growing them.
        with config_context(skip_parameter_validation=True, assume_finite=True):
            learnt = make_pipeline(*(clone(step) for step in steps)).fit(values, log_us)
        return lambda rows: np.asarray(learnt.predict(rows), dtype=np.float64)

    return fit


# Strong shrinkage: correlated features would otherwise get large coefficients that cancel, until one of the features
# is shuffled on its own.
_line = _fitted(_FILLED, StandardScaler(), RidgeCV(alphas=np.logspace(1, 3, 9)))
_trees = _fitted(_FILLED, ExtraTreesRegressor(n_estimators=60, min_samples_leaf=2, random_state=0))
_boosting = _fitted(
    _FILLED,
    GradientBoostingRegressor(n_estimators=100, max_depth=3, subsample=0.7, max_features=0.5, random_state=0),
)


def _line_then_trees(values: Floats, log_us: Floats) -> Predict:
    """Fit a line in logarithms, and trees to what it leaves: trees alone know no slope between the points they have
    seen.
    """
    line = _line(values, log_us)
    rest = _trees(values, log_us - line(values))
    return lambda rows: line(rows) + rest(rows)


_KINDS: dict[str, Callable[[Floats, Floats], Predict]] = {
    "line in logarithms": _line,
    "extra trees": _trees,
    "gradient boosting": _boosting,
    "line and trees": _line_then_trees,
}
KINDS = tuple(_KINDS)
# The kind with which many sets of columns are compared: as good as any other, and fast.
COMPARING = "line and trees"
