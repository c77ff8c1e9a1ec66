"""What S + W of a worker consists of, part by part: in progress, in a run's record, and in what jobs have shown.

Workers and operators of several versions read each other's, so parts are named in a mapping, and whoever reads one
takes those that it knows.
"""

from collections.abc import Iterable, Mapping
from statistics import fmean
from types import MappingProxyType
from typing import Annotated, Literal, get_args

from dueby_api.schema import Meta
from dueby_api.units import format_duration

# In the order of time.
StartPart = Literal["node", "schedule", "pull", "import", "load", "images", "firstBatch"]
START_PARTS: tuple[StartPart, ...] = get_args(StartPart)
WORDS: Mapping[StartPart, str] = MappingProxyType(
    {
        "node": "until a node was ready that was asked for",
        "schedule": "until a node had the pod",
        "pull": "image and volumes",
        "import": "process and imports",
        "load": "network and engine",
        "images": "first images",
        "firstBatch": "first mini-batch",
    }
)
"""What people read. `node` and `schedule` are before S, and `firstBatch` is W."""
StartParts = Annotated[
    dict[Annotated[str, Meta(max_length=16)], Annotated[int, Meta(ge=0, le=10**15)]], Meta(max_length=8)
]
"""How long each part took, in microseconds; those that are not over, or that nobody knows, are absent."""


def mean_parts(workers: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return the mean of each part over the workers that know it, in the order of time."""
    starts = list(workers)
    known = {part: [parts[part] for parts in starts if part in parts] for part in START_PARTS}
    return {part: round(fmean(micros)) for part, micros in known.items() if micros}


def start_words(parts: Mapping[str, int]) -> str:
    """Return `process and imports 900ms, network and engine 2.3s`."""
    return ", ".join(f"{WORDS[part]} {format_duration(parts[part])}" for part in START_PARTS if part in parts)
