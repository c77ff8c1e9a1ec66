"""torch's CUDA allocator: read in the process that uses it, which alone can see it, and made into features by the
monitor.

The study's monitor computes fragmentation from `memory_snapshot()`. That lists every block under the allocator's lock;
the sums it needs are among the statistics, so they are taken from there.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from dueby_profiler.monitor.features.gpu_features import STATISTICS
from dueby_profiler.monitor.readers.status_page import MISSING

_PATHS = [path.split(".") for path in STATISTICS]
_NAMES = [feature.name for feature in STATISTICS.values()]


def read_statistics() -> list[int] | None:
    """Return the allocator's statistics in the order of STATISTICS; None if the process uses no GPU."""
    import torch

    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return None
    return pick(torch.cuda.memory_stats_as_nested_dict())


def pick(nested: Mapping[str, Any]) -> list[int]:
    """Return those statistics that are features, out of all of them."""
    return [_follow(nested, path) for path in _PATHS]


def _follow(nested: Mapping[str, Any], path: Sequence[str]) -> int:
    level: Any = nested
    for name in path:
        if name not in level:  # another version of torch
            return MISSING
        level = level[name]
    return int(level)


def allocator_features(statistics: Sequence[int]) -> dict[str, float]:
    """Return the statistics and the seven ratios as features; what is missing, or a ratio over 0, is omitted."""
    features: dict[str, float] = {
        name: value for name, value in zip(_NAMES, statistics, strict=False) if value != MISSING
    }

    def now(path: str) -> float | None:
        return features.get(f"torch_{path}_current")

    ratios = {
        "fragmentation": _ratio(now("allocated_bytes_all"), now("reserved_bytes_all")),
        "segment_mean_bytes": _ratio(now("requested_bytes_all"), now("segment_all")),
        "large_segment_mean_bytes": _ratio(now("requested_bytes_large_pool"), now("segment_large_pool")),
        "small_segment_mean_bytes": _ratio(now("requested_bytes_small_pool"), now("segment_small_pool")),
        "active_block_mean_bytes": _ratio(now("active_bytes_all"), now("active_all")),
        "inactive_block_mean_bytes": _ratio(now("inactive_split_bytes_all"), now("inactive_split_all")),
        "rounding_bytes": _difference(now("allocated_bytes_all"), now("requested_bytes_all")),
    }
    return features | {f"torch_{name}": value for name, value in ratios.items() if value is not None}


def _ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None


def _difference(more: float | None, less: float | None) -> float | None:
    return more - less if more is not None and less is not None else None
