"""Images within larger objects: members of tars, and rows of Parquet files and Lance datasets."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import cast

from dueby_api.source import Source
from dueby_worker.images.fetch import MAX_IMAGE_BYTES, Fetcher
from dueby_worker.images.lance_rows import LanceReader, LanceRow, read_lance_row
from dueby_worker.images.members import BlockReader, TarMember, read_member
from dueby_worker.images.room import SMALL_FILE_BYTES, SharedRoom
from dueby_worker.images.row_groups import RANGES_AHEAD, ParquetRow, RowGroup, ask_pool, read_row
from dueby_worker.images.runs import BLOCKS_AHEAD, MAX_BLOCK_BYTES, Taken, hand_out, room_for_runs, runs_of, taken_from
from dueby_worker.storage.open_files import OpenFiles
from dueby_worker.storage.store import BytesOrReason

Place = TarMember | ParquetRow | LanceRow
PlaceOf = Callable[[int], Place]


class RowReader:
    """Reads the images of Parquet files, ahead of who takes them.

    Images come in the order of the index, which is that of the files, so a worker reads row group after row group. Runs
    of rows of a row group are decoded one after another, those of several row groups side by side.
    """

    def __init__(self, fetcher: Fetcher, row_of: Callable[[int], ParquetRow], *, threads: int) -> None:
        """Take the function that says where an image is, and how many ranges may be read at the same time."""
        self._fetcher = fetcher
        self._row_of = row_of
        self._footers = OpenFiles()
        self._ranges = ThreadPoolExecutor(threads, thread_name_prefix="ranges")
        # They wait for ranges, and for one another in the order in which they were begun.
        self._runs = ThreadPoolExecutor(BLOCKS_AHEAD + 2, thread_name_prefix="rows")
        self._room = room_for_runs()

    def read(self, items: Iterable[tuple[int, str]], *, most: int) -> Iterator[list[Taken]]:
        """Yield runs of items (index, URI), each with what waits for its bytes, read ahead as hand_out says."""
        last: _Opened | None = None

        def begin(run: list[tuple[int, str, ParquetRow]]) -> list[Taken]:
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
        return hand_out(runs, begin, most=most)

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


def object_of(place: Place) -> str:
    """Return the URI of the object that the image is in."""
    if isinstance(place, LanceRow):
        return place.dataset
    return place.shard if isinstance(place, TarMember) else place.file


def read_within(fetcher: Fetcher, place: Place, *, max_bytes: int = MAX_IMAGE_BYTES) -> bytes:
    """Return one image by requests of its own. Raise as `Fetcher.read` does, and Invalid if its object has changed."""
    if isinstance(place, TarMember):
        return read_member(fetcher, place, max_bytes=max_bytes)
    return read_lance_row(fetcher, place) if isinstance(place, LanceRow) else read_row(fetcher, place)


def reader_of(
    fetcher: Fetcher, place_of: PlaceOf, *, source: Source, threads: int
) -> BlockReader | RowReader | LanceReader:
    """Return what reads many of the source's images, ahead of who takes them."""
    if source.lance is not None:
        return LanceReader(fetcher, cast(Callable[[int], LanceRow], place_of), threads=threads)
    if source.parquet is not None:
        return RowReader(fetcher, cast(Callable[[int], ParquetRow], place_of), threads=threads)
    return BlockReader(fetcher, cast(Callable[[int], TarMember], place_of), threads=threads)
