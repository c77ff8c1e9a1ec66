"""Images in Parquet files, ahead of who takes them.

Images come in the order of the index, which is that of the files, so a worker reads row group after row group. Runs of
rows of a row group are decoded one after another, those of several row groups side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from dueby_worker.images.fetch import Fetcher, GetImage
from dueby_worker.images.room import SMALL_FILE_BYTES, SharedRoom
from dueby_worker.images.row_groups import RANGES_AHEAD, ParquetRow, RowGroup, ask_pool
from dueby_worker.images.runs import BLOCKS_AHEAD, MAX_BLOCK_BYTES, hand_out, room_for_runs, runs_of, taken_from
from dueby_worker.storage.open_files import OpenFiles
from dueby_worker.storage.store import BytesOrReason


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
        self._room = room_for_runs()

    def read(self, items: Iterable[tuple[int, str]], *, most: int) -> Iterator[tuple[int, str, GetImage]]:
        """Yield each item (index, URI) with the function that waits for its bytes, read ahead as hand_out says."""
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
            return taken_from(last.data, share, run)

        runs = runs_of(items, self._row_of, most=most, joins=_goes_on)
        yield from hand_out(runs, begin, most=most)

    def close(self) -> None:
        """Begin no more reading. The fetcher's waits must have been cancelled."""
        # The runs first: they ask for ranges.
        self._runs.shutdown(wait=False, cancel_futures=True)
        self._ranges.shutdown(wait=True, cancel_futures=True)
        self._runs.shutdown(wait=True)

    def _open(self, row: ParquetRow) -> RowGroup:
        ask = partial(ask_pool, self._ranges, self._fetcher, row)
        return RowGroup(self._fetcher, row, self._footers, ask, ahead=RANGES_AHEAD)


def _goes_on(run: Sequence[tuple[int, str, ParquetRow]], row: ParquetRow) -> bool:
    """Return whether the row comes after those of the run, in their row group, and the run isn't too large then."""
    last = run[-1][2]
    return last.is_beside(row) and last.row < row.row and (len(run) + 1) * row.length <= MAX_BLOCK_BYTES


@dataclass(kw_only=False)
class _Opened:
    """A row group that is being read, and the last row and run that were asked of it."""

    group: RowGroup
    row: ParquetRow
    data: Future[list[BytesOrReason]] | None = None

    def goes_on_with(self, row: ParquetRow) -> bool:
        return self.row.is_beside(row) and (self.data is None or self.row.row < row.row)
