"""Parquet files from a distance: their footers, the column in which images are, and reading them range by range.

A file's footer, at its end, says where each column of each row group lies. It is read with one request, or two if it is
long, and no row is.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dueby_api.errors import first_line
from dueby_api.words import counted
from dueby_worker.storage.store import BLOCK_BYTES

# Returns so many bytes (second) from an offset (first).
ReadRange = Callable[[int, int], bytes | bytearray]
# What is read of a file's end at first. With statistics of 10 columns, footers of some 20 row groups are shorter.
_TAIL_BYTES = 64 * 1024
_MAX_FOOTER_BYTES = 256 * 1024**2
# A page is in memory as a whole, packed and unpacked: pyarrow can't read a part of one.
MAX_PAGE_BYTES = 512 * 1024**2
SMALLER_PAGES = "write it with fewer rows in a row group (such as row_group_size=100), and without a dictionary"
_MAGIC, _ENCRYPTED_MAGIC = b"PAR1", b"PARE"
# The footer's length and the magic after it.
_END_BYTES = 8
# What follows the metadata in a footer that anybody can read, of a file with encrypted columns: a nonce and a tag.
_SIGNATURE_BYTES = 28
_ENCRYPTED = "is encrypted, and there is no way to give its keys; write it without encryption"
_BYTES_FIELD = "bytes"
_KINDS = "images are binary, or a struct with `bytes`, as Hugging Face's datasets write them"
# How many columns a message lists.
_SHOWN_COLUMNS = 10
# What pyarrow asks for at once of a column, unless a page is larger.
_BUFFER_BYTES = BLOCK_BYTES


@dataclass(frozen=True, kw_only=True)
class Footer:
    """What a file's footer says."""

    metadata: Any
    schema: pa.Schema
    checksum: int
    """Of its bytes: two files of the same size differ by it, unless all that differs is within their images."""
    begin: int
    """Where it begins, and the rows end."""

    def chunk(self, group: int, column: int) -> tuple[int, int]:
        """Return where a column's bytes of a row group begin, and how many there are. Raise ValueError if nowhere."""
        chunk = self.metadata.row_group(group).column(column)
        if chunk.file_path:
            raise ValueError("keeps its rows in other files; name those instead")
        begin, length = chunk.data_page_offset, chunk.total_compressed_size
        if chunk.has_dictionary_page and 0 < chunk.dictionary_page_offset < begin:
            begin = chunk.dictionary_page_offset
        if begin < len(_MAGIC) or length < 0 or begin + length > self.begin:
            raise ValueError(
                f"is cut off or damaged: its row group {group} ends at byte {begin + length:,}, after its last row's"
            )
        return begin, length


def read_footer(read: ReadRange, *, size: int) -> Footer:
    """Return the footer of a file of this size. Raise ValueError, with a sentence, if the file has none."""
    if size < len(_MAGIC) + _END_BYTES:
        raise ValueError(f"is no Parquet file: it has {counted(size, 'byte')}")
    tail = read(max(0, size - _TAIL_BYTES), min(size, _TAIL_BYTES))
    if tail[-4:] == _ENCRYPTED_MAGIC:
        raise ValueError(_ENCRYPTED)
    if tail[-4:] != _MAGIC:
        raise ValueError("is no Parquet file, or is cut off: it doesn't end with PAR1")
    length = int.from_bytes(tail[-_END_BYTES:-4], "little")
    if length + len(_MAGIC) + _END_BYTES > size or length > _MAX_FOOTER_BYTES:
        raise ValueError(f"is no Parquet file, or is damaged: its footer is to have {counted(length, 'byte')}")
    if length + _END_BYTES > len(tail):
        tail = read(size - length - _END_BYTES, length + _END_BYTES)
    data = tail[-(length + _END_BYTES) :]
    try:
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            metadata, schema = file.metadata, file.schema_arrow
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ValueError(f"is no Parquet file, or is damaged: its footer can't be read ({first_line(error)})") from None
    if length - metadata.serialized_size == _SIGNATURE_BYTES:
        # pyarrow ends the process if it is asked for an encrypted column's place.
        raise ValueError(_ENCRYPTED)
    return Footer(metadata=metadata, schema=schema, checksum=zlib.crc32(data), begin=size - len(data))


def find_images(footer: Footer, column: str) -> int:
    """Return the number of the leaf that holds the images. Raise ValueError, with the columns that there are, if none.

    Leaves are what the file has of columns: a struct has one for each of its fields.
    """
    leaf = _find(footer, column, f"{column}.{_BYTES_FIELD}")
    if leaf is not None:
        if _is_binary(footer, leaf):
            return leaf
        raise ValueError(f"has a column `{column}` of {_type_of(footer, column)}; {_KINDS}")
    if column in footer.schema.names:
        raise ValueError(f"has a column `{column}` of {_type_of(footer, column)}; {_KINDS}")
    raise ValueError(f"has no column `{column}`; there are {_shown(footer)}. Say which one in source.parquet.column")


