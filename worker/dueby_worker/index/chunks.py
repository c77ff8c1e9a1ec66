"""The rows of the index's files: an image's URI and, if it is in a tar, a Parquet file or a Lance dataset, where.

A file of tars' images has columns beside `uri`: `version`, `offset`, `length` and `header`. The tar itself is the URI
up to its last `#`, since a member's name has none (storage/uris.py). A file of images in Parquet files has `version`,
`column`, `footer`, `group`, `row` and `length`, and one of those in a Lance dataset has `version`, `checksum`,
`column`, `row` and `length`. What the source says of its images besides is in a column `kept` (kept.py), if it says
anything of an image in the file. A sink that is added to has `file_version`, by which a file that was written again is
known, and for such a file `replaces`: the row of an earlier generation that the image had.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa

from dueby_api.source import REPLACES
from dueby_worker.images.lance_rows import LanceRow
from dueby_worker.images.members import TarMember
from dueby_worker.images.row_groups import ParquetRow
from dueby_worker.images.within import Place

Cell = str | int | None


class Row(NamedTuple):
    """An image."""

    uri: str
    place: Place | None = None
    """Where it is, if it is within something larger."""
    kept: str = ""
    """What the source says of it besides, as kept.py has it."""
    version: str = ""
    """A digest of what the store says of its file; empty if nobody asked, or the store says nothing."""
    replaces: int | None = None
    """The row of an earlier generation that its row replaces, since its file has changed."""


# An index of a billion images has 15,000 files.
_CHUNK_DIGITS = 32
# Columns of what there is beside URIs and places, if an image in the file has it.
KEPT, VERSION = "kept", "file_version"
BESIDE: Mapping[str, pa.DataType] = {KEPT: pa.string(), VERSION: pa.string(), REPLACES: pa.int64()}
_OF_TARS = ("version", "offset", "length", "header")
_OF_PARQUET = ("version", "column", "footer", "group", "row", "length")
_OF_LANCE = ("version", "checksum", "column", "row", "length")


def columns_of(rows: Sequence[Row]) -> dict[str, Sequence[Cell]]:
    """Return the columns of a file's rows. All rows are within objects of one kind, or none is."""
    uris, places, kept, versions, replaced = zip(*rows)
    columns: dict[str, Sequence[Cell]] = {"uri": uris}
    if places[0] is not None:
        columns |= {name: [getattr(place, name) for place in places] for name in _names(places[0])}
    beside = [text or None for text in kept], [text or None for text in versions], replaced
    return columns | {name: cells for name, cells in zip(BESIDE, beside) if cells.count(None) < len(rows)}


def table_of(columns: Mapping[str, Sequence[Cell]]) -> pa.Table:
    return pa.table({name: pa.array(cells, BESIDE.get(name)) for name, cells in columns.items()})


def text_of(columns: Mapping[str, Sequence[Cell]], *, without: Collection[str] = ()) -> bytes:
    """Return the rows, `without` some columns, as what digests are made of: each value followed by a NUL."""
    rows = zip(*(cells for name, cells in columns.items() if name not in without))
    return "".join(f"{cell}\0" for row in rows for cell in row if cell is not None).encode()


def chunk_digest(text: bytes) -> str:
    """Return the digest of a file's rows, of their text."""
    return hashlib.sha256(text).hexdigest()[:_CHUNK_DIGITS]


def digest_of(table: pa.Table) -> str:
    """Return the digest of the rows of a file's table, whatever wrote the file."""
    return chunk_digest(text_of(table.to_pydict()))


def row_at(table: pa.Table, row: int) -> Row:
    place = places_at(table, row)[0] if "version" in table.column_names else None
    kept, version = (
        table.column(name)[row].as_py() if name in table.column_names else None for name in (KEPT, VERSION)
    )
    return Row(table.column("uri")[row].as_py(), place, kept or "", version or "")


def places_at(table: pa.Table, row: int, count: int = 1) -> list[Place]:
    """Return where the images in so many rows from this one are, all within something larger.

    Neighbours are taken from the table together: a cell alone costs as much as a hundred.
    """
    uris, *columns = (column.to_pylist() for column in table.slice(row, count).columns)
    wholes = (uri.rpartition("#")[0] for uri in uris)
    rows = zip(wholes, zip(*columns), strict=True)
    if "header" in table.column_names:
        return [TarMember(shard=whole, **dict(zip(_OF_TARS, cells))) for whole, cells in rows]
    if "checksum" in table.column_names:
        return [LanceRow(dataset=whole, **dict(zip(_OF_LANCE, cells))) for whole, cells in rows]
    return [ParquetRow(file=whole, **dict(zip(_OF_PARQUET, cells))) for whole, cells in rows]


def _names(place: Place) -> tuple[str, ...]:
    """Return the columns beside the URI."""
    if isinstance(place, LanceRow):
        return _OF_LANCE
    return _OF_TARS if isinstance(place, TarMember) else _OF_PARQUET
