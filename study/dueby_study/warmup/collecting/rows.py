"""Rows of warm-ups: kept in a journal as they come, and read from wherever they are.

The journal has a line for each point, written at once, with the rows of all its processes. A program that is killed
loses only the point that it was measuring; half a line at the end is cut off before the next one is written.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dueby_api.errors import Invalid
from dueby_profiler.files import replacing
from dueby_profiler.monitor.sampler import Row
from dueby_profiler.monitor.tables import WARMUPS, warmup_table


class WarmupJournal:
    """A file of the points that have been measured."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> list[Row]:
        """Return all rows so far."""
        return [row for line in self._lines() for row in json.loads(line)]

    def append(self, rows: Sequence[Row]) -> None:
        """Add the rows of one more point."""
        whole = sum(len(line) for line in self._lines())
        with self._path.open("r+b" if self._path.exists() else "wb") as file:
            file.truncate(whole)
            file.seek(whole)
            file.write(json.dumps(list(rows)).encode() + b"\n")

    def _lines(self) -> list[bytes]:
        """Return the complete lines."""
        if not self._path.exists():
            return []
        return [line for line in self._path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def resume_journal(path: Path) -> Path:
    """Return the journal beside a Parquet file, made from the file's rows if it doesn't exist yet.

    Raise Invalid if the file holds something other than warm-ups.
    """
    journal = path.with_suffix(".jsonl")
    if path.exists() and not journal.exists():
        table = read_warmups(path)
        if missing := [name for name in WARMUPS.names if name not in table.column_names]:
            raise Invalid("--output", f"{path} exists and holds no warm-ups: it has no column {missing[0]}")
        WarmupJournal(journal).append(table.to_pylist())
    return journal


def write_warmups(path: Path, table: Any) -> Path:
    """Write the table as a Parquet file; return the file."""
    with replacing(path) as part:
        # Without statistics: of a few hundred rows, they would be most of the file.
        pq.write_table(table, part, compression="zstd", compression_level=19, write_statistics=False)
    return path


def read_warmups(path: Path) -> Any:
    """Return the rows of a journal, a Parquet file, or a folder of such files, as a table; raise Invalid if they can't
    be read.
    """
    try:
        if path.suffix == ".jsonl":
            return warmup_table(WarmupJournal(path).read())
        return pq.read_table(path)
    except (OSError, ValueError, pa.ArrowInvalid) as error:
        raise Invalid("warm-ups", f"{path} can't be read as rows of warm-ups: {error}") from None
