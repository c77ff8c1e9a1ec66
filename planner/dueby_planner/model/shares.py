"""Which run of whole parts each worker does.

Shares are cut in the ratio of what each worker is planned to do, cover every part exactly once and depend on nothing
but their input.
"""

from collections.abc import Sequence

from dueby_api.grid import Share


def cut_shares(parts: int, planned: Sequence[int]) -> tuple[Share, ...]:
    """One share per worker, in order, in the ratio of `planned` (images each; not all 0), covering 0..parts-1 once.

    Cumulative rounding: worker i ends at floor(parts * sum(planned[:i+1]) / sum(planned)), so no share is off its
    exact length by a whole part or more.
    """
    total = sum(planned)
    shares, done, first = [], 0, 0
    for images in planned:
        done += images
        end = parts * done // total
        shares.append(Share(first=first, end=end))
        first = end
    return tuple(shares)


def cut_runs(missing: Sequence[int], planned: Sequence[int]) -> tuple[Share, ...]:
    """Shares over the parts still missing (ascending), for a re-plan: one contiguous run per worker.

    A run may span parts that are done; workers skip those. Together the runs hold every missing part once.
    """
    cuts = cut_shares(len(missing), planned)
    return tuple(
        Share(first=missing[cut.first], end=missing[cut.end - 1] + 1) if len(cut) else Share(first=0, end=0)
        for cut in cuts
    )
