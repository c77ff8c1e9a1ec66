"""Turn rows of warm-ups into numbers for a regressor: what was known before each mini-batch, and the logarithm of W.

Everything that was known may be used except what only identifies a row: the time, the node, the slice, the round, and
the model's name, which says nothing about a model that was never measured. Counters that started with the monitor or
the driver are excluded, too, because they only show how long ago that was; their rates are used. Columns that are null
or the same everywhere carry no information and are left out, such as a GPU's features where there is none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dueby_api.errors import Invalid
from dueby_profiler.monitor.features.columns import FEATURES
from dueby_profiler.monitor.features.feature import Feature, FeatureGroup, FeatureKind

# With fewer, every split would leave too little to learn from.
MIN_ROWS = 40
MIN_CONFIGURATIONS = 20
# What a plan knows about a first mini-batch before any process has been started.
PLANNED = (
    "mini_batch_size",
    "image_size",
    "image_flops",
    "parameters",
    "model_bytes",
    "engine",
    "precision",
    "device_class",
    "threads",
)
CATEGORIES = ("engine", "precision", "device_class")
# What is known once the process has built its engine.
_STARTED = ("slices", "startup_us", "build_us")
_FAMILY = ("device_class", "engine", "model", "precision", "image_size")
_CONFIGURATION = (*_FAMILY, "mini_batch_size")
Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What the columns of a matrix mean."""

    names: tuple[str, ...]
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For each categorical column, its categories; a category's number in the column is its index here."""

    def only(self, names: Sequence[str]) -> "Columns":
        """Return some of the columns, in this order."""
        return Columns(names=tuple(names), levels={name: self.levels[name] for name in names if name in self.levels})

    def matrix(self, rows: Sequence[Mapping[str, Any]]) -> Floats:
        """Return the rows as numbers; NaN for a missing value or a category that was never seen."""
        return np.array([[self._number(name, row.get(name)) for name in self.names] for row in rows], dtype=np.float64)

    def _number(self, name: str, value: Any) -> float:
        if value is None:
            return np.nan
        if name not in self.levels:
            return float(value)
        return float(self.levels[name].index(value)) if value in self.levels[name] else np.nan


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Rows as numbers."""

    columns: Columns
    values: Floats
    """A row for each process."""
    log_us: Floats
    """The logarithm of W."""
    configurations: Numbers
    """Number of the configuration; processes of the same configuration have the same number."""
    families: Numbers
    """Number of the configuration without its mini-batch size; one profile measures one family."""
    sizes: Floats
    """The mini-batch size."""
    device_classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.log_us)

    def of(self, names: Sequence[str]) -> Floats:
        """Return some columns."""
        return self.values[:, [self.columns.names.index(name) for name in names]]

    def of_class(self, device_class: str) -> NDArray[np.bool_]:
        """Return which rows are of this class."""
        return np.array([name == device_class for name in self.device_classes])


def sample_of(table: Any) -> Sample:
    """Return the table's rows; raise Invalid if they are too few to learn from."""
    rows = [row for row in table.to_pylist() if row.get("warmup_us")]
    configurations = _numbered(rows, _CONFIGURATION)
    distinct = len(set(configurations))
    if len(rows) < MIN_ROWS or distinct < MIN_CONFIGURATIONS:
        raise Invalid(
            "warm-ups",
            f"{len(rows)} first mini-batches of {distinct} configurations are too few to learn from; measure at least "
            f"{MIN_ROWS} of {MIN_CONFIGURATIONS} configurations",
        )
    wanted = (*PLANNED, *_STARTED, *(feature.name for feature in FEATURES if not _is_a_clock(feature)))
    columns = Columns(
        names=wanted, levels={name: tuple(sorted({str(row[name]) for row in rows})) for name in CATEGORIES}
    )
    values = columns.matrix(rows)
    informative = [name for name, column in zip(wanted, values.T) if len(set(column[~np.isnan(column)])) > 1]
    kept = columns.only(informative)
    return Sample(
        columns=kept,
        values=kept.matrix(rows),
        log_us=np.log([row["warmup_us"] for row in rows]),
        configurations=np.array(configurations),
        families=np.array(_numbered(rows, _FAMILY)),
        sizes=np.array([float(row["mini_batch_size"]) for row in rows]),
        device_classes=tuple(row["device_class"] for row in rows),
    )


def _is_a_clock(feature: Feature) -> bool:
    """Return whether the feature counts from a beginning that has nothing to do with the process."""
    return feature.kind is FeatureKind.COUNTER and feature.group not in (FeatureGroup.PROCESS, FeatureGroup.ALLOCATOR)


def _numbered(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[int]:
    """Return a number for each row; rows that agree in these columns get the same number."""
    keys = [tuple(row[name] for name in names) for row in rows]
    places = {key: place for place, key in enumerate(sorted(set(keys), key=repr))}
    return [places[key] for key in keys]
