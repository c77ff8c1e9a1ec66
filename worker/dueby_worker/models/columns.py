"""The columns that a model's values become in the rows: which there are, how wide, and of which type.

They follow from the job's output alone, so memory for them can be set aside before the first mini-batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dueby_api.output import Output

# Of each row, whether the probability of one label is above the job's threshold.
FLAGGED = "flagged"
# torch divides an embedding by no less than this.
_LEAST_LENGTH = np.float32(1e-12)
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


def rule_of(output: Output, labels: Sequence[str], *, are_probabilities: bool) -> RowRule:
    """Return the rule of a model with these labels. ValueError if the output watches none of them."""
    threshold = output.threshold
    return RowRule(
        output=output,
        are_probabilities=are_probabilities,
        watched=labels.index(threshold.label) if threshold else None,
    )


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


def columns_from_array(values: NDArray[Any], rule: RowRule) -> dict[str, NDArray[Any]]:
    """Return the columns that an engine's (b, values) become, as engines/network.py computes them with torch.

    Of equal scores, the class with the lower number comes first.
    """
    output, values = rule.output, values.astype(np.float32, copy=False)
    if output.kind == "Embedding":
        if output.normalize:
            # As torch's normalize: a vector of zeros stays one.
            values = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), _LEAST_LENGTH)
        return {"embedding": values.astype(np.dtype(output.dtype), copy=False)}
    probabilities = values if rule.are_probabilities else _softmax(values)
    if output.kind == "Probabilities":
        return {"probabilities": probabilities}
    best = min(output.k or 1, values.shape[1])
    classes = _best_classes(probabilities, best)
    found = {"classes": classes.astype(np.int32), "scores": np.take_along_axis(probabilities, classes, axis=1)}
    if output.threshold is not None and rule.watched is not None:
        found[FLAGGED] = probabilities[:, rule.watched, None] > output.threshold.above
    return found


def _best_classes(probabilities: NDArray[np.float32], best: int) -> NDArray[np.intp]:
    """Return the classes with the highest probabilities, (b, best), the highest first."""
    # Only these are sorted: of 20,000 classes, to sort all would take longer than a small network.
    classes = np.sort(np.argpartition(-probabilities, best - 1, axis=1)[:, :best], axis=1)
    scores = np.take_along_axis(probabilities, classes, axis=1)
    if (np.count_nonzero(probabilities >= scores.min(axis=1, keepdims=True), axis=1) > best).any():
        # Others have the least of these scores, too, and may have lower numbers.
        return np.argsort(-probabilities, axis=1, kind="stable")[:, :best]
    return np.take_along_axis(classes, np.argsort(-scores, axis=1, kind="stable"), axis=1)


def _softmax(values: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    shares: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
    return shares
