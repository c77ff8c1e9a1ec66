"""The monitor's Parquet files: a column for each key and feature, with its unit, kind and source in the metadata.

Samples are written as they come, a row group at a time, so that memory is bounded however long it goes on. A file has
its name only once it is whole.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dueby_profiler.monitor.columns import FEATURES, MOMENT, WARMUP, Key
from dueby_profiler.monitor.samples import Row

# With two slices, half a minute at 4 Hz. A row of all columns is 15 kB until it is written.
ROWS_AT_A_TIME = 256
_TYPES = {
    "int64": pa.int64(),
    "bool": pa.bool_(),
    "string": pa.dictionary(pa.int32(), pa.string()),
    "timestamp": pa.timestamp("us", tz="UTC"),
}


def _schema(keys: Sequence[Key]) -> Any:
    fields = [pa.field(key.name, _TYPES[key.type], metadata={"doc": key.doc}) for key in keys]
    for feature in FEATURES:
        metadata = {
            "unit": feature.unit,
            "kind": feature.kind.value,
            "source": feature.source.value,
            "call": feature.call,
            "doc": feature.doc,
            "study": feature.study,
        }
        fields.append(pa.field(feature.name, pa.float64(), metadata=metadata))
    return pa.schema(fields)


SAMPLES = _schema(MOMENT)
WARMUPS = _schema(WARMUP)


class SampleFile:
    """A file of samples that is being written."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._part = path, path.with_suffix(".part")
        self._rows: list[Row] = []
        _table([{}], SAMPLES)  # the first conversion loads pandas, if it is there: 0.3 s, before anything is measured
        self._writer = pq.ParquetWriter(self._part, SAMPLES, compression="zstd")

    def add(self, rows: Sequence[Row]) -> None:
        """Keep them, and write what is kept once there is enough."""
        self._rows += rows
        if len(self._rows) >= ROWS_AT_A_TIME:
            self._write()

    def close(self, facts: Mapping[str, str]) -> Path:
        """Write the rest, and the facts into the file's metadata; the file."""
        self._write()
        self._writer.add_key_value_metadata(dict(facts))
        self._writer.close()
        return self._part.replace(self._path)

    def drop(self) -> None:
        """Leave nothing behind."""
        self._writer.close()
        self._part.unlink()

    def _write(self) -> None:
        if self._rows:
            self._writer.write_table(_table(self._rows, SAMPLES))
            self._rows.clear()


def write_warmups(path: Path, rows: Sequence[Row]) -> Path:
    """Write the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    pq.write_table(warmup_table(rows), part, compression="zstd")
    return part.replace(path)


def warmup_table(rows: Sequence[Row]) -> Any:
    """The rows as a table."""
    return _table(rows, WARMUPS)


def _table(rows: Sequence[Row], schema: Any) -> Any:
    columns = [pa.array([row.get(field.name) for row in rows], field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)
