"""The warm-up model in a profile: W at sizes between the measured ones, for jobs that allow them.

For each device class, two ways are compared on families of rows that are left out whole: the learnt shape, shifted to
pass through the sizes at which the profile measured W, and straight lines between those. The profile gets the better
one. A plan counts with its upper quantile: 95 % of the rows that were left out were not farther above the prediction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

from dueby_api.gpu_profile import GPUProfile, PredictedWarmup, ProfileSpec, Quantiles, WarmupModel
from dueby_planner.profiles.interpolation import interpolated_sizes, warmup_of
from dueby_profiler.monitor.warmup_rows import ModelWeight
from dueby_study.warmup.learning.learn import LearnedWarmups, best_of, choose_parameters, try_kinds, upper_factor
from dueby_study.warmup.learning.regressors import Predict, learn
from dueby_study.warmup.learning.sample import Columns, Sample, sample_of
from dueby_study.warmup.predicting.anchoring import (
    InterpolationErrors,
    anchored,
    interpolation_errors,
    leave_families_out,
    shape_of,
    straight,
)

# Rows of the class between measured sizes. With fewer, one more row would exceed all of them in more than 5 % of cases.
ENOUGH_ROWS = 19
# With W at one size there is nothing to interpolate between.
_MIN_MEASURED = 2


@dataclass(frozen=True, kw_only=True)
class LearnedShape:
    """How W depends on the mini-batch size, as far as four parameters show it."""

    columns: Columns
    predict: Predict
    errors: Mapping[str, InterpolationErrors]
    """By device class."""
    upper: Mapping[str, float]
    """By device class, the factor from the better way's prediction to its upper quantile."""
    engines: Mapping[str, frozenset[str]]
    """By device class, the engines that were measured."""

    def add_to(self, profile: GPUProfile, weight: ModelWeight) -> tuple[GPUProfile, str]:
        """Return the profile with W between its sizes, or unchanged if too little is known; and a sentence about it."""
        spec = profile.spec
        doubt = self._doubt(spec)
        if doubt:
            return profile, f"{spec.device_class}: W between the measured sizes is not predicted: {doubt}."
        errors = self.errors[spec.device_class]
        model = WarmupModel(error=round(errors.least, 4), rows=errors.rows, predictions=self._predictions(spec, weight))
        way = "by the learnt shape" if errors.is_learnt_better else "by straight lines, which came nearer than a model"
        sentence = (
            f"{spec.device_class}: W between the measured sizes is predicted {way}. The prediction is typically "
            f"{errors.least:.0%} off. Plans use {self.upper[spec.device_class]:.2f} times the prediction, or the next "
            f"larger size's W, which is typically {errors.next_larger:.0%} off, if that is less."
        )
        return profile.replace(spec=spec.replace(warmup_model=model)), sentence

    def _doubt(self, spec: ProfileSpec) -> str | None:
        """Return why W can't be predicted for this profile, or None if it can."""
        errors = self.errors.get(spec.device_class)
        if errors is None or errors.rows < ENOUGH_ROWS:
            rows = errors.rows if errors else 0
            return f"{rows} rows of this class lie between measured sizes, and {ENOUGH_ROWS} are needed"
        if spec.engine not in self.engines[spec.device_class]:
            return f"no row was measured with {spec.engine}"
        if sum(step.warmup_micros is not None for step in spec.steps) < _MIN_MEASURED:
            return "W was measured at too few sizes"
        return None

    def _predictions(self, spec: ProfileSpec, weight: ModelWeight) -> tuple[PredictedWarmup, ...]:
        measured = {s.mini_batch_size: float(np.log(s.warmup_micros.p50)) for s in spec.steps if s.warmup_micros}
        if self.errors[spec.device_class].is_learnt_better:
            row = self.columns.matrix([_parameters(spec, weight)])[0]
            guess = anchored(shape_of(self.predict, row, self.columns.names), measured)
        else:
            guess = straight(measured)
        sizes = [
            size for size in interpolated_sizes([step.mini_batch_size for step in spec.steps]) if size >= min(measured)
        ]
        expected_us = np.exp(guess(np.array(sizes, dtype=np.float64)))
        upper = self.upper[spec.device_class]
        predictions = []
        for size, us in zip(sizes, expected_us):
            # Fewer images take no longer, so what was measured at the next larger size is an upper quantile, too.
            most_us = min(ceil(upper * us), warmup_of(spec, size).p95)
            quantiles = Quantiles(p50=min(ceil(us), most_us), p95=most_us)
            predictions.append(PredictedWarmup(mini_batch_size=size, warmup_micros=quantiles))
        return tuple(predictions)


def learn_shape(table: Any, learned: LearnedWarmups | None = None) -> LearnedShape:
    """Learn the shape from rows of warm-ups; raise Invalid if they are too few.

    `learned` is what was learned from the same rows. It holds the parameters and the regressor, which take most of the
    time to choose.
    """
    sample = sample_of(table)
    names, kind = (learned.four, learned.four_kind) if learned else _choose(sample)
    tried = leave_families_out(sample, kind, names)
    errors = interpolation_errors(sample, tried)
    upper = {}
    if tried is not None:
        for name in errors:
            mine = sample.of_class(name)[tried.rows]
            better = tried.model if errors[name].is_learnt_better else tried.straight
            upper[name] = upper_factor(sample.log_us[tried.rows][mine], better[mine])
    columns = sample.columns.only(names)
    return LearnedShape(
        columns=columns,
        predict=learn(kind, columns, sample.of(names), sample.log_us),
        errors=errors,
        upper=upper,
        engines=_engines(table.to_pylist()),
    )


def _choose(sample: Sample) -> tuple[Sequence[str], str]:
    """Return the four parameters that matter most, and the regressor that is the best with them."""
    names, _ = choose_parameters(sample)
    return names, best_of(try_kinds(sample, names)[1])


def _engines(rows: Sequence[Mapping[str, Any]]) -> dict[str, frozenset[str]]:
    classes = {row["device_class"] for row in rows}
    return {name: frozenset(row["engine"] for row in rows if row["device_class"] == name) for name in classes}


def _parameters(spec: ProfileSpec, weight: ModelWeight) -> dict[str, Any]:
    """Return what a plan knows, by the rows' names for it."""
    return {
        "image_size": spec.model.image_size,
        "image_flops": weight.image_flops,
        "parameters": weight.parameters,
        "model_bytes": weight.model_bytes,
        "engine": spec.engine,
        "precision": spec.model.precision,
        "device_class": spec.device_class,
        "threads": spec.device.threads,
    }
