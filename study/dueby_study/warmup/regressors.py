"""scikit-learn, and nothing else that uses it: what may learn the logarithm of W, how rows are split, what is alike.

All of them see logarithms (times multiply: a model twice as heavy takes twice as long), the mini-batch's operations
where both of their factors are known, and a column of 0 and 1 for each category.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn import config_context
from sklearn.base import clone
from sklearn.cluster import AgglomerativeClustering
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import ExtraTreeRegressor

from dueby_study.warmup.sample import Columns, Floats, Numbers

Predict = Callable[[Floats], Floats]
"""From rows of columns to logarithms of W."""
# Features that go up and down together, by the absolute value of Spearman's correlation.
ALIKE = 0.7
_PRODUCTS = (("mini_batch_size", "image_flops"), ("mini_batch_size", "image_size"))


def learn(kind: str, columns: Columns, values: Floats, log_us: Floats) -> Predict:
    """A regressor of this kind, learnt from the rows."""
    predict = _KINDS[kind](expand(values, columns=columns), log_us)
    return lambda rows: predict(expand(rows, columns=columns))


def expand(values: Floats, *, columns: Columns) -> Floats:
    """Logarithms of the numbers, products of some, and a column for each category."""
    made: dict[str, Floats] = {}
    for name, column in zip(columns.names, values.T):
        if name in columns.levels:
            places = range(len(columns.levels[name]))
            made |= {f"{name}={place}": np.where(column == place, 1.0, 0.0) for place in places}
        else:
            made[name] = np.sign(column) * np.log1p(np.abs(column))
    for left, right in _PRODUCTS:
        if left in made and right in made:
            made[f"{left}*{right}"] = made[left] + made[right]
    return np.column_stack(list(made.values()))


def grouped_folds(groups: Numbers, *, folds: int, seed: int) -> Iterator[tuple[Numbers, Numbers]]:
    """Rows to learn from and rows to be tried on, with no group in both."""
    splitter = GroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    yield from splitter.split(np.zeros(len(groups)), groups=groups)


def alike(values: Floats) -> list[list[int]]:
    """Columns that are alike, as groups of their places."""
    if values.shape[1] < 2:
        return [[place] for place in range(values.shape[1])]
    distances = 1 - np.abs(spearman(values))
    found = AgglomerativeClustering(
        n_clusters=None, metric="precomputed", linkage="average", distance_threshold=1 - ALIKE
    ).fit_predict(distances)
    return [[int(place) for place in np.flatnonzero(found == number)] for number in range(max(found) + 1)]


def spearman(values: Floats) -> Floats:
    """The correlation of the columns' ranks; what is missing is in the middle."""
    ranks = np.column_stack([_ranks(column) for column in values.T])
    return np.clip(np.nan_to_num(np.corrcoef(ranks, rowvar=False)), -1, 1)


def _ranks(column: Floats) -> Floats:
    known = ~np.isnan(column)
    _, places, counts = np.unique(column[known], return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = np.full(len(column), (known.sum() + 1) / 2)
    ranks[known] = (ends - (counts - 1) / 2)[places]
    return ranks


_TREES = 60
# A column that is null in all rows of a fold stays, so that the others keep their places.
_FILLED = SimpleImputer(keep_empty_features=True)


def _unchecked() -> Any:
    """Skip scikit-learn's checks: of some hundred small trees each would have its parameters checked for longer."""
    return config_context(skip_parameter_validation=True, assume_finite=True)


def _fitted(*steps: Any) -> Callable[[Floats, Floats], Predict]:
    """What learns with these steps of scikit-learn's."""

    def fit(values: Floats, log_us: Floats) -> Predict:
        with _unchecked():
            learnt = make_pipeline(*(clone(step) for step in steps)).fit(values, log_us)
        return lambda rows: np.asarray(learnt.predict(rows), dtype=np.float64)

    return fit


# Features go together. Shrunk less, they get large coefficients that cancel, until one of them is shuffled alone.
_line = _fitted(_FILLED, StandardScaler(), RidgeCV(alphas=np.logspace(1, 3, 9)))
_boosting = _fitted(
    _FILLED,
    GradientBoostingRegressor(n_estimators=100, max_depth=3, subsample=0.7, max_features=0.5, random_state=0),
)


def _trees(values: Floats, log_us: Floats) -> Predict:
    """Fit extremely randomized trees: to the bit those of scikit-learn's ExtraTreesRegressor, in half its time.

    That one copies an estimator with its parameters for each tree, which takes longer than so small a tree.
    """
    fill = clone(_FILLED)
    seeds = np.random.RandomState(0).randint(np.iinfo(np.int32).max, size=_TREES)
    with _unchecked():
        rows = fill.fit_transform(values).astype(np.float32)
        trees = [
            ExtraTreeRegressor(min_samples_leaf=2, random_state=int(seed)).fit(rows, log_us, check_input=False)
            for seed in seeds
        ]

    def predict(wanted: Floats) -> Floats:
        filled = fill.transform(wanted).astype(np.float32)
        guesses = [tree.predict(filled, check_input=False) for tree in trees]
        return np.asarray(np.mean(guesses, axis=0), dtype=np.float64)

    return predict


def _line_then_trees(values: Floats, log_us: Floats) -> Predict:
    """A line in logarithms, and trees for what it leaves: trees alone know no slope between what they have seen."""
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
# Where many sets of columns are compared: as good as any, and quick.
COMPARING = "line and trees"
