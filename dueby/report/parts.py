"""The result rows that a report shows: some classified photos from all over the index, and the images that failed.

Parts are read as any reader of a folder of Parquet reads them, so a report can be made of another version's sink too.
The footer of a part says whether it has any errors; the columns of a part without errors are never decoded. A part that
is damaged raises Invalid.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dueby_api.source import REPLACES
from dueby_worker.output.damaged_parts import read_part
from dueby_worker.output.part_names import generation_in
from dueby_worker.output.rows import LABELS_KEY
from dueby_worker.storage.store import Store

_PART = re.compile(r"part-(\d{12})-(\d{12})(?:\.g\d{4,})?(?:\.[0-9a-f]+)?\.parquet")
# Of probabilities, so many are shown: as many as the rows have that hold no others.
_SHOWN_ANSWERS = 5
# These threads wait for a store and don't compute: enough of them to hide an object store's latency.
_READERS = 8
NO_ROWS = pa.array([], pa.int64())


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part's file, and the first and the last index of its images."""

    name: str
    first: int
    last: int


@dataclass(frozen=True, kw_only=True)
class Classified:
    """An image and what the model saw in it, the best answer first; of an embedding there is nothing to tell."""

    index: int
    uri: str
    labels: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    values: int = 0
    """Values of its embedding; 0 if the model has answered."""


@dataclass(frozen=True, kw_only=True)
class FailedImage:
    """An image without a result."""

    index: int
    uri: str
    error: str


def find_parts(names: Iterable[str]) -> tuple[Part, ...]:
    """Return the parts among a sink's files, in the order of their images."""
    matches = (_PART.fullmatch(name) for name in names)
    return tuple(
        sorted((Part(name=m[0], first=int(m[1]), last=int(m[2])) for m in matches if m), key=lambda part: part.first)
    )


def spread(parts: Sequence[Part], count: int) -> dict[Part, list[int]]:
    """Return `count` indices, spread evenly over the images that have a row, by the part that each is in."""
    total = sum(part.last - part.first + 1 for part in parts)
    count = min(count, total)
    places = [(2 * i + 1) * total // (2 * count) for i in range(count)]
    chosen: dict[Part, list[int]] = {}
    before = 0
    for part in parts:
        size = part.last - part.first + 1
        if inside := [part.first + place - before for place in places if before <= place < before + size]:
            chosen[part] = inside
        before += size
    return chosen


def read_replaced(parts: Sequence[Part], sink: Store) -> pa.Array:
    """Return the indices of the rows that others replace, since their images' files have changed."""
    later = [part.name for part in parts if generation_in(part.name) > 1]
    with ThreadPoolExecutor(_READERS) as pool:
        return pa.concat_arrays([NO_ROWS, *pool.map(lambda name: read_part(sink, name, _replaced), later)])


def read_classified(
    parts: Sequence[Part], sink: Store, *, count: int, replaced: pa.Array = NO_ROWS
) -> tuple[Classified, ...]:
    """Return about `count` rows that count and have no error; in place of others, the next one of their part."""
    chosen = spread(parts, count)
    with ThreadPoolExecutor(_READERS) as pool:
        picked = pool.map(
            lambda part: read_part(sink, part.name, partial(_pick, indices=chosen[part], replaced=replaced)), chosen
        )
        return tuple(row for rows in picked for row in rows)


def read_failed(
    parts: Sequence[Part], sink: Store, *, most: int, replaced: pa.Array = NO_ROWS
) -> tuple[FailedImage, ...]:
    """Return the first failed images whose rows count, by index; parts after those that hold enough are not read."""
    errors = partial(_errors, replaced=replaced)
    failed: list[FailedImage] = []
    with ThreadPoolExecutor(_READERS) as pool:
        for start in range(0, len(parts), _READERS):
            for failures in pool.map(lambda part: read_part(sink, part.name, errors), parts[start : start + _READERS]):
                failed += failures
            if len(failed) >= most:
                break
    return tuple(failed[:most])


def _pick(data: bytes, indices: Sequence[int], replaced: pa.Array) -> list[Classified]:
    file = pq.ParquetFile(pa.BufferReader(data))
    schema = file.schema_arrow
    shown = ("index", "uri", "labels", "scores", "probabilities", "error")
    table = file.read(columns=[name for name in shown if name in schema.names])
    table = _counting(table, replaced).filter(pc.field("error").is_null())
    places = np.unique(np.searchsorted(table["index"].to_numpy(), indices))
    rows = table.take(places[places < len(table)]).to_pylist()
    if "embedding" in schema.names:
        values = schema.field("embedding").type.list_size
        return [Classified(index=row["index"], uri=row["uri"], values=values) for row in rows]
    if "probabilities" in schema.names:
        labels = json.loads(schema.metadata[LABELS_KEY.encode()])
        return [_best(row, labels) for row in rows]
    return [
        Classified(index=row["index"], uri=row["uri"], labels=tuple(row["labels"]), scores=tuple(row["scores"]))
        for row in rows
    ]


def _best(row: Mapping[str, Any], labels: Sequence[str]) -> Classified:
    """Return a row of probabilities as one of the best classes."""
    scores = row["probabilities"]
    best = sorted(range(len(scores)), key=lambda number: -scores[number])[:_SHOWN_ANSWERS]
    return Classified(
        index=row["index"],
        uri=row["uri"],
        labels=tuple(labels[number] for number in best),
        scores=tuple(scores[number] for number in best),
    )


def _errors(data: bytes, replaced: pa.Array) -> list[FailedImage]:
    file = pq.ParquetFile(pa.BufferReader(data))
    footer = file.metadata
    place = footer.schema.names.index("error")
    columns = [footer.row_group(group).column(place) for group in range(footer.num_row_groups)]
    # A part of another writer may have no statistics, and its rows are read then.
    if all(column.statistics is not None and column.statistics.null_count == column.num_values for column in columns):
        return []
    table = _counting(file.read(columns=["index", "uri", "error"]), replaced)
    return [FailedImage(**row) for row in table.filter(pc.field("error").is_valid()).to_pylist()]


def _replaced(data: bytes) -> pa.Array:
    file = pq.ParquetFile(pa.BufferReader(data))
    if REPLACES not in file.schema_arrow.names:
        return NO_ROWS
    return file.read(columns=[REPLACES])[REPLACES].combine_chunks().drop_null()


def _counting(table: pa.Table, replaced: pa.Array) -> pa.Table:
    return table.filter(~pc.field("index").isin(replaced)) if len(replaced) else table
