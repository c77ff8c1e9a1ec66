"""Images that are read in runs of neighbours, ahead of who takes them: what tars, Parquet files and Lance share.

    items ──▶ runs_of: neighbours that are read together ──▶ hand_out: some runs are begun ahead ──▶ runs in order

How a run is read is for each of them (members.py, within.py, lance_rows.py). Its bytes have room in memory from
when it is begun until the last of its images was taken.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

from dueby_worker.images.fetch import GetImage
from dueby_worker.images.room import SMALL_FILE_BYTES, MemoryRoom, SharedRoom
from dueby_worker.storage.store import BLOCK_BYTES, BytesOrReason, Unavailable

# The most that is read at once. At 30 ms for a request, and 80 MB/s, reading it takes longer than asking for it.
MAX_BLOCK_BYTES = 4 * BLOCK_BYTES
# Runs that are being read while the images of another one are handed out.
BLOCKS_AHEAD = 4
# An image: its index, its URI and the function that waits for its bytes.
Taken = tuple[int, str, GetImage]
_Place = TypeVar("_Place")
_Located = TypeVar("_Located")


def room_for_runs() -> MemoryRoom:
    """Return room for all runs together. Those ahead and one more fit, or nobody would ever go on."""
    return MemoryRoom(2 * BLOCKS_AHEAD * SMALL_FILE_BYTES)


def runs_of(
    items: Iterable[tuple[int, str]],
    place_of: Callable[[int], _Place],
    *,
    most: int,
    joins: Callable[[list[tuple[int, str, _Place]], _Place], bool],
) -> Iterator[list[tuple[int, str, _Place]]]:
    """Yield runs of items (index, URI) with their places: up to `most`, as long as the next place joins the run."""
    run: list[tuple[int, str, _Place]] = []
    for index, uri in items:
        place = place_of(index)
        if run and (len(run) == most or not joins(run, place)):
            yield run
            run = []
        run.append((index, uri, place))
    if run:
        yield run


def hand_out(
    runs: Iterable[list[_Located]], begin: Callable[[list[_Located]], list[Taken]], *, most: int
) -> Iterator[list[Taken]]:
    """Yield the images of each run, which are to be taken before the next run is asked for, or else by another thread.

    Reading of the runs that follow begins before, of up to `most` images or BLOCKS_AHEAD runs. It is no gain to take
    more: another worker may do them in the meantime.
    """
    ahead: deque[list[Taken]] = deque()
    images = 0
    for run in runs:
        ahead.append(begin(run))
        images += len(run)
        while len(ahead) > BLOCKS_AHEAD or images - len(ahead[0]) >= most:
            images -= len(ahead[0])
            yield ahead.popleft()
    yield from ahead


def taken_from(
    data: Future[list[BytesOrReason]], share: SharedRoom, run: Sequence[tuple[int, str, object]]
) -> list[Taken]:
    """Return the images of a run whose values are being read, in room that they share."""
    return [(index, uri, partial(_take, data, share, place)) for place, (index, uri, _) in enumerate(run)]


def _take(run: Future[list[BytesOrReason]], share: SharedRoom, place: int, *, max_bytes: int) -> bytes:
    """Wait for the run and return an image, once. It is in memory already, whatever `max_bytes` says."""
    try:
        return require(run.result()[place])
    finally:
        share.let_go()


def require(value: BytesOrReason) -> bytes:
    """Return the image's bytes. Raise the reason why there are none."""
    if isinstance(value, Unavailable):
        raise value
    return value
