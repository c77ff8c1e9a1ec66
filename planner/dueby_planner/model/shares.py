"""The run of whole parts that each worker does.

Shares are in the ratio of what the workers are planned to do, and cover every part exactly once. They depend on nothing
but their input, so that a restarted operator cuts the same ones.
"""

from collections.abc import Sequence
from typing import Protocol

from dueby_api.grid import Share


def cut_shares(parts: int, planned: Sequence[int]) -> tuple[Share, ...]:
    """Return one share per worker, in order, in the ratio of `planned` (images each; not all 0), covering 0..parts-1.

    The rounding is cumulative: worker i ends at floor(parts * sum(planned[:i+1]) / sum(planned)). So every share
    differs from its exact length by less than a part.
    """
    total = sum(planned)
    shares, done, first = [], 0, 0
    for images in planned:
        done += images
        end = parts * done // total
        shares.append(Share(first=first, end=end))
        first = end
    return tuple(shares)


class Numbers(Protocol):
    """Ascending numbers, such as a list or Parts."""

    def __len__(self) -> int:
        """Return how many there are."""

    def __getitem__(self, place: int, /) -> int:
        """Return the number at the place."""


def cut_runs(missing: Numbers, planned: Sequence[int]) -> tuple[Share, ...]:
    """Return one contiguous share per worker that together hold every missing part (ascending) once, for a re-plan.

    A share may include parts that are done; workers skip those.
    """
    cuts = cut_shares(len(missing), planned)
    return tuple(
        Share(first=missing[cut.first], end=missing[cut.end - 1] + 1) if len(cut) else Share(first=0, end=0)
        for cut in cuts
    )
