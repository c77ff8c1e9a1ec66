"""From rows of warm-ups to numbers that a regressor takes: what was known before each, and the logarithm of W.

Everything that was known may be used but what only names a row: the time of day, the node, the slice, the round, and
the model's name, which says nothing of a model that was never seen. So do counters that began with the monitor or the
driver: they say how long ago that was; their rates are used. A column that is the same everywhere, or null, says
nothing either and is left out: a GPU's features where none is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dueby_api.errors import Invalid
from dueby_profiler.monitor.columns import FEATURES
from dueby_profiler.monitor.features import Feature, Group, Kind

MIN_ROWS = 40
MIN_CONFIGURATIONS = 20
# What a plan knows of a first mini-batch: no process has started yet.
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
_STARTED = ("slices", "startup_us", "build_us")
_FAMILY = ("device_class", "engine", "model", "precision", "image_size")
_CONFIGURATION = (*_FAMILY, "mini_batch_size")
Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What the columns of a matrix are."""

    names: tuple[str, ...]
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Of a column that is a category, the categories by their number in it."""

    def only(self, names: Sequence[str]) -> "Columns":
        """Some of them, in this order."""
        return Columns(names=tuple(names), levels={name: self.levels[name] for name in names if name in self.levels})

    def matrix(self, rows: Sequence[Mapping[str, Any]]) -> Floats:
        """The rows as numbers; NaN where there is none, or a category that was never seen."""
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
    """A row of them for each process."""
    log_us: Floats
    """The logarithm of W."""
    configurations: Numbers
    """Which configuration: processes of one have the same number."""
    families: Numbers
    """Which configuration but for the mini-batch size: what one profile measures."""
    sizes: Floats
    """The mini-batch size."""
    device_classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.log_us)

    def of(self, names: Sequence[str]) -> Floats:
        """Some columns."""
        return self.values[:, [self.columns.names.index(name) for name in names]]

    def of_class(self, device_class: str) -> NDArray[np.bool_]:
        """Which rows are of this class."""
        return np.array([name == device_class for name in self.device_classes])


def sample_of(table: Any) -> Sample:
    """The table's rows; Invalid where they are too few to learn from."""
    rows = [row for row in table.to_pylist() if row.get("warmup_us")]
    configurations = _numbered(rows, _CONFIGURATION)
    found = len(set(configurations))
    if len(rows) < MIN_ROWS or found < MIN_CONFIGURATIONS:
        raise Invalid(
            "warm-ups",
            f"{len(rows)} first mini-batches of {found} configurations are too few to learn from: "
            f"it takes {MIN_ROWS} of {MIN_CONFIGURATIONS}; measure more",
        )
    wanted = (*PLANNED, *_STARTED, *(feature.name for feature in FEATURES if not _is_a_clock(feature)))
    columns = Columns(
        names=wanted, levels={name: tuple(sorted({str(row[name]) for row in rows})) for name in CATEGORIES}
    )
    values = columns.matrix(rows)
    telling = [name for name, column in zip(wanted, values.T) if len(set(column[~np.isnan(column)])) > 1]
    kept = columns.only(telling)
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
    """Whether it counts from a beginning that has nothing to do with the process."""
    return feature.kind is Kind.COUNTER and feature.group not in (Group.PROCESS, Group.ALLOCATOR)


def _numbered(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[int]:
    """A number for each row, the same where the columns are."""
    keys = [tuple(row[name] for name in names) for row in rows]
    places = {key: place for place, key in enumerate(sorted(set(keys), key=repr))}
    return [places[key] for key in keys]
