"""The order in which a worker goes through the images: its own share front to back, then parts of the other shares.

A stretch is a run of images without a pause. The first is the worker's own share, including, if the job says so, the
rows with errors of parts that are finished. The second is whatever the other workers have left, as far as the worker's
budget of mini-batches allows. Each stretch ends with a mini-batch that may be padded, so that no finished row waits for
what comes next.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dueby_api.grid import Share
from dueby_api.parts import NONE, Parts, parts_of
from dueby_worker.output.parts import OpenPart
from dueby_worker.output.sink import KnownParts

# More candidates than any helper takes before it lists the sink again.
_MAX_CANDIDATES = 4096


@dataclass(kw_only=True)
class BatchBudget:
    """The mini-batches that one worker may run: M + 1 of the study, with M the job's `gpus.maxIterations`.

    A worker does its own share whatever its size: the plan made it fit, and a share of whole parts may need one
    mini-batch more. What the budget limits is help for others. A part is taken from another worker only if all its
    mini-batches fit, because a part that is begun must be finished.

    A stretch is filled into mini-batches without gaps and only its last one is padded. Some mini-batches are never run,
    because another worker has finished their parts in the meantime. The loop gives those back.

    `add_image`, `end_stretch` and `fits` are for the thread that hands out images, `give_back` for the model's thread.
    """

    mini_batch_size: int
    limit: int | None
    """The most mini-batches in all, M + 1; None: no limit."""
    _ended: int = 0
    """Mini-batches of the stretches that are over."""
    _images: int = 0
    """Images of the current stretch that were handed out."""
    _unused: int = 0
    """Mini-batches that were given back."""

    def add_image(self) -> None:
        """Count an image that is handed out."""
        self._images += 1

    def end_stretch(self) -> None:
        """Note that what follows begins a new mini-batch."""
        self._ended += self._batches(self._images)
        self._images = 0

    def give_back(self) -> None:
        """Note that a mini-batch need not be run."""
        self._unused += 1

    def fits(self, images: int) -> bool:
        """Return whether so many more images fit in the current stretch."""
        if self.limit is None:
            return True
        return self._ended + self._batches(self._images + images) - self._unused <= self.limit

    def _batches(self, images: int) -> int:
        return -(-images // self.mini_batch_size)


@dataclass(frozen=True, slots=True)
class Item:
    """One image to classify: where its row goes, and what to read."""

    part: OpenPart
    position: int
    """In the part."""
    index: int
    uri: str


Stretch = Iterator[Item]


@dataclass(kw_only=True)
class Order:
    """The stretches of one worker. One thread makes and consumes them, as far ahead of the model as images are read."""

    share: Share
    shares: Sequence[Share]
    place: int
    known_parts: KnownParts
    budget: BatchBudget
    open_part: Callable[[int], OpenPart]
    """Opens a part without any of its rows. It reads the part's URIs from the index."""
    open_retry: Callable[[int], OpenPart | None]
    """Opens a finished part with its rows, to compute those with errors again. None if it has no errors."""
    on_part: Callable[[int], None] = lambda part: None
    """Called with the next part of the share."""
    on_tails: Callable[[], None] = lambda: None
    """Called when the share is done."""

    def stretches(self, *, retry_failed: bool) -> Iterator[Stretch]:
        """Yield the worker's own share, then the tails of the other shares."""
        yield self._own_share(retry_failed=retry_failed)
        self.budget.end_stretch()
        self.on_tails()
        if not self.known_parts.is_complete:
            self.known_parts.refresh()
            yield self._tails()
            self.budget.end_stretch()

    def _own_share(self, *, retry_failed: bool) -> Stretch:
        for part in range(self.share.first, self.share.end):
            if self.known_parts.check(part):
                retried = self.open_retry(part) if retry_failed else None
                if retried is not None:
                    yield from self._items(retried)
            else:
                self.known_parts.begin(part)
                yield from self._items(self.open_part(part))
            self.on_part(part + 1)

    def _tails(self) -> Stretch:
        while (part := next_part(self._candidates(), self.shares, place=self.place)) is not None:
            if not self.known_parts.check(part):
                self.known_parts.begin(part)
                for item in self._items(self.open_part(part)):
                    yield item
                    # The owner or another helper was faster, so the rest need not be read.
                    if part in self.known_parts:
                        break
            self.known_parts.refresh()

    def _candidates(self) -> Parts:
        """Return the missing parts that fit in the budget. All parts have one size, but the last may be smaller."""
        missing, grid = self.known_parts.missing(), self.known_parts.grid
        if self.budget.fits(grid.part_size):
            return missing
        last = grid.parts - 1
        return parts_of([last]) if last in missing and self.budget.fits(grid.size(last)) else NONE

    def _items(self, part: OpenPart) -> Stretch:
        for position in part.waiting_positions():
            self.budget.add_image()
            yield Item(part, position, part.first + position, part.uris[position])


