"""Row groups of images: where an image is, and reading the rows of a row group one after another.

The index says in which row group of which file an image is. A row group's column is read from front to back, once, in
ranges of 4 MiB, of which some are ahead of the one that is decoded:

    file:  | group 0: ... | group 1: label, image ....................... | footer |
                                            └ 4 MiB ┴ 4 MiB ┴ 4 MiB ┴ ...

How large a row group is makes no difference to the memory; a page is in memory as a whole (parquet_files.py). Whoever
begins in the middle of a row group passes over the pages before if they are large, and otherwise reads what is before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from dueby_api.errors import first_line
from dueby_worker.images.fetch import MAX_IMAGE_BYTES, Fetcher, changed
from dueby_worker.images.page_headers import WORTH_SKIPPING_BYTES, PageStart, find_start
from dueby_worker.images.parquet_files import (
    MAX_PAGE_BYTES,
    Footer,
    find_images,
    leaf_values,
    open_column,
    path_of,
    read_footer,
    too_large,
)
from dueby_worker.images.ranges import Ask, Spliced
from dueby_worker.images.runs import MAX_BLOCK_BYTES, require
from dueby_worker.storage.open_files import OpenFiles
from dueby_worker.storage.store import BytesOrReason, TooLarge, Unavailable

# Ranges of a row group that are being read beside the one that is decoded.
RANGES_AHEAD = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ParquetRow:
    """Where an image is."""

    file: str
    """URI of the file."""
    version: str
    """Version of the file when it was indexed."""
    column: str
    """The images' column."""
    footer: int
    """Checksum of the file's footer."""
    group: int
    """Its row group."""
    row: int
    """Its row in the row group."""
    length: int
    """How many bytes a row of the row group has, on average and unpacked."""

    @property
    def file_bytes(self) -> int:
        return int(self.version.partition(" ")[0])

    def is_beside(self, other: ParquetRow) -> bool:
        """Return whether the other is in the same row group."""
        return (self.file, self.group) == (other.file, other.group)


# What pyarrow raises for rows that it can't decode, and what a file's reader does for bytes that can't be read.
_FAULTS = (pa.ArrowException, OSError, StopIteration, Unavailable)


@dataclass(frozen=True, kw_only=True)
class RowsRead:
    """Some images of a row group, or why they can't be read, and how many bytes were read for them."""

    values: Sequence[BytesOrReason]
    read_bytes: int


def read_rows(
    fetcher: Fetcher, rows: Sequence[ParquetRow], *, pool: Executor | None = None, footers: OpenFiles | None = None
) -> RowsRead:
    """Return images of one row group, in ascending order of their rows, by requests of their own. Raise as Fetcher.

    With a pool, ranges are read in it, ahead, as workers do. `footers` are those that were read before.
    """
    ask = partial(_ask_now if pool is None else partial(ask_pool, pool), fetcher, rows[0])
    group = RowGroup(fetcher, rows[0], footers or OpenFiles(), ask, ahead=0 if pool is None else RANGES_AHEAD)
    values = group.take([row.row for row in rows], after=None)
    return RowsRead(values=values, read_bytes=group.taken_bytes)


def read_row(fetcher: Fetcher, row: ParquetRow) -> bytes:
    """Return one image by requests of its own. Raise as `Fetcher.read` does, and Invalid if its file has changed."""
    (value,) = read_rows(fetcher, [row]).values
    return require(value)


