"""How an image becomes the square that a model sees, and how that square is normalised.

It belongs to the model's entry in the registry, not to the job: torchvision has 28 presets for its 80 classifiers, and
the wrong one costs accuracy without any error. The decoder does the geometry and returns uint8; the engine normalises.
The side to resize to follows the job's image size. torchvision's own `transforms(crop_size=320)` does not do that: it
still resizes to 256 and pads the rest with black.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

Interpolation = Literal["nearest", "bilinear", "bicubic"]
Channels = tuple[float, float, float]
# uint8 RGB: (height, width, 3), or (b, height, width, 3) for a mini-batch of b.
Pixels = NDArray[np.uint8]

# Which pixels a resize without averaging takes: since 2 those of the image in full size, by torch's filters. Rows of
# other pixels must not go to the same sink.
_PLAIN_REVISION = 2


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """Resize, crop the centre, normalise."""

    resize_side: int
    """The shorter side is resized to this many pixels, keeping proportions; both sides if `stretches`."""
    crop_side: int
    """Side of the square cut from the centre: the job's image size."""
    interpolation: Interpolation
    """Filter of the resize."""
    antialias: bool
    """Whether the filter widens when shrinking, as Pillow's does."""
    mean: Channels
    """Subtracted from each channel of an RGB image in 0..1 ..."""
    std: Channels
    """... which is then divided by this."""
    stretches: bool = False
    """Whether the whole image is made a square, losing its proportions."""
    floors: bool = False
    """Whether half a pixel before the crop is left out, as transformers does; torchvision rounds it to even."""
    recompresses: bool = False
    """Whether the square is then compressed as a JPEG and decoded again, as the reference of open_nsfw does."""
    whitens: bool = False
    """Whether transparent pixels are put on white, as some of transformers' processors do; else alpha is dropped."""
    converts: bool = False
    """Whether the square is then converted to sRGB by the profile in its file. The job says so, not the model."""

    @property
    def averages(self) -> bool:
        """Whether each pixel of a smaller image is made of all that it covers. The filter nearest takes one of them."""
        return self.antialias and self.interpolation != "nearest"

    def scaled_to(self, side: int) -> Self:
        """Return the preprocessing for another image size, in which the model sees the same part of the image."""
        return replace(self, resize_side=round(self.resize_side * side / self.crop_side), crop_side=side)

    def in_color(self, color: str) -> Self:
        """Return the preprocessing of a job with this `source.color`."""
        return replace(self, converts=color == "srgb")

    def document(self) -> dict[str, Any]:
        """Return plain data for the fingerprint of a job. What is false is left out, so that older sinks stay valid."""
        later = ("stretches", "floors", "recompresses", "whitens", "converts")
        fields = {name: value for name, value in asdict(self).items() if value or name not in later}
        return fields if self.averages else {**fields, "revision": _PLAIN_REVISION}
