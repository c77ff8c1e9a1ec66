"""What decoding an image comes to, for those who hand pictures on and needn't load the decoders for that."""

from collections.abc import Callable
from dataclasses import dataclass

from dueby_worker.images.unreadable import UnreadableImage
from dueby_worker.models.preprocessing import Pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """The square that a model sees, before normalisation."""

    pixels: Pixels
    """Contiguous uint8 RGB (crop, crop, 3)."""
    warning: str | None = None
    """What is wrong with the file, in a sentence, if it is faulty and yet has every pixel."""


@dataclass(frozen=True, slots=True)
class ImageOutcome:
    """What there is to say of an image beside its pixels: most often nothing."""

    error: str | None = None
    """Why there is no picture. Its place in the mini-batch holds no pixels of it then."""
    warning: str | None = None
    """What is wrong with the file although it has every pixel."""


WHOLE = ImageOutcome()
"""Of an image that has nothing wrong."""


def place_picture(slot: Pixels, picture: Callable[[], Picture]) -> ImageOutcome:
    """Write the picture into its place in a mini-batch, uint8 (crop, crop, 3); return what there is to say of it."""
    try:
        placed = picture()
    except UnreadableImage as error:
        return ImageOutcome(error=str(error))
    slot[...] = placed.pixels
    return WHOLE if placed.warning is None else ImageOutcome(warning=placed.warning)
