"""Columns of texts, made without pandas.

`pa.array` looks whether it was given something of pandas. If that is installed, it is imported for the question, which
stops a worker for half a second at its first part.
"""

from collections.abc import Iterable

import pyarrow as pa


def text_column(texts: Iterable[str | None]) -> pa.Array:
    """Return a column of these texts, null where there is none."""
    builder = pa.lib.StringBuilder()
    builder.append_values(list(texts))
    return builder.finish()
