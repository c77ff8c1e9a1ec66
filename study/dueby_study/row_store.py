"""The raw rows of a study as Parquet, one file for each point. A point whose file exists is not measured again.

    FOLDER/raw/STAGE/POINT.parquet      the rows
    FOLDER/raw/log.jsonl                a line for each measured point: how long it took

A point's file appears only when it is complete, so a study that is killed lacks at most the point it was working on.
Each stage's folder is one table for any reader of Parquet. A point at which nothing could be measured, because memory
ran out, is a file without rows.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dueby_api.errors import Invalid
from dueby_profiler.files import replacing

_TYPES = {
    "int64": pa.int64(),
    "float64": pa.float64(),
    "string": pa.string(),
    "bool": pa.bool_(),
    "int64s": pa.list_(pa.int64()),
}
RAW = "raw"
LOG = f"{RAW}/log.jsonl"
Row = dict[str, Any]
"""Values by column; a missing column is null."""


@dataclass(frozen=True, kw_only=True)
class RowColumn:
    """A column of a stage's table."""

    name: str
    type: str
    """int64, float64, string, bool, or int64s (a list)."""
    doc: str


@dataclass(frozen=True)
class RowStore:
    """The rows in a study's folder. Reading raises Invalid if a file is damaged."""

    folder: Path

    def has(self, stage: str, point: str) -> bool:
        """Return whether the point was measured."""
        return self._path(stage, point).exists()

    def keep(self, stage: str, point: str, rows: Sequence[Row], columns: Sequence[RowColumn]) -> Path:
        """Write a point's rows, all or none; return the file."""
        return self.keep_table(stage, point, _table(rows, columns))

    def keep_table(self, stage: str, point: str, table: Any) -> Path:
        """Write a point's rows from a pyarrow table, all or none; return the file."""
        path = self._path(stage, point)
        with replacing(path) as part:
            pq.write_table(table, part, compression="zstd")
        return path

    def note(self, stage: str, point: str, *, seconds: float) -> None:
        """Write down how long a point took."""
        with self._log.open("a", encoding="utf-8") as log:
            log.write(json.dumps({"stage": stage, "point": point, "seconds": round(seconds, 1)}) + "\n")

    def seconds(self) -> Mapping[str, float]:
        """Return how long the points took, by stage."""
        took: dict[str, float] = defaultdict(float)
        text = self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""
        for line in text.splitlines():
            # A study that was killed leaves half a line, and the next line was appended to it: skip that line.
            with suppress(ValueError, TypeError, KeyError):
                entry = json.loads(line)
                took[entry["stage"]] += entry["seconds"]
        return took

    def rows(self, stage: str) -> list[Row]:
        """Return every row of a stage, ordered by the names of its points."""
        return [row for file in sorted(self._files(stage)) for row in _read(file).to_pylist()]

    def count(self, stage: str) -> int:
        """Return how many points of a stage were measured."""
        return sum(1 for _ in self._files(stage))

    def table(self, stage: str, point: str) -> Any:
        """Return a point's rows as a pyarrow table."""
        return _read(self._path(stage, point))

    def missing(self, stage: str, points: Iterable[str]) -> list[str]:
        """Return the points that were not measured yet."""
        return [point for point in points if not self.has(stage, point)]

    @property
    def _log(self) -> Path:
        return self.folder / LOG

    def _files(self, stage: str) -> Iterable[Path]:
        return (self.folder / RAW / stage).glob("*.parquet")

    def _path(self, stage: str, point: str) -> Path:
        return self.folder / RAW / stage / f"{point}.parquet"


def _read(path: Path) -> Any:
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        reason = f"can't be read as the rows of a point ({error})"
        raise Invalid(str(path), f"{reason}. Delete it, and the same command measures the point again") from None


def _table(rows: Sequence[Row], columns: Sequence[RowColumn]) -> Any:
    fields = [pa.field(column.name, _TYPES[column.type], metadata={"doc": column.doc}) for column in columns]
    return pa.Table.from_pylist(list(rows), schema=pa.schema(fields))
