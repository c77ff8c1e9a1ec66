"""Which part a worker takes when its own share is done: pure, and the same conclusion in every process.

Owners go through their shares front to back, so help comes from the tail of the share with most left and meets the
owner at its open part, which is taken last: it is the only one that somebody is surely working on, unless he is dead.

Helpers don't talk to each other. Which one of them takes which part is drawn by rendezvous hashing over the workers
whose shares are done: with the same listing they all draw the same, one more helper moves only the parts that it gets
itself, and a helper that died merely leaves its parts for the end, when everyone takes anyone's. So two workers do
the same part at most about once when one of them joins, and then they write the same rows.
"""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from dueby_api.grid import Share

# More candidates than any helper gets through before it lists the sink again.
_MAX_CANDIDATES = 4096


def next_part(missing: Collection[int], shares: Sequence[Share], *, place: int) -> int | None:
    """The part that worker `place` takes next, or None where nothing is missing.

    `missing` are the parts that are neither in the sink nor already taken by this worker. One that lies in no share
    belongs to nobody, and is taken as a dead owner's.
    """
    parts = np.sort(np.fromiter(missing, dtype=np.int64, count=len(missing)))
    owners = _owners(parts, shares)
    left = np.bincount(owners, minlength=len(shares) + 1)
    is_open = np.zeros(len(parts), dtype=bool)
    is_open[np.unique(owners, return_index=True)[1]] = True
    # The order in which a helper that is alone takes them: from the end of the share with most left, open parts last.
    turns = np.lexsort((-parts, owners, -left[owners], is_open))[:_MAX_CANDIDATES]
    helpers = [worker for worker in range(len(shares)) if worker == place or not left[worker]]
    is_mine = _draw(parts[turns].astype(np.uint64), helpers) == place
    # Somebody else's parts come after one's own, and from the end that he comes to last.
    rank = np.where(is_mine, 1, -1) * np.arange(len(turns))
    best = np.lexsort((rank, ~is_mine, is_open[turns]))
    return int(parts[turns[best[0]]]) if len(best) else None


def _owners(parts: NDArray[np.int64], shares: Sequence[Share]) -> NDArray[np.intp]:
    """The place of the share that each part lies in, and len(shares) for those in none."""
    owners = np.full(len(parts), len(shares), dtype=np.intp)
    for place, share in enumerate(shares):
        first, end = np.searchsorted(parts, (share.first, share.end))
        owners[first:end] = place
    return owners


def _draw(parts: NDArray[np.uint64], helpers: Sequence[int]) -> NDArray[np.intp]:
    """The helper whose hash with the part is the highest, for each part."""
    best = np.zeros(len(parts), dtype=np.uint64)
    drawn = np.full(len(parts), helpers[0], dtype=np.intp)
    for helper in helpers:
        score = _mix(parts * np.uint64(0x9E3779B97F4A7C15) ^ _mix(np.array([helper + 1], dtype=np.uint64)))
        higher = score > best
        best[higher], drawn[higher] = score[higher], helper
    return drawn


def _mix(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64's finaliser: every bit of the input changes half of the output's."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))
