"""Choose the part that a worker takes when its own share is done: a pure function, with the same answer everywhere.

Owners go through their shares front to back. A helper therefore begins at the tail of the share with most left, and
meets the owner at the owner's open part. That part is taken last, because it is the only one that a worker is surely
computing, unless its owner is dead.

Helpers don't communicate. Rendezvous hashing over the workers whose shares are done decides which of them takes which
part. Helpers that see the same listing decide alike; a new helper moves only the parts that it gets itself; the parts
of a helper that died are left until the end, when every worker takes any part. So two workers compute the same part
about once per helper that joins, at most, and then they write the same rows.
"""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from dueby_api.grid import Share

# More candidates than any helper takes before it lists the sink again.
_MAX_CANDIDATES = 4096


def next_part(missing: Collection[int], shares: Sequence[Share], *, place: int) -> int | None:
    """Return the part that worker `place` takes next; None if nothing is missing.

    `missing` are the parts that are neither in the sink nor taken by this worker already. A part that is in no share is
    treated as that of a dead owner.
    """
    parts = np.sort(np.fromiter(missing, dtype=np.int64, count=len(missing)))
    owners = _owners(parts, shares)
    left = np.bincount(owners, minlength=len(shares) + 1)
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
    return int(parts[turns[best[0]]]) if len(best) else None


def _owners(parts: NDArray[np.int64], shares: Sequence[Share]) -> NDArray[np.intp]:
    """Return the index of the share that each part lies in; len(shares) for parts in no share."""
    owners = np.full(len(parts), len(shares), dtype=np.intp)
    for place, share in enumerate(shares):
        first, end = np.searchsorted(parts, (share.first, share.end))
        owners[first:end] = place
    return owners


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
