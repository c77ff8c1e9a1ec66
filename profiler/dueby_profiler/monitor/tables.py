"""The monitor's Parquet files: a column for each key and feature, with its unit, kind and source in the metadata.

Samples are written as they come, one row group at a time, so that memory is bounded however long the run takes. A file
gets its name only when it is complete.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dueby_profiler.files import PartFile, replacing
from dueby_profiler.monitor.features.columns import FEATURES, MOMENT, WARMUP, Key
from dueby_profiler.monitor.sampler import Row

# Rows of a group: with two slices, half a minute at 4 Hz. A row of all columns takes 15 kB until it is written.
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
    """A file of samples while it is being written."""

    def __init__(self, path: Path) -> None:
        self._part = PartFile(path)
        self._rows: list[Row] = []
        # The first conversion imports pandas, if it is installed: 0.3 s that must not fall into a measurement.
        _table([{}], SAMPLES)
        self._writer = pq.ParquetWriter(self._part.path, SAMPLES, compression="zstd")

    def add(self, rows: Sequence[Row]) -> None:
        """Keep these rows, and write the kept ones once there are enough."""
        self._rows += rows
        if len(self._rows) >= ROWS_AT_A_TIME:
            self._write()

    def close(self, facts: Mapping[str, str]) -> Path:
        """Write the remaining rows, and the facts into the file's metadata; return the file."""
        self._write()
        self._writer.add_key_value_metadata(dict(facts))
        self._writer.close()
        return self._part.keep()

    def drop(self) -> None:
        self._writer.close()
        self._part.drop()

    def _write(self) -> None:
        if self._rows:
            self._writer.write_table(_table(self._rows, SAMPLES))
            self._rows.clear()


def write_warmups(path: Path, rows: Sequence[Row]) -> Path:
    """Write the rows as a file of warm-ups; return it."""
    with replacing(path) as part:
        pq.write_table(warmup_table(rows), part, compression="zstd")
    return path


def warmup_table(rows: Sequence[Row]) -> Any:
    return _table(rows, WARMUPS)


def _table(rows: Sequence[Row], schema: Any) -> Any:
    columns = [pa.array([row.get(field.name) for row in rows], field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)
