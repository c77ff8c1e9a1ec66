"""List the images in columns of Parquet files: which files a URI names, and the rows of each by its footer.

The order is that of the URI, by name in a folder and for a glob, and in a file that of its rows. An image's bytes are
never read here. If a column names the images, that column is read, and its names are sorted on this machine's disk to
see that none comes twice. A footer of some hundred bytes can claim any number of rows, so it is believed of no more
than the file has bytes, and rows without names take no room until it is their turn.
"""

import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dueby_api.errors import Invalid, first_line
from dueby_api.source import Parquet
from dueby_api.words import counted
from dueby_worker.images.page_headers import HEADER_BYTES, parse_header
from dueby_worker.images.parquet_files import (
    MAX_PAGE_BYTES,
    Footer,
    find_images,
    find_name,
    open_column,
    path_of,
    read_footer,
    too_large,
    type_at,
    values_at,
)
from dueby_worker.images.row_groups import ParquetRow
from dueby_worker.index.chunks import Row
from dueby_worker.index.kept import KeptColumns, kept_text, kept_type, kept_values
from dueby_worker.index.objects import ListedObject, find_objects, list_each
from dueby_worker.index.row_names import line_of, quoted_name, require_different
from dueby_worker.storage.retry import RetryPolicy
from dueby_worker.storage.store import Store, Unavailable
from dueby_worker.storage.stores import open_store
from dueby_worker.storage.uris import below, split

FIELD = "spec.source.parquet.uri"
_EXTENSIONS = (".parquet", ".pq", ".parq")
# What tables write beside their files that says which of them count.
_TABLE = re.compile(r"(^|/)(_delta_log|\.hoodie)/|\.metadata\.json$")
# Rows that are read at a time. What is kept of a row may be large, or be refused for it.
_ROWS = 4096
_NAME = "source.parquet.name"


def list_parquet(
    source: Parquet, *, scratch: Path, retry: RetryPolicy, kept: KeptColumns, limit: int | None = None
) -> Iterator[Row]:
    """Yield each image's URI and where it is. Raise Invalid, with the file, if one is missing or damaged.

    The source's URI is absolute. Of no file more than `limit` rows are looked at.
    """
    root, path = split(source.uri)
    store = open_store(root, field=FIELD, retry=retry)
    try:
        list_one = partial(_list, store, source, kept.names, limit)
        yield from list_each(_find(store, path), list_one, partial(_read, kept=kept), scratch=scratch)
    except (ValueError, Unavailable) as error:
        raise Invalid(FIELD, f"{source.uri}: {error}") from None


def _find(store: Store, path: str) -> Iterator[str]:
    """Yield the paths of the files that the path means."""
    folder = path.rstrip("/")
    is_folder = path.endswith("/") or store.is_folder(folder)
    # A bucket may have an object and a folder of one name.
    if not is_folder or (_is_parquet_name(folder) and store.exists(folder)):
        yield from find_objects(store, path, kind="files", require=lambda name: None)
        return
    names = []
    for name in store.walk(folder):
        if _TABLE.search(name):
            raise ValueError(
                "is a table of Delta, Iceberg or Hudi, whose folder also has files that its newest version hasn't; "
                "write what you want of it to plain Parquet files, or name those files"
            )
        if _is_parquet_name(name):
            names.append(name)
    yield from (below(folder, name) for name in sorted(names))


def _is_parquet_name(path: str) -> bool:
    """Return whether the name is a Parquet file's, and not hidden: _metadata and .crc files have no rows."""
    is_hidden = any(name.startswith((".", "_")) for name in path.split("/"))
    return path.lower().endswith(_EXTENSIONS) and not is_hidden


def _list(
    store: Store,
    source: Parquet,
    keep: Sequence[str],
    limit: int | None,
    path: str,
    lines: Path,
    stop: threading.Event,
) -> Path:
    """Write what is in the file: its URI, version, column, footer and types, and a line for each run of rows."""
    listed = ListedObject(store, path, stop)
    uri = store.uri_of(path)
    try:
        version = listed.version()
        footer = read_footer(listed.read, size=version.size)
        with lines.open("w", encoding="utf-8") as file, TemporaryDirectory(dir=lines.parent) as scratch:
            types = {name: kept_type(type_at(footer, name), name) for name in keep}
            print(json.dumps([uri, str(version), source.column, footer.checksum, types]), file=file)
            groups = _groups(footer, source.column, listed.read, size=version.size, limit=limit)
            if source.name is None and not keep:
                runs = _numbered(groups)
            else:
                table = partial(open_column, footer, listed.read, size=version.size)
                runs = _told(groups, footer, source.name, keep, table, scratch=Path(scratch))
            for run in runs:
                print(json.dumps(run), file=file)
    except (ValueError, Unavailable) as error:
        raise Invalid(FIELD, f"{uri}: {error}") from None
    return lines


# Row group, row in it, average bytes, the images (their names, or the first one's number and how many there are), and
# what is kept of them.
_Run = tuple[int, int, int, list[str] | tuple[int, int], list[str]]
_Read = Callable[[int, int], bytes]


@dataclass(frozen=True, kw_only=True)
class _RowGroup:
    """A row group that has rows."""

    number: int
    before: int
    """Rows of the groups before it."""
    rows: int
    wanted: int
    """The first of its rows that are looked at."""
    length: int
    """Average bytes of an image."""


def _numbered(groups: Iterable[_RowGroup]) -> Iterator[_Run]:
    """Yield the rows by their numbers in the file."""
    for group in groups:
        yield group.number, 0, group.length, (group.before, group.wanted), []


