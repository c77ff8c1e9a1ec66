"""The raw rows of a study, as Parquet, a file for each point: what is there is not measured again.

    FOLDER/raw/STAGE/POINT.parquet      the rows
    FOLDER/raw/log.jsonl                a line for each point, when it was done: how long it took

A point's file has its name only once it is whole, so a study that is killed lacks at most the point that it was at.
Each stage's folder is a table that any reader of Parquet takes whole. A point at which nothing could be measured, for
want of memory, is a file without rows. Reading raises Invalid where a file is damaged.
"""

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dueby_api.errors import Invalid

_TYPES = {
    "int64": pa.int64(),
    "float64": pa.float64(),
    "string": pa.string(),
    "bool": pa.bool_(),
    "int64s": pa.list_(pa.int64()),
}
Row = dict[str, Any]
"""Values by column; a column that is left out is null."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a stage's table."""

    name: str
    type: str
    """int64, float64, string, bool, or int64s: a list."""
    doc: str


@dataclass(frozen=True)
class Notebook:
    """The rows in a folder."""

    folder: Path

    def has(self, stage: str, point: str) -> bool:
        """Whether the point is there."""
        return self._path(stage, point).exists()

    def keep(self, stage: str, point: str, rows: Sequence[Row], columns: Sequence[Column]) -> Path:
        """Write a point's rows, whole or not at all."""
        return self.keep_table(stage, point, _table(rows, columns))

    def keep_table(self, stage: str, point: str, table: Any) -> Path:
        """Write a point's rows as they are in a table of pyarrow's."""
        path = self._path(stage, point)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".part{os.getpid()}")
        pq.write_table(table, part, compression="zstd")
        return part.replace(path)

    def note(self, stage: str, point: str, *, seconds: float) -> None:
        """Write down how long a point took."""
        with self._log.open("a", encoding="utf-8") as log:
            log.write(json.dumps({"stage": stage, "point": point, "seconds": round(seconds, 1)}) + "\n")

    def seconds(self) -> Mapping[str, float]:
        """What the points took, by stage."""
        took: dict[str, float] = defaultdict(float)
        lines = self._log.read_text(encoding="utf-8").splitlines() if self._log.exists() else []
        for line in lines:
            with suppress(ValueError):  # whoever is killed leaves half a line, and the next one is written after it
                entry = json.loads(line)
                took[entry["stage"]] += entry["seconds"]
        return took

    def rows(self, stage: str) -> list[Row]:
        """Every row of a stage, by the names of its points."""
        return [row for file in sorted(self._files(stage)) for row in _read(file).to_pylist()]

    def count(self, stage: str) -> int:
        """The points of a stage that are there."""
        return sum(1 for _ in self._files(stage))

    def table(self, stage: str, point: str) -> Any:
        """A point's rows as a table of pyarrow's."""
        return _read(self._path(stage, point))

    def missing(self, stage: str, points: Iterable[str]) -> list[str]:
        """The points that are not there."""
        return [point for point in points if not self.has(stage, point)]

    @property
    def _log(self) -> Path:
        return self.folder / "raw" / "log.jsonl"

    def _files(self, stage: str) -> Iterable[Path]:
        return (self.folder / "raw" / stage).glob("*.parquet")

    def _path(self, stage: str, point: str) -> Path:
        return self.folder / "raw" / stage / f"{point}.parquet"


def _read(path: Path) -> Any:
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        why = f"can't be read as the rows of a point ({error})"
        raise Invalid(str(path), f"{why}. Delete it, and the same command measures the point again") from None


def _table(rows: Sequence[Row], columns: Sequence[Column]) -> Any:
    fields = [pa.field(column.name, _TYPES[column.type], metadata={"doc": column.doc}) for column in columns]
    return pa.Table.from_pylist(list(rows), schema=pa.schema(fields))
