"""In which order a worker goes through the images: its own share front to back, then the tails of others.

A stretch is a run of images without a pause. The first is the worker's share (before it, if the job says so, the rows
with errors of finished parts); the second is whatever the others have left. Each ends with a mini-batch that may be
padded, so that no finished row waits for what comes next.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from dueby_api.grid import Share
from dueby_worker.output.parts import OpenPart
from dueby_worker.output.sink import Holdings
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
    """The stretches of one worker; made and consumed by one thread, as far ahead of the model as is decoded ahead."""

    share: Share
    shares: Sequence[Share]
    place: int
    holdings: Holdings
    open_part: Callable[[int], OpenPart]
    """A part with none of its rows, which takes reading its URIs from the index."""
    open_retry: Callable[[int], OpenPart | None]
    """A finished part with its rows, to do those with errors over; None where it has none."""
    on_part: Callable[[int], None] = lambda part: None
    """Told the next part of the share."""
    on_tails: Callable[[], None] = lambda: None
    """Told that the share is done."""
    taken: set[int] = field(default_factory=set)
    """Parts that this worker has begun."""

    def stretches(self, *, retry_failed: bool) -> Iterator[Stretch]:
        """The own share, then the tails of the others'."""
        yield self._own_share(retry_failed=retry_failed)
        self.on_tails()
        if not self.holdings.is_complete:
            self.holdings.refresh()
            yield self._tails()

    def _own_share(self, *, retry_failed: bool) -> Stretch:
        for part in range(self.share.first, self.share.end):
            if self.holdings.look(part):
                retried = self.open_retry(part) if retry_failed else None
                if retried is not None:
                    yield from _items(retried)
            else:
                self.taken.add(part)
                yield from _items(self.open_part(part))
            self.on_part(part + 1)

    def _tails(self) -> Stretch:
        while (part := next_part(self.holdings.missing() - self.taken, self.shares, place=self.place)) is not None:
            if not self.holdings.look(part):
                self.taken.add(part)
                yield from takewhile(lambda item: item.part.part not in self.holdings, _items(self.open_part(part)))
            self.holdings.refresh()


def _items(part: OpenPart) -> Stretch:
    for position in part.waiting_positions():
        yield Item(part, position, part.first + position, part.uris[position])
