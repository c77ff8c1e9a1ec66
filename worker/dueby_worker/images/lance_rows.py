"""Images in Lance datasets: where they are, and reading neighbours with one call, ahead of who takes them.

A version of a dataset never changes, so an image is its row's number in the version that was indexed. Rows can be read
from anywhere at the cost of a request or two, so a run of them is read as a block of a tar is: by one call, in which
neighbours are one request. Several runs are read side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from dueby_api.errors import Invalid, Transient
from dueby_worker.images.fetch import MAX_IMAGE_BYTES, Fetcher, changed
from dueby_worker.images.room import SMALL_FILE_BYTES, SharedRoom
from dueby_worker.images.runs import MAX_BLOCK_BYTES, Taken, hand_out, require, room_for_runs, runs_of, taken_from
from dueby_worker.storage.lance_datasets import LanceDataset, forget_dataset, opened_dataset
from dueby_worker.storage.retry import RetryPolicy
from dueby_worker.storage.store import BytesOrReason, NotFound, Unavailable
from dueby_worker.storage.stores import open_store
from dueby_worker.storage.uris import split

# Of a dataset, below its URI: there is a file in it for each version.
VERSIONS = "_versions"
_ONCE = RetryPolicy(total_s=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LanceRow:
    """Where an image is."""

    dataset: str
    """URI of the dataset."""
    version: int
    """Version of the dataset that was indexed."""
    checksum: int
    """Checksum of that version's files: a dataset that is made again begins with version 1."""
    column: str
    """The images' column."""
    row: int
    """Its row in the version, of those that aren't deleted, from 0."""
    length: int
    """How many bytes an image of the column has on average."""


class LanceReader:
    """Reads the images of a Lance dataset, ahead of who takes them."""

    def __init__(self, fetcher: Fetcher, row_of: Callable[[int], LanceRow], *, threads: int) -> None:
        self._fetcher = fetcher
        self._row_of = row_of
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="lance")
        self._room = room_for_runs()

    def read(self, items: Iterable[tuple[int, str]], *, most: int) -> Iterator[list[Taken]]:
        """Yield runs of items (index, URI), each with what waits for its bytes, read ahead as hand_out says."""
        runs = runs_of(items, self._row_of, most=most, joins=_has_room)
        return hand_out(runs, self._begin, most=most)

    def close(self) -> None:
        """Begin no more runs. The fetcher's waits must have been cancelled."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _begin(self, run: list[tuple[int, str, LanceRow]]) -> list[Taken]:
        rows = [row for _, _, row in run]
        size = min(rows[0].length * len(rows), SMALL_FILE_BYTES)
        share = SharedRoom(self._room, size, images=len(rows))
        data = self._pool.submit(_read_rows, self._fetcher, rows)
        return taken_from(data, share, run)


def _has_room(run: Sequence[tuple[int, str, LanceRow]], row: LanceRow) -> bool:
    """Return whether the run has about so many bytes as a block with this row, too."""
    return (len(run) + 1) * row.length <= MAX_BLOCK_BYTES


def read_lance_row(fetcher: Fetcher, row: LanceRow) -> bytes:
    """Return one image by a call of its own. Raise as `Fetcher.read` does, and Invalid if its version is gone."""
    return require(_read_rows(fetcher, [row])[0])


def _read_rows(fetcher: Fetcher, rows: Sequence[LanceRow]) -> list[BytesOrReason]:
    """Return the images of these rows, or why they have none, of one dataset. Raise Invalid and Transient."""
    first = rows[0]

    def read_once() -> list[BytesOrReason]:
        dataset = _open(fetcher, first)
        return dataset.take(first.column, [row.row for row in rows], max_bytes=MAX_IMAGE_BYTES)

    try:
        return fetcher.persist(read_once, what=first.dataset, require_source=partial(_look_again, fetcher, first))
    except Unavailable as failure:
        if len(rows) == 1:
            return [failure]
    # One of them is at fault, and the others need not be.
    return [value for row in rows for value in _read_rows(fetcher, [row])]


def _open(fetcher: Fetcher, row: LanceRow) -> LanceDataset:
    """Return the version that was indexed. Raise Invalid if another one has taken its place."""
    dataset = opened_dataset(row.dataset, row.version)
    if dataset.checksum != row.checksum:
        raise changed(row.dataset, f"its version {row.version} has other files", field=fetcher.field)
    return dataset


def _look_again(fetcher: Fetcher, row: LanceRow) -> None:
    """Open the version again. Raise Transient if the dataset is away, and Invalid if only this version of it is."""
    forget_dataset(row.dataset, row.version)
    try:
        _open(fetcher, row)
    except NotFound as failure:
        root, path = split(row.dataset)
        if open_store(root, field=fetcher.field, retry=_ONCE).is_folder(f"{path.rstrip('/')}/{VERSIONS}"):
            raise Invalid(
                fetcher.field,
                f"{row.dataset} has its version {row.version} no more, which the job was indexed from: it was cleaned "
                "up, or the dataset was made again. Give the job a new sink, or set sink.ifExists: Overwrite",
            ) from failure
        raise Transient(f"{row.dataset} is not there; is the source gone?") from failure
    except Unavailable as failure:
        raise Transient(f"{row.dataset} can't be opened: {failure}") from failure
