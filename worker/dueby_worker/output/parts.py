"""The rows of a part while it is being computed.

They are kept in memory, in arrays of the part's size (at most 65,536 rows, or 4,096 with a vector each), and are
written all at once.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dueby_worker.models.columns import Columns, OutputColumn, empty_columns
from dueby_worker.output.rows import ENGINES_JOINED, Rows

Positions = NDArray[np.int64]
_NONE: Mapping[int, str] = MappingProxyType({})
_NO_COLUMNS: Mapping[str, pa.Array] = MappingProxyType({})


class OpenPart:
    """A part whose rows arrive piece by piece, in any order."""

    def __init__(
        self,
        part: int,
        *,
        first: int,
        uris: Sequence[str],
        columns: Mapping[str, OutputColumn],
        from_source: Mapping[str, pa.Array] = _NO_COLUMNS,
    ) -> None:
        self.part = part
        self.first = first
        self.uris = uris
        self.from_source = from_source
        """Columns that come of the source, as Rows has them."""
        self.received = 0
        """Rows that have arrived."""
        self.kept_engines: frozenset[str] = frozenset()
        """Engines of the rows that are kept, if the part replaces one in the sink."""
        self._waiting: Sequence[int] = range(len(uris))
        self._columns = empty_columns(columns, len(uris))
        self._errors: dict[int, str] = {}
        self._warnings: dict[int, str] = {}

    @classmethod
    def retry(cls, part: int, rows: Rows, *, engine: str, columns: Mapping[str, OutputColumn]) -> "OpenPart":
        """Return a finished part whose rows with errors are computed again; `engine` made the other rows."""
        opened = cls(part, first=rows.first, uris=rows.uris, columns=columns, from_source=rows.from_source)
        for name, values in rows.columns.items():
            opened._columns[name][:, : values.shape[1]] = values
        opened._warnings.update(rows.warnings)
        opened._waiting = sorted(rows.errors)
        opened.kept_engines = frozenset(engine.split(ENGINES_JOINED))
        return opened

    def waiting_positions(self) -> Sequence[int]:
        """Return the positions of the rows to compute: all of them, or those with errors in a retry."""
        return self._waiting

    def put(
        self,
        positions: Positions,
        columns: Columns,
        *,
        errors: Mapping[int, str] = _NONE,
        warnings: Mapping[int, str] = _NONE,
    ) -> None:
        """Take the results of the images at these positions, and the errors of those that have none."""
        for name, values in columns.items():
            self._columns[name][positions] = values
        self._errors.update(errors)
        self._warnings.update(warnings)
        self.received += len(positions)

    @property
    def is_retry(self) -> bool:
        """Whether this part replaces one in the sink."""
        return bool(self.kept_engines)

    @property
    def left(self) -> int:
        """Rows that have not arrived yet."""
        return len(self._waiting) - self.received

    @property
    def is_complete(self) -> bool:
        """Whether every row has arrived."""
        return not self.left

    @property
    def failed(self) -> int:
        """Rows that arrived with an error."""
        return len(self._errors)

    def rows(self) -> Rows:
        return Rows(
            first=self.first,
            uris=self.uris,
            from_source=self.from_source,
            columns=self._columns,
            errors=self._errors,
            warnings=self._warnings,
        )
