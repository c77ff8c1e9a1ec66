"""Parts: their names, which of them a sink holds, and the rows of a part while it is being computed.

A part's name depends on the grid alone, so a listing of the sink is all that workers need to coordinate. The rows of an
open part are kept in memory, in arrays of the part's size (at most 65,536 rows), and are written all at once.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from dueby_api.grid import Grid
from dueby_worker.output.rows import ENGINES_JOINED, Rows

_NAME = re.compile(r"part-(\d{12})-(\d{12})\.parquet")
Positions = NDArray[np.int64]
_NONE: Mapping[int, str] = MappingProxyType({})


def part_name(grid: Grid, part: int) -> str:
    """Return the file name of a part: its first and last image, both inclusive."""
    first, last = grid.bounds(part)
    return f"part-{first:012d}-{last:012d}.parquet"


def is_part_name(name: str) -> bool:
    """Return whether the file name is that of a part, of whatever grid."""
    return _NAME.fullmatch(name) is not None


def parts_among(names: Iterable[str], grid: Grid) -> set[int]:
    """Return the parts of this grid among the file names of a sink."""
    found = set()
    for name in names:
        match = _NAME.fullmatch(name)
        # A name of another grid is a part's name too, but its bounds are not those of a part of this grid.
        if match and grid.bounds(part := int(match[1]) // grid.part_size) == (int(match[1]), int(match[2])):
            found.add(part)
    return found


def runs_of(parts: Iterable[int]) -> list[tuple[int, int]]:
    """Return the runs of neighbouring parts, each as its first part and the one after its last."""
    runs: list[tuple[int, int]] = []
    for part in sorted(parts):
        if runs and runs[-1][1] == part:
            runs[-1] = (runs[-1][0], part + 1)
        else:
            runs.append((part, part + 1))
    return runs


class OpenPart:
    """A part whose rows arrive piece by piece, in any order."""

    def __init__(self, part: int, *, first: int, uris: Sequence[str], k: int) -> None:
        self.part = part
        self.first = first
        self.uris = uris
        self.received = 0
        """Rows that have arrived."""
        self.kept_engines: frozenset[str] = frozenset()
        """Engines of the rows that are kept, if the part replaces one in the sink."""
        self._waiting: Sequence[int] = range(len(uris))
        self._classes = np.zeros((len(uris), k), dtype=np.int32)
        self._scores = np.zeros((len(uris), k), dtype=np.float32)
        self._errors: dict[int, str] = {}
        self._warnings: dict[int, str] = {}

    @classmethod
    def retry(cls, part: int, rows: Rows, *, engine: str, k: int) -> "OpenPart":
        """Return a finished part whose rows with errors are computed again; `engine` made the other rows."""
        opened = cls(part, first=rows.first, uris=rows.uris, k=k)
        opened._classes[:, : rows.classes.shape[1]] = rows.classes
        opened._scores[:, : rows.scores.shape[1]] = rows.scores
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
        classes: NDArray[np.int32],
        scores: NDArray[np.float32],
        *,
        errors: Mapping[int, str] = _NONE,
        warnings: Mapping[int, str] = _NONE,
    ) -> None:
        """Take the results of the images at these positions, and the errors of those that have none."""
        self._classes[positions] = classes
        self._scores[positions] = scores
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
        """Return all rows of the complete part."""
        return Rows(
            first=self.first,
            uris=self.uris,
            classes=self._classes,
            scores=self._scores,
            errors=self._errors,
            warnings=self._warnings,
        )
