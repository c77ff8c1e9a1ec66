"""Lance datasets: one version of a dataset, and its rows by their numbers.

The library reads files and object stores itself, in threads of its own, and finds S3's credentials wherever AWS lets
them be; it is told the endpoint and the region. It is an extra, and is imported here alone, once a job has such a
source. A process that has it can't fork safely, and none of ours does: children begin as new programs, or are forked by
a server that has no such library (images/isolation.py).
"""

import importlib.util
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import pyarrow as pa

from dueby_api.errors import DueByError, Invalid, Transient
from dueby_worker.storage.open_files import OpenFiles
from dueby_worker.storage.store import BytesOrReason, NotFound, TooLarge, Unavailable
from dueby_worker.storage.uris import file_path, scheme_of

FIELD = "spec.source.lance.uri"
_BYTES_FIELD = "bytes"
_KINDS = "images are binary, a blob column, or a struct with `bytes`, as Hugging Face's datasets write them"
_BINARY = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
_NAMES = (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer)
# As the two generations of blob columns are marked.
_BLOB, _BLOB_KEY = "lance.blob.v2", b"lance-encoding:blob"
# In a blob's description: its bytes are those of another object, which whoever wrote the row has named.
_EXTERNAL = 3
# How many columns a message lists.
_SHOWN_COLUMNS = 10
# For what the library keeps of a dataset's files: 1 GiB is usual, and 6 GiB for search indices, which nobody uses here.
_CACHE_BYTES = 64 * 1024**2
# What a key may have and a URI's path may not.
_ESCAPES = str.maketrans({"%": "%25", "#": "%23", "?": "%3F"})
# Of blobs, what is read ahead of those that are handed out.
_AHEAD_BYTES = 32 * 1024**2
# Rows whose names, kept columns or blobs' descriptions are read at a time.
_SCAN_ROWS = 8192
# One attempt only: RetryPolicy does the retrying, with a warning each time.
_ONCE = {"client_max_retries": "0", "download_retry_count": "0", "connect_timeout": "5s", "timeout": "60s"}
# Where in its source the library has raised the error, and what it calls all of them.
_NOISE = re.compile(r",? ?/\S+\.rs:\d+(:\d+)?|LanceError\(\w+\): ")
# Also within an error of the kind below.
_GONE = re.compile(r"\b(Not found: |was not found\b)")
# Its name for a store that doesn't answer or has trouble. What isn't allowed there has other words.
_STORES_FAULT = re.compile(r"Generic (?!LocalFileSystem)\S+ error|\btimed? ?out\b", re.IGNORECASE)
# Answers that a retry would not change.
_REFUSED = re.compile(r"status code: (3\d\d|4(?!08|09|25|29)\d\d)|CredentialsNotLoaded")
_PANIC = "PanicException"
_MAX_WORDS = 300


