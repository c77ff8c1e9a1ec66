"""The columns that a model's values become in the rows: which there are, how wide, and of which type.

They follow from the job's output alone, so memory for them can be set aside before the first mini-batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dueby_api.output import Output

# Of each row, whether the probability of one label is above the job's threshold.
FLAGGED = "flagged"
# The columns of some rows by name, each (rows, width).
Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class OutputColumn:
    """What one column holds of each image."""

    width: int
    """Values."""
    dtype: np.dtype[Any]
    """Their type."""


@dataclass(frozen=True, kw_only=True)
class RowRule:
    """How a network's values of an image become its row."""

    output: Output
    """With every field of its kind."""
    are_probabilities: bool = False
    """Whether the values are probabilities already, and not logits."""
    watched: int | None = None
    """The class of the output's threshold, if it has one."""


def columns_of(output: Output, values: int) -> dict[str, OutputColumn]:
    """Return the columns of that output, by name, for a network that gives so many values of an image."""
    full = output.resolved
    match full.kind:
        case "TopK":
            best = min(full.k or 1, values)
            columns = {
                "classes": OutputColumn(width=best, dtype=np.dtype(np.int32)),
                "scores": OutputColumn(width=best, dtype=np.dtype(np.float32)),
            }
            return columns | ({FLAGGED: OutputColumn(width=1, dtype=np.dtype(np.bool_))} if full.threshold else {})
        case "Probabilities":
            return {"probabilities": OutputColumn(width=values, dtype=np.dtype(np.float32))}
        case "Embedding":
            return {"embedding": OutputColumn(width=values, dtype=np.dtype(full.dtype))}


def empty_columns(columns: Mapping[str, OutputColumn], rows: int) -> dict[str, NDArray[Any]]:
    """Return the columns for so many rows, filled with zeros."""
    return {name: np.zeros((rows, column.width), dtype=column.dtype) for name, column in columns.items()}
