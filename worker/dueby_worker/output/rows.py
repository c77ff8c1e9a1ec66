"""Encode the rows of a part as a Parquet file in memory, and read them back.

    index: int64, uri: string, classes: list<int32>, labels: list<string>, scores: list<float>, error: string,
    warning: string

The lists hold the best classes, best first: 5 of them, or fewer if the model has fewer. If an image could not be read,
`error` says why and the three lists are null. (They are not empty, because nothing is known about the image.)
Otherwise `error` is null. `warning` says what is wrong with the file of an image that was read whole all the same, and
is null in all other rows; parts of an older DueBy have no such column. The file's key-value metadata says what made the
rows. Equal rows give equal bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

FORMAT_VERSION = 1
SCHEMA = pa.schema(
    [
        ("index", pa.int64()),
        ("uri", pa.string()),
        ("classes", pa.list_(pa.int32())),
        ("labels", pa.list_(pa.string())),
        ("scores", pa.list_(pa.float32())),
        ("error", pa.string()),
        ("warning", pa.string()),
    ]
)
# Stands between the names of engines if another engine computed some of a part's rows again.
ENGINES_JOINED = "+"
_PREFIX = "dueby."


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What made a part's rows; kept in the metadata of its file."""

    engine: str
    """The engine, or several joined by ENGINES_JOINED."""
    precision: str
    """fp32, bf16 or fp16."""
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
    classes: NDArray[np.int32]
    """(n, k), best first. Meaningless in rows with an error."""
    scores: NDArray[np.float32]
    """(n, k)."""
    errors: Mapping[int, str]
    """Why an image could not be read, by position in the part."""
    warnings: Mapping[int, str] = field(default_factory=dict)
    """What is wrong with the file of an image that was read, by position in the part."""


@dataclass(frozen=True, kw_only=True)
class PartFooter:
    """What the footer of a part's file says."""

    first: int | None
    """Index of the first image; None if there are no rows."""
    rows: int
    errors: int
    warnings: int
    origin: Origin


def encode_rows(rows: Rows, *, labels: Sequence[str], origin: Origin) -> bytes:
    """Return the Parquet file."""
    total, k = rows.classes.shape
    failed = np.zeros(total, dtype=bool)
    failed[list(rows.errors)] = True
    classes, scores = rows.classes[~failed].ravel(), rows.scores[~failed].ravel()
    offsets = pa.array(_offsets(failed, k), mask=np.append(failed, False))

    def lists(values: pa.Array) -> pa.Array:
        """Return a list of k values for each row; null if the row failed."""
        return pa.ListArray.from_arrays(offsets, values)

    table = pa.table(
        [
            pa.array(np.arange(rows.first, rows.first + total)),
            pa.array(rows.uris, type=pa.string()),
            lists(pa.array(classes)),
            lists(pa.array(labels, type=pa.string()).take(pa.array(classes))),
            lists(pa.array(scores)),
            _texts(rows.errors, total),
            _texts(rows.warnings, total),
        ],
        schema=SCHEMA.with_metadata(_metadata(origin)),
    )
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd", row_group_size=max(total, 1))
    return buffer.getvalue().to_pybytes()  # type: ignore[no-any-return]


def decode_rows(data: bytes) -> tuple[Rows, Origin]:
    """Return the rows of a part's file, and what made them."""
    table = pq.read_table(pa.BufferReader(data))
    errors = _texts_in(table, "error")
    classes, scores = table["classes"].combine_chunks(), table["scores"].combine_chunks()
    rows = Rows(
        first=table["index"][0].as_py(),
        uris=table["uri"].to_pylist(),
        classes=_square(classes, errors, np.dtype(np.int32)),
        scores=_square(scores, errors, np.dtype(np.float32)),
        errors=errors,
        warnings=_texts_in(table, "warning") if "warning" in table.column_names else {},
    )
    return rows, _origin(table.schema.metadata)


def read_footer(file: BinaryIO) -> PartFooter:
    """Return the counts of a part's file from its footer, without reading the columns."""
    parquet = pq.ParquetFile(file)
    footer = parquet.metadata
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    names = footer.schema.names

    def count(text: str) -> int:
        """Return the rows that have such a text. Its place is that of the leaf: a list is one, too."""
        place = names.index(text)
        found: int = footer.num_rows - sum(group.column(place).statistics.null_count for group in groups)
        return found

    return PartFooter(
        first=min((group.column(0).statistics.min for group in groups), default=None),
        rows=footer.num_rows,
        errors=count("error"),
        warnings=count("warning") if "warning" in names else 0,
        origin=_origin(parquet.schema_arrow.metadata),
    )


def _texts(texts: Mapping[int, str], total: int) -> pa.Array:
    """Return a column of texts, null where there is none."""
    return pa.array([texts.get(position) for position in range(total)], type=pa.string())


def _texts_in(table: pa.Table, name: str) -> dict[int, str]:
    """Return the texts of a column by position."""
    return {position: text for position, text in enumerate(table[name].to_pylist()) if text is not None}


def _offsets(failed: NDArray[np.bool_], k: int) -> NDArray[np.int32]:
    """Return where each row's list of k values begins, and where the last one ends."""
    return np.concatenate(([0], np.cumsum(~failed) * k)).astype(np.int32)


def _square(lists: Any, errors: Mapping[int, str], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return a column of lists as (n, k). All lists have the same length, except for null in failed rows."""
    fine = [position for position in range(len(lists)) if position not in errors]
    values = lists.flatten().to_numpy()
    square = np.zeros((len(lists), len(values) // len(fine) if fine else 0), dtype=dtype)
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


def _origin(metadata: Mapping[bytes, bytes]) -> Origin:
    facts = {name.decode(): value.decode() for name, value in metadata.items()}
    return Origin(
        engine=facts[_PREFIX + "engine"],
        precision=facts[_PREFIX + "precision"],
        device_class=facts[_PREFIX + "deviceClass"],
        fingerprint=facts[_PREFIX + "fingerprint"],
    )
