"""Images in Parquet files, ahead of who takes them.

Images come in the order of the index, which is that of the files, so a worker reads row group after row group. Runs of
rows of a row group are decoded one after another, those of several row groups side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from dueby_worker.images.fetch import Fetcher, GetImage
from dueby_worker.images.members import BLOCKS_AHEAD, MAX_BLOCK_BYTES, hand_out
from dueby_worker.images.room import SMALL_FILE_BYTES, Room, SharedRoom
from dueby_worker.images.row_groups import RANGES_AHEAD, ParquetRow, RowGroup, Value, ask_pool, require
from dueby_worker.storage.open_files import OpenFiles

# For all runs of rows together. Those ahead and one more must fit, or nobody would ever go on.
_ROOM_BYTES = 2 * BLOCKS_AHEAD * SMALL_FILE_BYTES


class RowReader:
    """Reads the images of Parquet files, ahead of who takes them."""

    def __init__(self, fetcher: Fetcher, row_of: Callable[[int], ParquetRow], *, threads: int) -> None:
        """Take the function that says where an image is, and how many ranges may be read at the same time."""
        self._fetcher = fetcher
        self._row_of = row_of
        self._footers = OpenFiles()
        self._ranges = ThreadPoolExecutor(threads, thread_name_prefix="ranges")
        # They wait for ranges, and for one another in the order in which they were begun.
        self._runs = ThreadPoolExecutor(BLOCKS_AHEAD + 2, thread_name_prefix="rows")
        self._room = Room(_ROOM_BYTES)

    def read(self, items: Iterable[tuple[int, str]], *, most: int) -> Iterator[tuple[int, str, GetImage]]:
        """Yield each item (index, URI) with the function that waits for its bytes, as BlockReader does."""
        last: _Opened | None = None

        def begin(run: list[tuple[int, str, ParquetRow]]) -> list[tuple[int, str, GetImage]]:
            nonlocal last
            rows = [row for _, _, row in run]
            if last is None or not last.goes_on_with(rows[0]):
                last = _Opened(self._open(rows[0]), rows[0])
            size = min(rows[0].length * len(rows), SMALL_FILE_BYTES)
            share = SharedRoom(self._room, size, images=len(rows))
            last.data = self._runs.submit(last.group.take, [row.row for row in rows], after=last.data)
            last.row = rows[-1]
            return [(index, uri, partial(_take, last.data, share, place)) for place, (index, uri, _) in enumerate(run)]

        yield from hand_out(self._groups(items, most), begin, most=most)

    def close(self) -> None:
        """Begin no more reading. The fetcher's waits must have been cancelled."""
        # The runs first: they ask for ranges.
        self._runs.shutdown(wait=False, cancel_futures=True)
        self._ranges.shutdown(wait=True, cancel_futures=True)
        self._runs.shutdown(wait=True)

    def _open(self, row: ParquetRow) -> RowGroup:
        ask = partial(ask_pool, self._ranges, self._fetcher, row)
        return RowGroup(self._fetcher, row, self._footers, ask, ahead=RANGES_AHEAD)

    def _groups(self, items: Iterable[tuple[int, str]], most: int) -> Iterator[list[tuple[int, str, ParquetRow]]]:
        """Yield runs of rows of one row group, of about so many bytes as blocks have."""
        run: list[tuple[int, str, ParquetRow]] = []
        for index, uri in items:
            row = self._row_of(index)
            if run and not (
                len(run) < most
                and run[-1][2].is_beside(row)
                and run[-1][2].row < row.row
                and (len(run) + 1) * row.length <= MAX_BLOCK_BYTES
            ):
                yield run
                run = []
            run.append((index, uri, row))
        if run:
            yield run


@dataclass(kw_only=False)
class _Opened:
    """A row group that is being read, and the last row and run that were asked of it."""

    group: RowGroup
    row: ParquetRow
    data: Future[list[Value]] | None = None

    def goes_on_with(self, row: ParquetRow) -> bool:
        return self.row.is_beside(row) and (self.data is None or self.row.row < row.row)


def _take(run: Future[list[Value]], share: SharedRoom, place: int, *, max_bytes: int) -> bytes:
    """Wait for the run and return an image, once. It is in memory already, whatever `max_bytes` says."""
    try:
        return require(run.result()[place])
    finally:
        share.let_go()