class RowGroup:
    """A row group's images, which are read from front to back. One thread at a time."""

    def __init__(self, fetcher: Fetcher, row: ParquetRow, footers: OpenFiles, ask: Ask, *, ahead: int) -> None:
        """Take one of its rows, what begins to read a range, and how many ranges are read ahead."""
        self._fetcher = fetcher
        self._row = row
        self._footers = footers
        self._ask = ask
        self._ahead = ahead
        self._column: Spliced | None = None
        self._at_once = max(1, MAX_BLOCK_BYTES // row.length)
        self._batches: Iterator[pa.RecordBatch] | None = None
        self._held: pa.Array | None = None
        self._begin = self._end = 0
        self._failure: Unavailable | None = None
        self._may_skip = True

    @property
    def taken_bytes(self) -> int:
        """How many bytes the ranges had that were used."""
        return self._column.taken_bytes if self._column is not None else 0

    def take(self, rows: Sequence[int], *, after: Future[list[BytesOrReason]] | None) -> list[BytesOrReason]:
        """Return the images of these rows, in ascending order and none before those of the last call.

        Raise Transient and Invalid as `Fetcher.read_range` does. What is after a fault can't be read either.
        """
        if after is not None:
            wait([after])
        return [self._value(row) for row in rows]

    def _value(self, row: int) -> BytesOrReason:
        if self._failure is None:
            try:
                self._advance(row)
            except MemoryError:
                # pyarrow's is one of its other exceptions, too, and says nothing of the row.
                raise
            except _FAULTS:
                # The fault is in one row of those that are decoded together.
                self._batches, self._held, self._at_once, self._may_skip = None, None, 1, False
                self._failure = self._find_fault(row)
        return self._failure or self._cell(row)

    def _find_fault(self, row: int) -> Unavailable | None:
        """Return why the row can't be read, row by row; None if it can. Raise Invalid if the file has changed."""
        self._fetcher.look_again(self._row.file)
        try:
            self._read_footer()
            self._advance(row)
        except MemoryError:
            raise
        except Unavailable as failure:
            return failure
        except _FAULTS as error:
            words = "it ends too early" if isinstance(error, StopIteration) else first_line(error)
            return Unavailable(f"row group {self._row.group} of its file is damaged: {words}")
        return None

    def _advance(self, row: int) -> None:
        """Read on until the row is held."""
        if self._batches is None:
            self._batches = self._open(row)
        while self._held is None or row >= self._end:
            self._held = leaf_values(next(self._batches).column(0))
            self._begin, self._end = self._end, self._end + len(self._held)

    def _cell(self, row: int) -> BytesOrReason:
        if self._held is None:
            raise RuntimeError(f"row {row} isn't held")
        cell = self._held[row - self._begin]
        if not cell.is_valid:
            return Unavailable(f"its row has none (`{self._row.column}` is null)")
        data = cell.as_buffer()
        if data.size > MAX_IMAGE_BYTES:
            return Unavailable(str(TooLarge(size=data.size, max_bytes=MAX_IMAGE_BYTES)))
        value: bytes = data.to_pybytes()
        return value

    def _open(self, first: int) -> Iterator[pa.RecordBatch]:
        """Begin to read, before or at this row of the row group."""
        row = self._row
        footer: Footer = self._footers.get(row.file, lambda _: self._read_footer())
        try:
            leaf = find_images(footer, row.column)
            begin, length = footer.chunk(row.group, leaf)
        except ValueError as error:
            raise changed(row.file, f"it {error}", field=self._fetcher.field) from None
        start = PageStart(begin=begin)
        if self._may_skip and first * row.length >= WORTH_SKIPPING_BYTES:
            start = find_start(lambda at, size: self._ask(at, size).result(), begin, length, row=first)
        self._end = start.row
        column = Spliced(
            self._ask, start, begin=begin, end=begin + length, block_bytes=MAX_BLOCK_BYTES, blocks=self._ahead
        )
        self._column = column

        def read(offset: int, length: int) -> bytes | bytearray:
            if length > MAX_PAGE_BYTES:
                raise Unavailable(f"its file {too_large(row.group, length)}")
            return column.read(offset, length)

        file = open_column(footer, read, size=row.file_bytes)
        return file.iter_batches(  # type: ignore[no-any-return]
            batch_size=self._at_once,
            row_groups=[row.group],
            columns=[path_of(footer, leaf)],
            use_threads=False,
        )

    def _read_footer(self) -> Footer:
        row = self._row

        def read(offset: int, length: int) -> bytes:
            return self._fetcher.read_range(row.file, offset, length, version=row.version)

        try:
            footer = read_footer(read, size=row.file_bytes)
        except ValueError as error:
            raise changed(row.file, f"it {error}", field=self._fetcher.field) from None
        if footer.checksum != row.footer:
            raise changed(row.file, "it has another footer", field=self._fetcher.field)
        return footer


def ask_pool(pool: Executor, fetcher: Fetcher, row: ParquetRow, offset: int, length: int) -> Future[bytes]:
    """Read in one of the pool's threads."""
    return pool.submit(fetcher.read_range, row.file, offset, length, version=row.version)


def _ask_now(fetcher: Fetcher, row: ParquetRow, offset: int, length: int) -> Future[bytes]:
    answer: Future[bytes] = Future()
    answer.set_result(fetcher.read_range(row.file, offset, length, version=row.version))
    return answer
