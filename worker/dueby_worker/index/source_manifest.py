"""Read a source's manifest: a text file with one URI per line, or CSV, TSV, JSON Lines or Parquet with a column `uri`.

Relative URIs are relative to the manifest's own folder, so a folder can be moved with its manifest. A manifest is first
copied to this machine in blocks and then read row by row, so its size does not matter. What a row says is kept as it
is: the URI as the image's name, and the columns of `source.keep`. CSV and TSV know no types: a column of
numbers is one of numbers, and any other is one of texts.

(The sink's manifest, `_dueby/job.json`, is something else. See dueby_worker/output/sink_manifest.py.)
"""

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dueby_api.errors import Invalid, first_line
from dueby_api.source import ListedSource
from dueby_worker.index.chunks import Row
from dueby_worker.index.kept import BELOW_LIST, KeptColumns, kept_text, kept_type, kept_values, shown_columns
from dueby_worker.index.kept import FIELD as KEEP
from dueby_worker.storage.retry import RetryPolicy
from dueby_worker.storage.store import Unavailable
from dueby_worker.storage.stores import open_store
from dueby_worker.storage.uris import parent, resolver, split

FIELD = "spec.source.manifest.uri"
COLUMN = "uri"
_KINDS = "a list is text with one URI per line, or a .csv, .tsv, .jsonl or .parquet file with a column `uri`"
# Of files with other names, these say that they hold something else.
_OTHER_KINDS = (
    *(".json", ".xml", ".html", ".yaml", ".yml", ".xls", ".xlsx", ".ods", ".arrow", ".feather", ".orc", ".avro"),
    *(".gz", ".zst", ".zip", ".bz2", ".xz", ".7z", ".npy", ".npz", ".pkl", ".sqlite", ".db"),
)
_SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_JSON_LINES = (".jsonl", ".ndjson")
_ALLOW = "if you trust who wrote the list, set source.manifest.anyHost: true"
# How many characters of a row a message shows.
_SHOWN = 200
_PARQUET_MAGIC = b"PAR1"
# All of these, and binary of a fixed size, can be cast to text.
_TEXTS = (
    *(pa.string(), pa.large_string(), pa.string_view()),
    *(pa.binary(), pa.large_binary(), pa.binary_view(), pa.null()),
)
# Rows that are read at a time where they may have anything beside their URIs.
_KEPT_ROWS = 4096
# Which row, and what it says in which column.
_Rows = Iterator[tuple[str, Mapping[str, Any]]]


def list_source_manifest(
    manifest: ListedSource, *, scratch: Path, retry: RetryPolicy, kept: KeptColumns
) -> Iterator[Row]:
    """Yield the manifest's images, in its order. Raise Invalid, with the row, if one is wrong.

    The manifest's own URI is absolute.
    """
    uri = manifest.uri
    root, path = split(uri)
    copy = scratch / "manifest"
    store = open_store(root, field=FIELD, retry=retry)
    try:
        with copy.open("wb") as file:
            file.writelines(store.blocks(path))
    except Unavailable as error:
        raise Invalid(FIELD, f"{uri}: {error}") from None
    resolve, within = resolver(folder := parent(uri)), f"{root.rstrip('/')}/"
    for where, row in _readable(_reader_of(uri, copy, kept)(copy)):
        kept.see(row)
        name = row.get(COLUMN)
        if not isinstance(name, str) or not (text := name.strip()):
            raise Invalid(FIELD, f"{where} has no text in `{COLUMN}`; {_KINDS}")
        try:
            image = resolve(text)
            known_as = None if name == image else BELOW_LIST if image == f"{folder}/{name}" else name
            said = kept_text(known_as, list(map(row.get, kept.names)), kept.names, where=where)
        except ValueError as error:
            raise Invalid(FIELD, f"{where}: {error}") from None
        # Whoever writes a list is not lent the workers' credentials and network.
        if not manifest.any_host and not image.startswith(within) and split(image)[0] != root:
            raise Invalid(FIELD, f"{where}: {image[:_SHOWN]} is not at {root}, as the list itself is; {_ALLOW}")
        yield Row(image, None, said)
    # What is sorted and frozen next takes as much room on this machine's disk.
    copy.unlink()