def find_name(footer: Footer, column: str) -> int:
    """Return the number of the leaf that holds the images' names, which are texts or integers. Raise as above."""
    leaf = _find(footer, column)
    if leaf is not None:
        leaf_schema = footer.metadata.schema.column(leaf)
        is_text = leaf_schema.physical_type == "BYTE_ARRAY" and leaf_schema.logical_type.type == "STRING"
        if leaf_schema.max_repetition_level == 0 and (is_text or leaf_schema.physical_type in ("INT32", "INT64")):
            return leaf
    if leaf is not None or column in footer.schema.names:
        raise ValueError(
            f"has a column `{column}` of {_type_of(footer, column)}; names are texts or integers, such as image.path"
        )
    raise ValueError(f"has no column `{column}`; there are {_shown(footer)}. Say which one in source.parquet.name")


def path_of(footer: Footer, leaf: int) -> str:
    """Return the leaf's name, of which there is one."""
    path: str = footer.metadata.schema.column(leaf).path
    return path


def open_column(footer: Footer, read: ReadRange, *, size: int) -> Any:
    """Return pyarrow's file, which reads a column from its beginning on, no further ahead than a page.

    The first request of a column is for _BUFFER_BYTES or a page, so `read` may well read ahead.
    """
    return pq.ParquetFile(
        _RangeFile(read, size),
        metadata=footer.metadata,
        buffer_size=_BUFFER_BYTES,
        # Otherwise a row group is in memory as a whole.
        pre_buffer=False,
        page_checksum_verification=True,
    )


def leaf_values(column: pa.Array) -> pa.Array:
    """Return the values of a column of which one leaf was read; null where a struct around it is null."""
    while pa.types.is_struct(column.type):
        (column,) = column.flatten()
    return column


def type_at(footer: Footer, path: str) -> pa.DataType:
    """Return the type of a column, which may lie in a struct (image.path). Raise ValueError if there is none."""
    fields = list(footer.schema)
    for name in [path] if path in footer.schema.names else path.split("."):
        types = [field.type for field in fields if field.name == name]
        if len(types) != 1:
            raise ValueError(f"has {'several columns' if types else 'no column'} `{path}`; there are {_shown(footer)}")
        fields = list(types[0]) if pa.types.is_struct(types[0]) else []
    return types[0]


def values_at(rows: pa.RecordBatch, path: str) -> pa.Array:
    """Return the values of a column of these rows, which may lie in a struct; null where the struct is null."""
    first, *inner = [path] if path in rows.schema.names else path.split(".")
    column = rows.column(first)
    for name in inner:
        column = column.flatten()[column.type.get_field_index(name)]
    return column


def too_large(group: int, size: int) -> str:
    """Return what is wrong with a file that has a page of this size."""
    return (
        f"has a page of {counted(size, 'byte')} in its row group {group}, more than the limit of {MAX_PAGE_BYTES:,}: "
        f"{SMALLER_PAGES}"
    )


class _RangeFile(io.RawIOBase):
    """What pyarrow needs of a file."""

    def __init__(self, read: ReadRange, size: int) -> None:
        self._read_range = read
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, at: int, whence: int = io.SEEK_SET) -> int:
        self._at = at + (0, self._at, self._size)[whence]
        return self._at

    def read(self, length: int = -1) -> bytes:  # or a bytearray, which pyarrow takes as well
        remaining = max(0, self._size - self._at)
        length = remaining if length < 0 else min(length, remaining)
        if not length:
            return b""
        data = self._read_range(self._at, length)
        self._at += len(data)
        return data  # type: ignore[return-value]


def _find(footer: Footer, *paths: str) -> int | None:
    """Return the number of the leaf at one of these paths. Raise ValueError if there are several."""
    columns = footer.metadata.schema
    leaves = [leaf for leaf in range(len(columns)) if columns.column(leaf).path in paths]
    if len(leaves) > 1:
        raise ValueError(f"has several columns that could be `{paths[0]}`; rename one")
    return leaves[0] if leaves else None


def _is_binary(footer: Footer, leaf: int) -> bool:
    column = footer.metadata.schema.column(leaf)
    is_bytes = column.physical_type in ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY")
    return is_bytes and column.logical_type.type == "NONE" and column.max_repetition_level == 0


def _type_of(footer: Footer, column: str) -> str:
    """Return the type of a column, or of the outermost one around a leaf."""
    name = column if column in footer.schema.names else column.partition(".")[0]
    places = footer.schema.get_all_field_indices(name)
    return str(footer.schema.field(places[0]).type) if places else "another type"


def _shown(footer: Footer) -> str:
    fields = [f"{field.name} ({field.type})" for field in footer.schema]
    more = f" and {len(fields) - _SHOWN_COLUMNS} more" if len(fields) > _SHOWN_COLUMNS else ""
    return ", ".join(fields[:_SHOWN_COLUMNS]) + more if fields else "none"