def next_part(missing: Parts, shares: Sequence[Share], *, place: int) -> int | None:
    """Return the part that worker `place` takes next, by a rule with one answer everywhere; None if none is missing.

    Owners go through their shares front to back. A helper therefore begins at the tail of the share with most left, and
    meets the owner at the owner's open part. That part is taken last, because it is the only one that a worker is
    surely computing, unless its owner is dead.

    Helpers don't communicate. Rendezvous hashing over the workers whose shares are done decides which of them takes
    which part. A new helper moves only the parts that it gets itself; the parts of a helper that died are left until
    the end, when every worker takes any part. So two workers compute the same part about once per helper that joins, at
    most, and then they write the same rows.

    `missing` are the parts that are neither in the sink nor taken by this worker already. A part that is in no share is
    treated as that of a dead owner.
    """
    if not missing:
        return None
    parts, owners, left = _near_parts(missing, shares)
    is_open = np.zeros(len(parts), dtype=bool)
    # The first missing part of a share is the one that its owner is computing.
    is_open[np.unique(owners, return_index=True)[1]] = True
    # The order in which a single helper takes them: from the end of the share with most left, open parts last.
    turns = np.lexsort((-parts, owners, -left[owners], is_open))[:_MAX_CANDIDATES]
    helpers = [worker for worker in range(len(shares)) if worker == place or not left[worker]]
    is_mine = _draw(parts[turns].astype(np.uint64), helpers) == place
    # Parts drawn by other helpers come after one's own, beginning with those that their helpers take last.
    rank = np.where(is_mine, 1, -1) * np.arange(len(turns))
    best = np.lexsort((rank, ~is_mine, is_open[turns]))
    return int(parts[turns[best[0]]])


def _near_parts(
    missing: Parts, shares: Sequence[Share]
) -> tuple[NDArray[np.int64], NDArray[np.intp], NDArray[np.int64]]:
    """Return missing parts, ascending, with the share that each is in, and how many parts each share misses.

    Of each share that misses some it is the first one, and of those that miss most so many at their ends as there are
    candidates. There may be millions of others. What is in no share is in share len(shares).
    """
    firsts, ends = np.array(missing.runs, dtype=np.int64).T
    before = np.concatenate(([0], np.cumsum(ends - firsts)))

    def count_before(edges: NDArray[np.int64]) -> NDArray[np.int64]:
        run = np.maximum(np.searchsorted(firsts, edges, side="right") - 1, 0)
        counts: NDArray[np.int64] = before[run] + np.clip(edges - firsts[run], 0, ends[run] - firsts[run])
        return counts

    # Between two edges, all parts are in the same share: the last one of several.
    edges = np.unique(np.array([(share.first, share.end) for share in shares] + [(0, ends[-1])], dtype=np.int64))
    owners = np.full(len(edges) - 1, len(shares), dtype=np.intp)
    for place, share in enumerate(shares):
        first, end = np.searchsorted(edges, (share.first, share.end))
        owners[first:end] = place
    low, high = count_before(edges[:-1]), count_before(edges[1:])
    low, high, owners = (values[low < high] for values in (low, high, owners))
    left = np.zeros(len(shares) + 1, dtype=np.int64)
    np.add.at(left, owners, high - low)
    present, piece = np.unique(owners, return_index=True)
    most = present[np.lexsort((present, -left[present]))]
    most = most[: int(np.searchsorted(np.cumsum(left[most] - 1), _MAX_CANDIDATES)) + 1]
    tails = [np.arange(max(low[i], high[i] - _MAX_CANDIDATES), high[i]) for i in np.flatnonzero(np.isin(owners, most))]
    ranks = np.unique(np.concatenate((low[piece], *tails)))
    run = np.searchsorted(before, ranks, side="right") - 1
    return firsts[run] + ranks - before[run], owners[np.searchsorted(low, ranks, side="right") - 1], left


def _draw(parts: NDArray[np.uint64], helpers: Sequence[int]) -> NDArray[np.intp]:
    """Return, for each part, the helper whose hash with the part is the highest."""
    best = np.zeros(len(parts), dtype=np.uint64)
    drawn = np.full(len(parts), helpers[0], dtype=np.intp)
    for helper in helpers:
        score = _mix(parts * np.uint64(0x9E3779B97F4A7C15) ^ _mix(np.array([helper + 1], dtype=np.uint64)))
        higher = score > best
        best[higher], drawn[higher] = score[higher], helper
    return drawn


def _mix(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Apply splitmix64's finaliser, in which each bit of the input changes half of the bits of the output."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))