def _reader_of(uri: str, copy: Path, kept: KeptColumns) -> Callable[[Path], _Rows]:
    """Return the function that yields the rows of such a file."""
    with copy.open("rb") as file:
        if file.read(len(_PARQUET_MAGIC)) == _PARQUET_MAGIC:
            return partial(_read_parquet, kept=kept)
    lower = uri.lower()
    if lower.endswith((".parquet", ".pq")):
        raise Invalid(FIELD, f"{uri} is not a Parquet file, although its name says so; {_KINDS}")
    ending = PurePosixPath(lower).suffix
    if ending in _OTHER_KINDS:
        raise Invalid(FIELD, f"{uri} is a {ending} file; {_KINDS}")
    if separator := _SEPARATORS.get(ending):
        return partial(_read_columns, separator=separator, kept=kept)
    return _read_json_lines if ending in _JSON_LINES else _read_text


def _readable(rows: _Rows) -> _Rows:
    """Yield the rows. Raise Invalid, with the row before, where they can't be read."""
    where = ""
    try:
        for where, row in rows:
            yield where, row
    except UnicodeDecodeError:
        raise Invalid(FIELD, f"is not UTF-8 text{where and f' after {where}'}; {_KINDS}") from None
    except (csv.Error, pa.ArrowException, OSError, ValueError, RecursionError) as error:
        raise Invalid(FIELD, f"can't be read{where and f' after {where}'}: {first_line(error)}") from None


def _read_text(copy: Path) -> _Rows:
    with copy.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if "\0" in line:
                raise Invalid(FIELD, f"line {number} is not text; {_KINDS}")
            if name := line.strip():
                if number == 1 or name[0] in "{[" or "\t" in name:
                    _require_one_uri(name, number)
                yield f"line {number}", {COLUMN: line.rstrip("\n")}


def _require_one_uri(line: str, number: int) -> None:
    """Raise Invalid if the line is one of another kind of list: nobody would notice before each image has failed."""
    if line in ("{", "[") or _is_json(line):
        raise Invalid(FIELD, f"line {number} is JSON; name the file .jsonl if each line is an object with a `{COLUMN}`")
    if "\t" in line:
        raise Invalid(FIELD, f"line {number} has a tab; name the file .tsv if its first line names the columns")
    if number == 1 and COLUMN in (names := line.split(",")) and len(names) > 1:
        raise Invalid(FIELD, "line 1 names columns; name the file .csv")


def _is_json(line: str) -> bool:
    try:
        return line[0] in "{[" and bool(json.loads(line))
    except (ValueError, RecursionError):
        return False


def _read_json_lines(copy: Path) -> _Rows:
    with copy.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                row = json.loads(line)
                yield f"line {number}", row if isinstance(row, dict) else {}


def _read_columns(copy: Path, *, separator: str, kept: KeptColumns) -> _Rows:
    with copy.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, strict=True, delimiter=separator)
        header = [name.strip() for name in next(rows, [])]
        _require_columns(header, kept.names)
        kept.untyped.update(kept.names)
        for fields in filter(any, rows):
            # An empty cell says nothing.
            yield f"line {rows.line_num}", {name: text or None for name, text in zip(header, fields)}


def _read_parquet(copy: Path, *, kept: KeptColumns) -> _Rows:
    with pq.ParquetFile(copy) as file:
        schema, columns = file.schema_arrow, (COLUMN, *kept.names)
        _require_columns(schema.names, kept.names)
        if not _is_text(kind := schema.field(COLUMN).type):
            raise Invalid(FIELD, f"its column `{COLUMN}` is of type {kind}, and URIs are text: write it as string")
        try:
            kept.declare({name: kept_type(schema.field(name).type, name) for name in kept.names}, by="the list")
        except ValueError as error:
            raise Invalid(FIELD, str(error)) from None
        row = 0
        for batch in file.iter_batches(_KEPT_ROWS, columns=list(columns)):
            texts = batch.column(COLUMN).cast(pa.string()).to_pylist()
            for values in zip(texts, *(kept_values(batch.column(name)) for name in kept.names)):
                row += 1
                yield f"row {row}", dict(zip(columns, values))


def _is_text(kind: pa.DataType) -> bool:
    """Return whether the values may be text; bytes may be, and nulls have a message of their own."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return kind in _TEXTS or pa.types.is_fixed_size_binary(kind)


def _require_columns(columns: Sequence[str], keep: Sequence[str]) -> None:
    """Raise Invalid, with the columns that there are, unless there is one of each name that is wanted."""
    for name in (COLUMN, *keep):
        if (count := columns.count(name)) != 1:
            words = "no column" if not count else "several columns"
            raise Invalid(FIELD if name == COLUMN else KEEP, f"the list has {words} `{name}`; {shown_columns(columns)}")
