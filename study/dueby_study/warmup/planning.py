"""The warm-up model in a profile: W at the sizes between the measured ones, for jobs that allow them.

Two ways are tried on families of rows that are left out whole, for each device class: the learnt shape, put right at
the sizes of which the profile measured W, and straight lines between those. The profile gets the one that comes nearer.
What a plan counts with is its upper quantile: 95 % of the rows that were left out were not farther above.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

from dueby_api.gpu_profile import GPUProfile, PredictedWarmup, ProfileSpec, Quantiles, WarmupModel
from dueby_planner.profiles.interpolation import sizes_between, warmup_of
from dueby_profiler.monitor.model_facts import Weight
from dueby_study.warmup.anchoring import (
    BetweenErrors,
    anchored,
    between_errors,
    leave_families_out,
    shape_of,
    straight,
)
from dueby_study.warmup.learn import Learned, best_of, choose_parameters, try_kinds, upper_factor
from dueby_study.warmup.regressors import Predict, learn
from dueby_study.warmup.sample import Columns, Sample, sample_of

# Rows between measured sizes, of the device class: of fewer, one more is above them all in more than 5 % of cases.
ENOUGH_ROWS = 19
_MIN_MEASURED = 2


@dataclass(frozen=True, kw_only=True)
class LearnedShape:
    """How W runs over the mini-batch size, as far as four parameters tell."""

    columns: Columns
    predict: Predict
    errors: Mapping[str, BetweenErrors]
    """By device class."""
    upper: Mapping[str, float]
    """By device class, what the better way's prediction is multiplied with for its upper quantile."""
    engines: Mapping[str, frozenset[str]]
    """By device class, those that were measured."""

    def add_to(self, profile: GPUProfile, weight: Weight) -> tuple[GPUProfile, str]:
        """The profile with W between its sizes, or as it is where too little is known; and a sentence about it."""
        spec = profile.spec
        doubt = self._doubt(spec)
        if doubt:
            return profile, f"{spec.device_class}: W between the measured sizes is not predicted: {doubt}."
        errors = self.errors[spec.device_class]
        model = WarmupModel(error=round(errors.least, 4), rows=errors.rows, predictions=self._predictions(spec, weight))
        way = "as learnt" if errors.is_learnt_better else "by straight lines, which came nearer than what was learnt"
        sentence = (
            f"{spec.device_class}: W between the measured sizes is predicted {way}: typically {errors.least:.0%} off, "
            f"and planned as {self.upper[spec.device_class]:.2f} times that, or as the next larger size's W, which is "
            f"typically {errors.next_larger:.0%} off, where that is less."
        )
        return profile.replace(spec=spec.replace(warmup_model=model)), sentence

    def _doubt(self, spec: ProfileSpec) -> str | None:
        """Why nothing can be said of this profile."""
        known = self.errors.get(spec.device_class)
        if known is None or known.rows < ENOUGH_ROWS:
            return (
                f"it takes {ENOUGH_ROWS} rows between sizes of this class, and there are {known.rows if known else 0}"
            )
        if spec.engine not in self.engines[spec.device_class]:
            return f"no row is of {spec.engine}"
        if sum(step.warmup_micros is not None for step in spec.steps) < _MIN_MEASURED:
            return "W was measured at too few sizes"
        return None

    def _predictions(self, spec: ProfileSpec, weight: Weight) -> tuple[PredictedWarmup, ...]:
        measured = {s.mini_batch_size: float(np.log(s.warmup_micros.p50)) for s in spec.steps if s.warmup_micros}
        if self.errors[spec.device_class].is_learnt_better:
            row = self.columns.matrix([_parameters(spec, weight)])[0]
            guess = anchored(shape_of(self.predict, row, self.columns.names), measured)
        else:
            guess = straight(measured)
        sizes = [size for size in sizes_between([step.mini_batch_size for step in spec.steps]) if size >= min(measured)]
        expected_us = np.exp(guess(np.array(sizes, dtype=np.float64)))
        upper = self.upper[spec.device_class]
        predictions = []
        for size, us in zip(sizes, expected_us):
            # Fewer images take no longer: what was measured at the next larger size is an upper quantile, too.
            most_us = min(ceil(upper * us), warmup_of(spec, size).p95)
            quantiles = Quantiles(p50=min(ceil(us), most_us), p95=most_us)
            predictions.append(PredictedWarmup(mini_batch_size=size, warmup_micros=quantiles))
        return tuple(predictions)


def learn_shape(table: Any, learned: Learned | None = None) -> LearnedShape:
    """Learn it from rows of warm-ups; Invalid where they are too few.

    What was learned from the same rows holds the parameters and the regressor, which take most of the time to choose.
    """
    sample = sample_of(table)
    names, kind = (learned.four, learned.four_kind) if learned else _choose(sample)
    tried = leave_families_out(sample, kind, names)
    errors = between_errors(sample, tried)
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


def _parameters(spec: ProfileSpec, weight: Weight) -> dict[str, Any]:
    """What a plan knows, by the names of the rows."""
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
