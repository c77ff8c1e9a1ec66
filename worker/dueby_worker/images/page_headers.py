"""The headers of a column's pages in a Parquet file, which say how many rows follow in how many bytes.

pyarrow reads a row group's column from its beginning on. Where much lies before the first row that is wanted, the
headers of large pages are read here one after another, and the pages between them aren't.

A header is a Thrift struct in the compact protocol: a byte with a field's type and the distance of its number from that
of the field before, then the value. Integers are varints, zigzag.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

ReadRange = Callable[[int, int], bytes | bytearray]

# What is read for a header. With an image as its least or largest value it is longer, and then can't be told.
HEADER_BYTES = 4096
# Smaller pages are read rather than passed over: the next header costs a request.
WORTH_SKIPPING_BYTES = 4 * 1024**2
_DATA, _DICTIONARY, _DATA_V2 = 0, 2, 3
_PLAIN = 0
# Types of Thrift's compact protocol.
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 12
_INTEGERS = (4, 5, 6)
# No header is deeper, and none has a longer list.
_MAX_DEPTH, _MAX_ITEMS = 8, 1000


@dataclass(frozen=True, kw_only=True)
class PageHeader:
    """What a page's header says."""

    kind: int
    values: int
    """Rows, null ones included; 0 if it is no page of data."""
    is_plain: bool
    """Whether its values need no dictionary."""
    unpacked_bytes: int
    packed_bytes: int
    header_bytes: int

    @property
    def end(self) -> int:
        """Where the next page begins, from where this one does."""
        return self.header_bytes + self.packed_bytes


@dataclass(frozen=True, kw_only=True)
class PageStart:
    """Where to begin to read a column."""

    row: int = 0
    """The first row that is read."""
    begin: int
    """Where its page begins."""
    dictionary: tuple[int, int] | None = None
    """Where the dictionary that the pages need begins and ends; None if they need none."""


def find_start(read: ReadRange, begin: int, length: int, *, row: int) -> PageStart:
    """Return from where a column of these bytes is read best, if nothing before the row is wanted."""
    at, passed = begin, 0
    dictionary: tuple[int, int] | None = None
    while at < begin + length:
        header = parse_header(read(at, min(HEADER_BYTES, begin + length - at)))
        if header is None:
            # pyarrow may know it all the same.
            return PageStart(row=passed, begin=at, dictionary=dictionary)
        if header.kind == _DICTIONARY:
            dictionary = (at, at + header.end)
        elif header.kind in (_DATA, _DATA_V2):
            if passed + header.values > row or header.packed_bytes < WORTH_SKIPPING_BYTES:
                return PageStart(row=passed, begin=at, dictionary=None if header.is_plain else dictionary)
            passed += header.values
        at += header.end
    return PageStart(begin=begin)


def parse_header(data: bytes | bytearray) -> PageHeader | None:
    """Return what a header says; None if there is none, or if it is longer than the data."""
    try:
        fields, end = _struct(data, 0, 0)
        about = fields.get(8) or fields.get(5) or {}
        header = PageHeader(
            kind=fields[1],
            values=about.get(1, 0),
            is_plain=about.get(4 if 8 in fields else 2) == _PLAIN,
            unpacked_bytes=fields[2],
            packed_bytes=fields[3],
            header_bytes=end,
        )
    except (LookupError, ValueError):
        return None
    is_sound = min(header.values, header.unpacked_bytes, header.packed_bytes) >= 0
    return header if is_sound else None


def _struct(data: bytes | bytearray, at: int, depth: int) -> tuple[dict[int, Any], int]:
    """Return the fields of the struct that begins at `at`, and where it ends."""
    if depth > _MAX_DEPTH:
        raise ValueError("too deep")
    fields: dict[int, Any] = {}
    number = 0
    while head := data[at]:
        at += 1
        if head >> 4:
            number += head >> 4
        else:
            number, at = _integer(data, at)
        fields[number], at = _value(data, at, head & 0xF, depth)
    return fields, at + 1


def _value(data: bytes | bytearray, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in (_TRUE, _FALSE):
        return kind == _TRUE, at
    if kind == _BYTE:
        return data[at], at + 1
    if kind in _INTEGERS:
        return _integer(data, at)
    if kind == _DOUBLE:
        return None, at + 8
    if kind == _BINARY:
        size, at = _varint(data, at)
        return None, at + size
    if kind in (_LIST, _SET):
        return None, _after_list(data, at, depth)
    if kind == _STRUCT:
        return _struct(data, at, depth + 1)
    raise ValueError(f"type {kind}")


def _after_list(data: bytes | bytearray, at: int, depth: int) -> int:
    size, kind, at = data[at] >> 4, data[at] & 0xF, at + 1
    if size == 15:
        size, at = _varint(data, at)
    if size > _MAX_ITEMS:
        raise ValueError("too long")
    for _ in range(size):
        # In a list, a truth value has a byte of its own.
        at = at + 1 if kind in (_TRUE, _FALSE) else _value(data, at, kind, depth + 1)[1]
    return at


def _integer(data: bytes | bytearray, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def _varint(data: bytes | bytearray, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("too long")