def _told(
    groups: Iterable[_RowGroup],
    footer: Footer,
    column: str | None,
    keep: Sequence[str],
    open_table: Callable[[], Any],
    *,
    scratch: Path,
) -> Iterator[_Run]:
    """Yield the rows by what a column says, unless it is None, and with what is kept of them.

    Raise ValueError if two rows have the same name.
    """
    columns = (*([path_of(footer, find_name(footer, column))] if column is not None else []), *keep)
    lines = scratch / "names"
    with lines.open("w", encoding="utf-8", newline="") as file:
        for group in groups:
            first = 0
            for batch in _batches(open_table(), group, columns):
                numbers = range(group.before + first, group.before + first + len(batch))
                said = [kept_values(values_at(batch, name)) for name in keep]
                kept = [kept_text(None, row, keep, where=f"row {number:,}") for number, *row in zip(numbers, *said)]
                if column is None:
                    yield group.number, first, group.length, (numbers.start, len(numbers)), kept
                else:
                    told = zip(values_at(batch, columns[0]).to_pylist(), numbers)
                    names = [quoted_name(name, column, number, option=_NAME) for name, number in told]
                    file.writelines(map(line_of, names, numbers))
                    yield group.number, first, group.length, names, kept
                first += len(numbers)
            if first != group.wanted:
                raise ValueError(
                    f"is damaged: its row group {group.number} has {counted(first, 'name')} for "
                    f"{counted(group.rows, 'row')}"
                )
    with lines.open(encoding="utf-8", newline="") as file:
        require_different(file, column or "", option=_NAME, scratch=scratch)


def _groups(footer: Footer, column: str, read: _Read, *, size: int, limit: int | None) -> Iterator[_RowGroup]:
    """Yield each row group that has rows, until there are `limit` rows. Raise ValueError if it can't be read."""
    leaf, metadata = find_images(footer, column), footer.metadata
    if path_of(footer, leaf) != column and metadata.num_rows and _has_nulls_only(metadata, leaf):
        raise ValueError(
            f"has {counted(metadata.num_rows, 'row')} and no image: `{column}` has paths to other files, and no bytes. "
            "Embed the images when you write it (datasets.table.embed_table_storage)"
        )
    before = 0
    for group in range(metadata.num_row_groups):
        rows, chunk = metadata.row_group(group).num_rows, metadata.row_group(group).column(leaf)
        if not 0 <= rows <= size - before:
            claimed = counted(max(before + rows, metadata.num_rows), "row")
            raise ValueError(f"is damaged: it is to have {claimed} in {counted(size, 'byte')}")
        wanted = rows if limit is None else min(rows, limit - before)
        if not rows:
            continue
        if not wanted:
            return
        begin, length = footer.chunk(group, leaf)
        if not _can_unpack(chunk.compression):
            raise ValueError(f"is compressed by {chunk.compression}, which can't be read; write it with zstd, or plain")
        unpacked = chunk.total_uncompressed_size
        # Smaller ones can't have a page that is too large.
        if unpacked > MAX_PAGE_BYTES and (page := _first_page_bytes(read, begin, length)) > MAX_PAGE_BYTES:
            raise ValueError(too_large(group, page))
        yield _RowGroup(number=group, before=before, rows=rows, wanted=wanted, length=max(1, unpacked // rows))
        before += wanted


def _has_nulls_only(metadata: pq.FileMetaData, leaf: int) -> bool:
    """Return whether the footer says that no row has a value."""
    for group in range(metadata.num_row_groups):
        chunk = metadata.row_group(group).column(leaf)
        statistics = chunk.statistics
        if statistics is None or not statistics.has_null_count or statistics.null_count < chunk.num_values:
            return False
    return True


def _first_page_bytes(read: _Read, begin: int, length: int) -> int:
    header = parse_header(read(begin, min(length, HEADER_BYTES)))
    return max(header.unpacked_bytes, header.packed_bytes) if header is not None else 0


def _can_unpack(compression: str) -> bool:
    try:
        return compression == "UNCOMPRESSED" or bool(pa.Codec.is_available(compression.lower()))
    except ValueError:  # pyarrow doesn't know its name
        return False


def _batches(file: Any, group: _RowGroup, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield these columns of the row group's rows that are looked at."""
    remaining = group.wanted
    try:
        for batch in file.iter_batches(_ROWS, row_groups=[group.number], columns=list(columns), use_threads=False):
            yield batch.slice(0, remaining)
            remaining -= len(batch)
            if remaining <= 0 and group.wanted < group.rows:
                return
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"is damaged in its row group {group.number}: {first_line(error)}") from None


def _read(file: Path, *, kept: KeptColumns) -> Iterator[Row]:
    """Yield what is in the file, and delete it."""
    with file.open(encoding="utf-8") as lines:
        uri, version, column, footer, types = json.loads(next(lines))
        try:
            kept.declare(types, by=uri)
        except ValueError as error:
            raise Invalid(FIELD, f"{uri}: {error}") from None
        for line in lines:
            group, first, length, names, said = json.loads(line)
            if names and isinstance(names[0], int):
                names = range(names[0], names[0] + names[1])
            for row, (name, text) in enumerate(zip(names, said or repeat("")), first):
                place = ParquetRow(
                    file=uri, version=version, column=column, footer=footer, group=group, row=row, length=length
                )
                yield Row(f"{uri}#{name}", place, text)
    file.unlink()
