"""Encode the rows of a part as a Parquet file in memory, and read them back.

    index: int64, uri: string, name: string, WHAT IS KEPT, WHAT THE OUTPUT SAYS, error: string, warning: string

    TopK            classes: list<int32>, labels: list<string>, scores: list<float>, and flagged: bool with a threshold
    Probabilities   probabilities: fixed_size_list<float>[classes]
    Embedding       embedding: fixed_size_list<float or halffloat>[values]

`name` is what the source calls the image, and what is kept are the columns of source.keep; parts of an older DueBy have
neither. In a sink with images whose files have changed, `replaces` follows: the index of the row that the image had
before. The lists of TopK hold the best classes, best first: k of them, or fewer if the model has fewer. With
probabilities, the labels are in the file's metadata, as JSON, in the order of the values. If an image could not be
read, `error` says why and its lists are null. (They are not empty, because nothing is known about the image.) Otherwise
`error` is null. `warning` says what is wrong with the file of an image that was read whole all the same, and is null in
all other rows; parts of an older DueBy have no such column. The file's key-value metadata says what made the rows.
Equal rows give equal bytes.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dueby_api.source import REPLACES, ROW_COLUMNS
from dueby_worker.models.columns import FLAGGED, Columns
from dueby_worker.output.part_names import FORMAT_VERSION
from dueby_worker.system.text_columns import text_column

_BEFORE = (("index", pa.int64()), ("uri", pa.string()))
_AFTER = (("error", pa.string()), ("warning", pa.string()))
# Stands between the names of engines if another engine computed some of a part's rows again.
ENGINES_JOINED = "+"
_PREFIX = "dueby."
LABELS_KEY = f"{_PREFIX}labels"
# Columns of one vector for each row.
_VECTORS = ("probabilities", "embedding")
# Columns of one value for each row.
_FLAGS = (FLAGGED,)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What made a part's rows; kept in the metadata of its file."""

    engine: str
    """The engine, or several joined by ENGINES_JOINED."""
    precision: str
    """fp32, bf16, fp16 or int8."""
    device_class: str
    """The device class."""
    fingerprint: str
    """The job's fingerprint."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The n rows of a part, as columns."""

    first: int
    """Index of the first image."""
    uris: Sequence[str]
    """n URIs."""
    columns: Columns
    """What the model found, as models/columns.py says. Meaningless in rows with an error."""
    errors: Mapping[int, str]
    """Why an image could not be read, by position in the part."""
    warnings: Mapping[int, str] = field(default_factory=dict)
    """What is wrong with the file of an image that was read, by position in the part."""
    from_source: Mapping[str, pa.Array] = field(default_factory=dict)
    """Columns of n values that the source has of its images: their names and those of source.keep."""


@dataclass(frozen=True, kw_only=True)
class PartFooter:
    """What the footer of a part's file says."""

    first: int | None
    """Index of the first image; None if there are no rows."""
    rows: int
    errors: int
    warnings: int
    replaced: int
    """Rows of earlier generations that its rows replace."""
    origin: Origin


def encode_rows(rows: Rows, *, labels: Sequence[str], origin: Origin) -> bytes:
    total = len(rows.uris)
    failed = np.zeros(total, dtype=bool)
    failed[list(rows.errors)] = True
    results = (
        _as_lists(rows.columns, failed, labels) if "classes" in rows.columns else _as_vectors(rows.columns, failed)
    )
    metadata = _metadata(origin)
    if "probabilities" in results:
        metadata[LABELS_KEY] = json.dumps(labels)
    between = {**rows.from_source, **results}
    table = pa.table(
        [
            _numbers(np.arange(rows.first, rows.first + total)),
            text_column(rows.uris),
            *between.values(),
            _texts(rows.errors, total),
            _texts(rows.warnings, total),
        ],
        schema=pa.schema([*_BEFORE, *((name, column.type) for name, column in between.items()), *_AFTER], metadata),
    )
    buffer = pa.BufferOutputStream()
    pq.write_table(
        table,
        buffer,
        compression="zstd",
        row_group_size=max(total, 1),
        # A dictionary of a vector's values would be made for nothing: they are all different.
        use_dictionary=True if "labels" in results else [name for name in table.column_names if name not in _VECTORS],
    )
    return buffer.getvalue().to_pybytes()  # type: ignore[no-any-return]


def decode_rows(data: bytes) -> tuple[Rows, Origin]:
    """Return the rows of a part's file, and what made them."""
    table = pq.read_table(pa.BufferReader(data))
    _require_index(table.schema)
    errors = _texts_in(table, "error")
    rows = Rows(
        first=table["index"][0].as_py(),
        uris=table["uri"].to_pylist(),
        columns={
            name: _square(table[name].combine_chunks(), errors)
            for name in ("classes", "scores", *_FLAGS, *_VECTORS)
            if name in table.column_names
        },
        errors=errors,
        warnings=_texts_in(table, "warning") if "warning" in table.column_names else {},
        from_source={name: table[name].combine_chunks() for name in table.column_names if comes_of_source(name)},
    )
    return rows, _origin(table.schema.metadata)


