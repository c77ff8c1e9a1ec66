"""The order in which a worker goes through the images: its own share front to back, then parts of the other shares.

A stretch is a run of images without a pause. The first is the worker's own share, including, if the job says so, the
rows with errors of parts that are finished. The second is whatever the other workers have left, as far as the worker's
budget of mini-batches allows. Each stretch ends with a mini-batch that may be padded, so that no finished row waits for
what comes next.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from dueby_api.grid import Share
from dueby_worker.output.parts import OpenPart
from dueby_worker.output.sink import KnownParts
from dueby_worker.work.budget import BatchBudget
from dueby_worker.work.tails import next_part


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
    taken: set[int] = field(default_factory=set)
    """Parts that this worker has begun."""

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
                self.taken.add(part)
                yield from self._items(self.open_part(part))
            self.on_part(part + 1)

    def _tails(self) -> Stretch:
        while (part := next_part(self._candidates(), self.shares, place=self.place)) is not None:
            if not self.known_parts.check(part):
                self.taken.add(part)
                for item in self._items(self.open_part(part)):
                    yield item
                    # The owner or another helper was faster, so the rest need not be read.
                    if part in self.known_parts:
                        break
            self.known_parts.refresh()

    def _candidates(self) -> set[int]:
        """Return the missing parts that fit in the budget. All parts have one size, but the last may be smaller."""
        missing = self.known_parts.missing() - self.taken
        grid = self.known_parts.grid
        if self.budget.fits(grid.part_size):
            return missing
        last = grid.parts - 1
        return missing & {last} if self.budget.fits(grid.size(last)) else set()

    def _items(self, part: OpenPart) -> Stretch:
        for position in part.waiting_positions():
            self.budget.add_image()
            yield Item(part, position, part.first + position, part.uris[position])
