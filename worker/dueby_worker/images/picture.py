"""What decoding an image comes to, for those who hand pictures on and needn't load the decoders for that."""

from dataclasses import dataclass

from dueby_worker.models.preprocessing import Pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """The square that a model sees, before normalisation."""

    pixels: Pixels
    """Contiguous uint8 RGB (crop, crop, 3)."""
    warning: str | None = None
    """What is wrong with the file, in a sentence, if it is faulty and yet has every pixel."""
