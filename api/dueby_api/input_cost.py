"""What getting and decoding an image costs: a property of the job's images, sampled when the source is indexed.

A profile measures the model alone. How this cost changes a step is in dueby_planner/model/input_cost.py.
"""

from typing import Annotated

from dueby_api.schema import LenientSpec, Meta, field

PerImage = Annotated[float, Meta(ge=0, le=10**12)]


class InputCost(LenientSpec, frozen=True, kw_only=True):
    """Cost of one image, as the mean over a sample; zeros where none of the sample could be read."""

    decode_us: PerImage = field(default=0, name="decodeMicros")
    """Core-time to decode, resize and crop, in microseconds."""
    get_us: PerImage = field(default=0, name="getMicros")
    """Core-time to read the bytes, in microseconds."""
    bytes_per_image: PerImage = 0
    """Size of the file."""
    bandwidth_bytes_per_s: PerImage | None = field(default=None, name="bandwidthBytesPerSecond")
    """What one worker got from the store; absent or 0: it is not a limit."""
    sampled: Annotated[int, Meta(ge=0, le=10**9)] = 0
    """Images that were read for this."""
    unreadable: Annotated[int, Meta(ge=0, le=10**9)] = 0
    """Images of the sample that could not be read and are not counted."""


FREE = InputCost()
"""Images that cost nothing to get, such as synthetic ones."""
