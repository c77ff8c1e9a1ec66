"""Learn the time of the first mini-batch from rows of fresh processes.

    everything known right before       which features decide, and how well W could be known
    four parameters that a plan knows   the prediction for plans, with its upper quantile

Several kinds of regressors are tried on the same splits, and the best one is taken. The four parameters are found by
repeatedly leaving out the parameter that is missed least at unseen configurations.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

from dueby_api.errors import Invalid
from dueby_api.gpu_profile import Quantiles
from dueby_study.warmup.learning.held_out import (
    ClassErrors,
    by,
    by_constant,
    by_family_line,
    by_line,
    errors_by_class,
    log_error,
    predicted,
)
from dueby_study.warmup.learning.importance import Importance, importances
from dueby_study.warmup.learning.regressors import COMPARING, KINDS, Predict, learn
from dueby_study.warmup.learning.sample import PLANNED, Columns, Floats, Sample, sample_of

PARAMETERS = 4
# Share of unseen rows that lie below the upper quantile.
UPPER = 0.95


@dataclass(frozen=True, kw_only=True)
class LearnedWarmups:
    """What the rows show about W."""

    rows: int
    configurations: int
    features: int
    """Columns that carry information."""
    kind: str
    """The regressor that is the best with all of them."""
    kinds: Mapping[str, float]
    """For each regressor with all features, the root mean square error of the logarithm at unseen configurations."""
    importances: tuple[Importance, ...]
    """The groups of features that matter most, the most important first."""
    four: tuple[str, ...]
    """The parameters of the prediction; the one that is missed most comes first."""
    four_kind: str
    """The regressor that is the best with these four."""
    steps: tuple[float, ...]
    """The root mean square error of the logarithm with the first parameter, the first two, and so on."""
    errors: Mapping[str, ClassErrors]
    """By device class."""
    upper: Mapping[str, float]
    """By device class, the factor from a prediction to its upper quantile."""
    unseen: Mapping[str, Floats]
    """Every row's prediction (a logarithm) from other configurations, by the fields of ClassErrors."""
    sample: Sample
    predict_log: Predict
    columns: Columns
    """The columns of the four parameters."""

    def predict(self, parameters: Sequence[Mapping[str, Any]]) -> list[Quantiles]:
        """Return W for these parameters, named as in the rows: the expectation as p50, and its upper quantile as p95.

        The device class must be among them, even if it is not one of the four. Raise Invalid if it was never measured.
        """
        logs = self.predict_log(self.columns.matrix(parameters))
        return [self._quantiles(row["device_class"], float(log)) for row, log in zip(parameters, logs)]

    def _quantiles(self, device_class: str, log_us: float) -> Quantiles:
        if device_class not in self.upper:
            classes = ", ".join(self.upper)
            raise Invalid("warm-ups", f"none was measured on a device of the class {device_class}, only on {classes}")
        expected_us = float(np.exp(log_us))
        return Quantiles(p50=ceil(expected_us), p95=ceil(expected_us * self.upper[device_class]))


def learn_warmups(table: Any) -> LearnedWarmups:
    """Learn from the rows that collect_warmups or the monitor wrote; raise Invalid if they are too few."""
    sample = sample_of(table)
    tried, kinds = try_kinds(sample, sample.columns.names)
    kind = best_of(kinds)
    four, steps = choose_parameters(sample)
    tried_four, four_kinds = try_kinds(sample, four)
    four_kind = best_of(four_kinds)
    unseen = {
        "model": tried[kind],
        "four": tried_four[four_kind],
        "constant": predicted(sample, by_constant),
        "line": predicted(sample, by_line),
        "family_line": predicted(sample, by_family_line),
    }
    columns = sample.columns.only(four)
    return LearnedWarmups(
        rows=len(sample),
        configurations=len(set(sample.configurations.tolist())),
        features=len(sample.columns.names),
        kind=kind,
        kinds=kinds,
        importances=tuple(importances(sample, kind)),
        four=tuple(four),
        four_kind=four_kind,
        steps=tuple(steps),
        errors=errors_by_class(sample, unseen),
        upper={
            name: upper_factor(sample.log_us[mine], unseen["four"][mine])
            for name in sorted(set(sample.device_classes))
            if (mine := sample.of_class(name)).any()
        },
        unseen=unseen,
        sample=sample,
        predict_log=learn(four_kind, columns, sample.of(four), sample.log_us),
        columns=columns,
    )


def upper_factor(log_us: Floats, guessed: Floats) -> float:
    """Return the factor that puts 95 % of W at or below unseen predictions, with one more row counted against it."""
    over = np.sort(log_us - guessed)
    place = min(len(over), ceil((len(over) + 1) * UPPER)) - 1
    return float(np.exp(max(0.0, over[place])))


def try_kinds(sample: Sample, names: Sequence[str]) -> tuple[dict[str, Floats], dict[str, float]]:
    """Return the predictions of unseen rows with each kind of regressor on these columns, and their errors."""
    tried = {kind: predicted(sample, by(kind, names)) for kind in KINDS}
    return tried, {kind: log_error(sample.log_us, guessed) for kind, guessed in tried.items()}


def best_of(errors: Mapping[str, float]) -> str:
    """Return the kind with the smallest error."""
    return min(errors, key=lambda kind: errors[kind])


def choose_parameters(sample: Sample) -> tuple[list[str], list[float]]:
    """Return four parameters that a plan knows, the most important first, and the error with the first, the first two,
    ...
    """
    kept = [name for name in sample.columns.names if name in PLANNED]
    error = _error_with(sample, kept)
    left_out: list[tuple[str, float]] = []
    while len(kept) > 1:
        without = {name: _error_with(sample, [other for other in kept if other != name]) for name in kept}
        least_missed = best_of(without)
        left_out.append((least_missed, error))
        kept.remove(least_missed)
        error = without[least_missed]
    ordered = [*((name, error) for name in kept), *reversed(left_out)][:PARAMETERS]
    return [name for name, _ in ordered], [error for _, error in ordered]


def _error_with(sample: Sample, names: Sequence[str]) -> float:
    return log_error(sample.log_us, predicted(sample, by(COMPARING, names)))