class LanceDataset:
    """A version of a dataset. Thread-safe. Methods raise NotFound, Unavailable and Transient if it can't be read."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    @property
    def version(self) -> int:
        return int(self._dataset.version)

    @cached_property
    def rows(self) -> int:
        """How many rows it has, without those that are deleted."""
        with translate_lance_failures():
            return int(self._dataset.count_rows())

    @cached_property
    def checksum(self) -> int:
        """Checksum of the names of its files. Each write makes files of new names, so it tells versions apart."""
        found = 0
        with translate_lance_failures():
            for fragment in self._dataset.get_fragments():
                files = [file.path for file in fragment.data_files()]
                found = zlib.crc32(repr((fragment.fragment_id, files, fragment.deletion_file())).encode(), found)
        return found

    def find_fault(self, column: str) -> str | None:
        """Return why the images in this column can't be read, as what follows the dataset's name; None if they can."""
        if self._dataset.base_paths():
            return "has files in other places, as a shallow clone has; name the original, or make a deep clone"
        field = _find(self._dataset.schema, column)
        if field is None:
            return f"has no column `{column}`; there are {self._shown()}. Say which one in source.lance.column"
        leaf = _leaf_of(field)
        if not _is_blob(leaf) and not any(is_kind(leaf.type) for is_kind in _BINARY):
            return f"has a column `{column}` of {field.type}; {_KINDS}"
        return None

    def find_names_fault(self, column: str) -> str | None:
        """Return why the column can't name the images, as above; None if it can."""
        field = _find(self._dataset.schema, column)
        if field is None:
            return f"has no column `{column}`; there are {self._shown()}. Say which one in source.lance.name"
        if not any(is_kind(field.type) for is_kind in _NAMES):
            return f"has a column `{column}` of {field.type}; names are texts or integers, such as image.path"
        return None

    def type_at(self, column: str) -> pa.DataType:
        """Return the column's type. Raise ValueError, with the columns that there are, if there is none."""
        if (field := _find(self._dataset.schema, column)) is None:
            raise ValueError(f"has no column `{column}`; there are {self._shown()}")
        return field.type

    def values(self, column: str) -> Iterator[pa.Array]:
        """Yield what the column says of the rows, in their order."""
        return self._scan(column)

    def blobs(self, column: str) -> Iterator[list[tuple[int, str]]]:
        """Yield each blob's size, and its URI if its bytes are those of another object; nothing for other columns."""
        path, is_blob = self._path_of(column)
        if is_blob:
            for described in self._scan(path):
                yield [_size_and_uri(blob) for blob in described.to_pylist()]

    def mean_bytes(self, column: str) -> int:
        """Return how many bytes a row has on average in this column, at least 1. No row is read."""
        path, _ = self._path_of(column)
        with translate_lance_failures():
            known = self._dataset.get_version()["metadata"]
            stored = {field.id: int(field.bytes_on_disk) for field in self._dataset.stats.data_stats().fields}
        # In the oldest format a column has no known size, but the files have, in which it is.
        size = stored.get(self._field_id(path), 0) or int(known["total_files_size"])
        return max(1, size // max(1, int(known["total_data_file_rows"])))

    def take(self, column: str, rows: Sequence[int], *, max_bytes: int) -> list[BytesOrReason]:
        """Return the images of these rows, or why they have none: some requests for each run of neighbours."""
        path, is_blob = self._path_of(column)
        with translate_lance_failures():
            cells = [cell for array in self._at(path, rows) for cell in array]
            if is_blob:
                return self._take_blobs(path, rows, [cell.as_py() for cell in cells], max_bytes=max_bytes)
            found = [cell.as_buffer() if cell.is_valid else None for cell in cells]
        return [_value(data, column, max_bytes=max_bytes) for data in found]

    def _take_blobs(
        self, path: str, rows: Sequence[int], described: Sequence[Any], *, max_bytes: int
    ) -> list[BytesOrReason]:
        faults = [_find_blobs_fault(blob, max_bytes=max_bytes) for blob in described]
        wanted = [row for row, fault in zip(rows, faults, strict=True) if fault is None]
        read: Iterator[tuple[int, bytes | None]] = iter(())
        if wanted:
            read = iter(
                self._dataset.read_blobs(path, indices=wanted, preserve_order=True, io_buffer_size=_AHEAD_BYTES)
            )
        return [fault or _value(next(read)[1], path, max_bytes=max_bytes) for fault in faults]

    def _scan(self, path: str) -> Iterator[pa.Array]:
        """Yield what is at the path, some rows at a time."""
        for first in range(0, self.rows, _SCAN_ROWS):
            with translate_lance_failures():
                found = self._at(path, range(first, min(first + _SCAN_ROWS, self.rows)))
            yield from found

    def _at(self, path: str, rows: Sequence[int]) -> list[pa.Array]:
        """Return what is at the path in these rows.

        A scan of neighbours takes as many requests. Of a damaged file it may end the process: its batches come by a C
        interface, through which the library's panics can't.
        """
        return [_inner(chunk, path) for chunk in self._dataset.take(list(rows), columns=[path]).column(0).chunks]

    def _path_of(self, column: str) -> tuple[str, bool]:
        """Return the path of the column's bytes, and whether they are blobs. It has no fault."""
        field = _find(self._dataset.schema, column)
        leaf = _leaf_of(field)
        return (column if leaf is field else f"{column}.{_BYTES_FIELD}"), _is_blob(leaf)

    def _field_id(self, path: str) -> int:
        fields, number = self._dataset.lance_schema.fields(), -1
        for name in path.split("."):
            field = next(field for field in fields if field.name() == name)
            fields, number = field.children(), field.id()
        return number

    def _shown(self) -> str:
        fields = [f"{field.name} ({field.type})" for field in self._dataset.schema]
        more = f" and {len(fields) - _SHOWN_COLUMNS} more" if len(fields) > _SHOWN_COLUMNS else ""
        return ", ".join(fields[:_SHOWN_COLUMNS]) + more if fields else "none"


_opened = OpenFiles()


def open_dataset(uri: str, version: int | None) -> LanceDataset:
    """Return this version, or the newest one. Raise NotFound if there is none, and Invalid without the library."""
    if importlib.util.find_spec("lance") is None:
        raise Invalid(FIELD, "Lance datasets need pylance: pip install 'dueby[lance]', in the worker's image too")
    import lance

    is_file = scheme_of(uri) == "file"
    with translate_lance_failures():
        return LanceDataset(
            lance.dataset(
                # It takes a path as it is, and of a URI unescapes the key.
                file_path(uri) if is_file else uri.translate(_ESCAPES),
                version=version,
                storage_options=None if is_file else dict(_s3_options()),
                metadata_cache_size_bytes=_CACHE_BYTES,
                index_cache_size_bytes=_CACHE_BYTES,
            )
        )


def opened_dataset(uri: str, version: int) -> LanceDataset:
    """Return this version as `open_dataset` does, opened once for all who want it."""
    found: LanceDataset = _opened.get(_key(uri, version), lambda _: open_dataset(uri, version))
    return found


def forget_dataset(uri: str, version: int) -> None:
    """Open the version again when it is next wanted."""
    _opened.forget(_key(uri, version))


def _key(uri: str, version: int) -> str:
    # Another server may have a dataset of the same URI.
    server = "" if scheme_of(uri) == "file" else _s3_options().get("aws_endpoint", "")
    return f"{version} {server} {uri}"


def _s3_options() -> Mapping[str, str]:
    # It brings fsspec, which files have no use for.
    from dueby_worker.storage.remote import S3Access

    access = S3Access.from_environment()
    options = dict(_ONCE)
    if access.region is not None:
        options["aws_region"] = access.region
    if access.endpoint is not None:
        # A private server has no host name for each bucket, and need have no regions.
        options |= {"aws_endpoint": access.endpoint, "aws_virtual_hosted_style_request": "false"}
        options |= {"allow_http": str(access.endpoint.startswith("http://")).lower()}
        options.setdefault("aws_region", "us-east-1")
    return options


def _find(schema: pa.Schema, path: str) -> pa.Field | None:
    """Return the column of this name, which may lie in a struct."""
    fields: Sequence[pa.Field] = list(schema)
    field = None
    for name in path.split("."):
        field = next((field for field in fields if field.name == name), None)
        if field is None:
            return None
        fields = list(field.type) if pa.types.is_struct(field.type) else ()
    return field


def _leaf_of(field: pa.Field) -> pa.Field:
    """Return the field that holds the bytes: that within a struct as Hugging Face has it, or else itself."""
    is_struct = pa.types.is_struct(field.type) and field.type.get_field_index(_BYTES_FIELD) >= 0
    return field.type.field(_BYTES_FIELD) if is_struct else field


def _is_blob(field: pa.Field) -> bool:
    if getattr(field.type, "extension_name", "") == _BLOB:
        return True
    return bool((field.metadata or {}).get(_BLOB_KEY) == b"true")


def _inner(column: pa.Array, path: str) -> pa.Array:
    """Return the values of the column at this path; null where a struct around it is null."""
    for _ in range(path.count(".")):
        (column,) = column.flatten()
    return column


def _size_and_uri(blob: dict[str, Any] | None) -> tuple[int, str]:
    if blob is None:
        return 0, ""
    return int(blob["size"]), str(blob["blob_uri"]) if blob.get("kind") == _EXTERNAL else ""


def _find_blobs_fault(blob: dict[str, Any] | None, *, max_bytes: int) -> Unavailable | None:
    size, uri = _size_and_uri(blob)
    if uri:
        return Unavailable(f"its bytes are elsewhere ({uri}), and only what is in the dataset is read")
    return _too_large(size, max_bytes) if size > max_bytes else None


def _value(data: bytes | pa.Buffer | None, column: str, *, max_bytes: int) -> BytesOrReason:
    if data is None:
        return Unavailable(f"its row has none (`{column}` is null)")
    if len(data) > max_bytes:
        return _too_large(len(data), max_bytes)
    return data if isinstance(data, bytes) else bytes(data.to_pybytes())


def _too_large(size: int, max_bytes: int) -> Unavailable:
    # Not a TooLarge, after which it would be read with more room.
    return Unavailable(str(TooLarge(size=size, max_bytes=max_bytes)))


@contextmanager
def translate_lance_failures() -> Iterator[None]:
    """Raise the library's errors as DueBy's own: NotFound, Unavailable or Transient. Memory that lacks is no file's
    fault, and DueBy's own errors and those of other libraries pass.

    They are Rust's, and reach Python as OSError, ValueError or RuntimeError with a text, of which the words tell them
    apart. Damaged files also make it panic, which reaches Python as an exception that is no Exception.
    """
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        raise _failure_of(str(error)) from error
    except BaseException as error:
        if type(error).__name__ != _PANIC:
            raise
        raise Unavailable(f"it is damaged ({_short(str(error))})") from error


def _failure_of(words: str) -> DueByError:
    if _GONE.search(words):
        return NotFound(_short(words))
    is_away = _STORES_FAULT.search(words) and not _REFUSED.search(words)
    return Transient(_short(words)) if is_away else Unavailable(_short(words))


def _short(words: str) -> str:
    lines = _NOISE.sub("", words).strip().splitlines()
    return lines[0].strip().rstrip(".")[:_MAX_WORDS] if lines else "its library says nothing"
