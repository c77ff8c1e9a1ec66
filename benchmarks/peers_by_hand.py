"""How the loops by hand of peers.py prepare photos: with Pillow, which decodes at a smaller scale, and NumPy."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def read_square(path: str, preset: Mapping[str, Any]) -> NDArray[np.float32]:
    """Return the photo as the network wants it: (3, side, side), normalised."""
    with Image.open(path) as photo:
        photo.draft("RGB", (preset["resize"], preset["resize"]))
        scale = preset["resize"] / min(photo.size)
        size = (round(photo.width * scale), round(photo.height * scale))
        resized = photo.convert("RGB").resize(size, _FILTERS[preset["interpolation"]])
    left, top = ((length - preset["crop"]) // 2 for length in size)
    square = resized.crop((left, top, left + preset["crop"], top + preset["crop"]))
    mean, std = (np.array(preset[name], np.float32) for name in ("mean", "std"))
    pixels = (np.asarray(square, np.float32) / 255 - mean) / std
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probabilities of (n, classes)."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    probabilities: NDArray[np.float32] = powers / powers.sum(1, keepdims=True)
    return probabilities
