"""Which devices a job uses: those of spot nodes, which may be taken away at any time, others, or both."""

from typing import Literal

SpotUse = Literal["Prefer", "Avoid", "Only"]


def is_used(use: SpotUse, *, spot: bool) -> bool:
    """Return whether a job with this `gpus.spot` uses devices that are spot, or that aren't."""
    return use == "Prefer" or (use == "Only") == spot