def read_footer(file: BinaryIO) -> PartFooter:
    """Return the counts of a part's file from its footer, without reading the columns."""
    parquet = pq.ParquetFile(file)
    _require_index(parquet.schema_arrow)
    footer = parquet.metadata
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    names = footer.schema.names

    def statistics(place: int) -> Iterator[Any]:
        for group in groups:
            column_statistics = group.column(place).statistics
            if column_statistics is None or not column_statistics.has_null_count:
                raise ValueError(f"it has no statistics of its column {names[place]}")
            yield column_statistics

    def count(column: str) -> int:
        """Return the rows that have such a value. Its place is that of the leaf: a list is one, too."""
        rows_with: int = footer.num_rows - sum(chunk.null_count for chunk in statistics(names.index(column)))
        return rows_with

    return PartFooter(
        first=min((chunk.min for chunk in statistics(0) if chunk.has_min_max), default=None),
        rows=footer.num_rows,
        errors=count("error"),
        warnings=count("warning") if "warning" in names else 0,
        replaced=count(REPLACES) if REPLACES in names else 0,
        origin=_origin(parquet.schema_arrow.metadata),
    )


def comes_of_source(column: str) -> bool:
    """Return whether a column of the rows is what the index has of the images beside their URIs."""
    return column in ("name", REPLACES) or column not in ROW_COLUMNS


def _require_index(schema: pa.Schema) -> None:
    if schema.names[:1] != ["index"] or schema.types[0] != pa.int64():
        raise ValueError("it has no column `index`")


def _as_lists(columns: Columns, failed: NDArray[np.bool_], labels: Sequence[str]) -> dict[str, pa.Array]:
    """Return a list of the best classes for each row, with labels and scores; null if the row failed."""
    classes, scores = (columns[name][~failed].ravel() for name in ("classes", "scores"))
    offsets, mask = _numbers(_offsets(failed, columns["classes"].shape[1])), _booleans(failed)
    numbers = _numbers(classes)
    flat = {"classes": numbers, "labels": text_column(labels).take(numbers), "scores": _numbers(scores)}
    lists = {name: pa.ListArray.from_arrays(offsets, values, mask=mask) for name, values in flat.items()}
    flags = {name: _booleans(columns[name][:, 0], failed) for name in _FLAGS if name in columns}
    return lists | flags


def _as_vectors(columns: Columns, failed: NDArray[np.bool_]) -> dict[str, pa.Array]:
    """Return a vector of fixed size for each row; null if the row failed."""
    return {
        name: pa.FixedSizeListArray.from_arrays(_numbers(values.ravel()), values.shape[1], mask=_booleans(failed))
        for name, values in columns.items()
    }


def _texts(texts: Mapping[int, str], total: int) -> pa.Array:
    """Return a column of texts, null where there is none."""
    return text_column(texts.get(position) for position in range(total))


# Each of these is `pa.array` without its look at pandas, as text_column is.
def _numbers(values: NDArray[Any]) -> pa.Array:
    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def _booleans(values: NDArray[np.bool_], failed: NDArray[np.bool_] | None = None) -> pa.Array:
    """Return the values, null in rows that failed."""
    valid = None if failed is None else pa.py_buffer(np.packbits(~failed, bitorder="little"))
    return pa.Array.from_buffers(pa.bool_(), len(values), [valid, pa.py_buffer(np.packbits(values, bitorder="little"))])


def _texts_in(table: pa.Table, name: str) -> dict[int, str]:
    """Return the texts of a column by position."""
    return {position: text for position, text in enumerate(table[name].to_pylist()) if text is not None}


def _offsets(failed: NDArray[np.bool_], k: int) -> NDArray[np.int32]:
    """Return where each row's list of k values begins, and where the last one ends."""
    return np.concatenate(([0], np.cumsum(~failed) * k)).astype(np.int32)


def _square(lists: Any, errors: Mapping[int, str]) -> NDArray[Any]:
    """Return a column of lists as (n, k). All lists have the same length, except for null in failed rows."""
    fine = [position for position in range(len(lists)) if position not in errors]
    # Of lists, as of vectors, this leaves out the null ones.
    plain = lists.drop_null() if pa.types.is_boolean(lists.type) else lists.flatten()
    values = plain.to_numpy(zero_copy_only=False)
    square = np.zeros((len(lists), len(values) // len(fine) if fine else 0), dtype=values.dtype)
    square[fine] = values.reshape(len(fine), square.shape[1])
    return square


def _metadata(origin: Origin) -> dict[str, str]:
    facts = {
        "engine": origin.engine,
        "precision": origin.precision,
        "deviceClass": origin.device_class,
        "fingerprint": origin.fingerprint,
        "formatVersion": str(FORMAT_VERSION),
    }
    return {_PREFIX + name: value for name, value in facts.items()}


def _origin(metadata: Mapping[bytes, bytes] | None) -> Origin:
    facts = {name.decode(): value.decode() for name, value in (metadata or {}).items()}
    return Origin(
        engine=facts[_PREFIX + "engine"],
        precision=facts[_PREFIX + "precision"],
        device_class=facts[_PREFIX + "deviceClass"],
        fingerprint=facts[_PREFIX + "fingerprint"],
    )
