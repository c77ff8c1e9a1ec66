"""Read a source's manifest: a text file with one URI per line, or CSV, TSV, JSON Lines or Parquet with a column `uri`.

Relative URIs are relative to the manifest's own folder, so a folder can be moved with its manifest. A manifest is first
copied to this machine in blocks and then read row by row, so its size does not matter.

(The sink's manifest, `_dueby/job.json`, is something else. See dueby_worker/output/sink_manifest.py.)
"""

import csv
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from dueby_api.errors import Invalid, first_line
from dueby_api.source import Manifest
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
# How many columns a message lists.
_SHOWN_COLUMNS = 10


def list_source_manifest(manifest: Manifest, *, scratch: Path, retry: RetryPolicy) -> Iterator[str]:
    """Yield the absolute URIs of the manifest's rows, in its order. Raise Invalid, with the row, if one is wrong.

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
    resolve = resolver(parent(uri))
    for row, name in _reader_of(uri, copy)(copy):
        try:
            found = resolve(name)
        except ValueError as error:
            raise Invalid(FIELD, f"{row}: {error}") from None
        # Whoever writes a list is not lent the workers' credentials and network.
        if not manifest.any_host and split(found)[0] != root:
            raise Invalid(FIELD, f"{row}: {found[:_SHOWN]} is not at {root}, as the list itself is; {_ALLOW}")
        yield found


def _reader_of(uri: str, copy: Path) -> Callable[[Path], Iterator[tuple[str, str]]]:
    """Return the function that yields (which row, its URI) of such a file."""
    with copy.open("rb") as file:
        if file.read(len(_PARQUET_MAGIC)) == _PARQUET_MAGIC:
            return _read_parquet
    lower = uri.lower()
    if lower.endswith((".parquet", ".pq")):
        raise Invalid(FIELD, f"{uri} is not a Parquet file, although its name says so; {_KINDS}")
    ending = PurePosixPath(lower).suffix
    if ending in _OTHER_KINDS:
        raise Invalid(FIELD, f"{uri} is a {ending} file; {_KINDS}")
    if separator := _SEPARATORS.get(ending):
        return partial(_read_columns, separator=separator)
    return _read_json_lines if ending in _JSON_LINES else _read_text


def _read_text(copy: Path) -> Iterator[tuple[str, str]]:
    number = 0
    try:
        with copy.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if "\0" in line:
                    raise Invalid(FIELD, f"line {number} is not text; {_KINDS}")
                if name := line.strip():
                    _require_one_uri(name, number)
                    yield f"line {number}", name
    except UnicodeDecodeError:
        raise Invalid(FIELD, f"is not UTF-8 text after line {number}; {_KINDS}") from None


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


def _read_json_lines(copy: Path) -> Iterator[tuple[str, str]]:
    number = 0
    try:
        with copy.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                row = json.loads(line)
                name = row.get(COLUMN) if isinstance(row, dict) else None
                if not isinstance(name, str) or not name:
                    raise Invalid(FIELD, f"line {number} is no object with a text `{COLUMN}`; {_KINDS}")
                yield f"line {number}", name
    except UnicodeDecodeError:
        raise Invalid(FIELD, f"is not UTF-8 text after line {number}; {_KINDS}") from None
    except (ValueError, RecursionError) as error:
        raise Invalid(FIELD, f"line {number} is not JSON: {first_line(error)}") from None


def _read_columns(copy: Path, *, separator: str) -> Iterator[tuple[str, str]]:
    try:
        with copy.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True, delimiter=separator)
            header = [name.strip() for name in next(rows, [])]
            if COLUMN not in header:
                raise Invalid(FIELD, _no_column(header))
            column = header.index(COLUMN)
            for row in rows:
                name = row[column].strip() if column < len(row) else ""
                if name:
                    yield f"line {rows.line_num}", name
                elif any(row):
                    raise Invalid(FIELD, f"line {rows.line_num} has no {COLUMN}")
    except UnicodeDecodeError:
        raise Invalid(FIELD, f"is not UTF-8 text; {_KINDS}") from None
    except csv.Error as error:
        raise Invalid(FIELD, f"line {rows.line_num}: {error}") from None


def _read_parquet(copy: Path) -> Iterator[tuple[str, str]]:
    try:
        with pq.ParquetFile(copy) as file:
            schema = file.schema_arrow
            if COLUMN not in schema.names:
                raise Invalid(FIELD, _no_column(schema.names))
            kind = schema.types[schema.names.index(COLUMN)]
            if not _is_text(kind):
                raise Invalid(FIELD, f"its column `{COLUMN}` is of type {kind}, and URIs are text: write it as string")
            row = 0
            for batch in file.iter_batches(columns=[COLUMN]):
                for name in batch.column(0).cast(pa.string()).to_pylist():
                    row += 1
                    if not name:
                        raise Invalid(FIELD, f"row {row} has no {COLUMN}")
                    yield f"row {row}", name
    except (pa.ArrowException, OSError) as error:
        raise Invalid(FIELD, f"can't be read as Parquet: {first_line(error)}") from None


def _is_text(kind: pa.DataType) -> bool:
    """Return whether the values may be text; bytes may be, and nulls have a message of their own."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return kind in _TEXTS or pa.types.is_fixed_size_binary(kind)


def _no_column(columns: list[str]) -> str:
    found = f"there are {', '.join(columns[:_SHOWN_COLUMNS])}" if columns else "it is empty"
    return f"has no column `{COLUMN}`; {found}"
